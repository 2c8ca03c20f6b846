"""Methods over held-out categories: of each method several runs, each of which holds out and tests other categories.

Runs of one method have the same ``method`` in their parameters. A category of one split is a unit: the mean over units
is the method's value, and each method is tested against the floor there, one-sided. Shape letters: C units, P methods,
B resamples.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from posebed.config import ScoringConfig
from posebed.scoring.intervals import interval, member_weights
from posebed.scoring.result import Result, Score
from posebed.scoring.sign_flips import DIGITS, LEVEL, against

Unit = tuple[str, str]
"""Hash of the test episodes, empty outside of episodes; and the category's name there."""


@dataclass(frozen=True)
class Held:
    """One method."""

    name: str
    model: str
    floor: bool
    runs: tuple[Result, ...]
    """In the order of their keys."""
    value: float
    """Mean over units of the mean over seeds."""
    spread: float | None
    """Standard deviation over seeds of the mean over units; None where a run has one seed, or tests several units."""
    low: float | None
    high: float | None
    """95 % interval, resampling units and the seeds of each; None where there is one unit."""


@dataclass(frozen=True)
class Above:
    """A method's difference to the floor."""

    value: float
    low: float | None
    high: float | None
    wins: int
    """Units in which the method is higher."""
    p: float
    """One-sided, by sign flips over units."""
    corrected: float
    """For all methods, by Holm's method."""

    @property
    def sure(self) -> bool:
        return self.corrected <= LEVEL


@dataclass(frozen=True)
class HeldOut:
    """P methods on C units, the highest first."""

    data: str
    task: str
    protocol: Mapping[str, str]
    metric: str
    definition: str
    units: tuple[str, ...]
    """Names of the categories."""
    methods: tuple[Held, ...]
    values: np.ndarray
    """(C, P) means over seeds."""
    floor: int | None
    """Place of the best floor; None where none ran."""
    above: Mapping[int, Above]
    """By the place of a method that is no floor; empty without a floor or with one unit."""
    left_out: tuple[str, ...]
    """A sentence for each method and category that has no part."""


def held_out(results: Iterable[Result], scoring: ScoringConfig) -> list[HeldOut]:
    """A table for each protocol under which a method holds out several categories, one run after another."""
    groups: dict[tuple[object, ...], dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in sorted(results, key=lambda r: r.key):
        if result.method is not None:
            score = _headline(result)
            where = (result.provenance.data_hash, result.task, *sorted(result.protocol.items()))
            groups[*where, score.metric, score.definition][result.method].append(result)
    made = (_table(methods, scoring) for methods in groups.values())
    return [table for table in made if table]


def _headline(result: Result) -> Score:
    return max(result.scores, key=lambda score: score.leads)


def _table(methods: Mapping[str, Sequence[Result]], scoring: ScoringConfig) -> HeldOut | None:
    known, left_out = _disjoint(methods)
    known, few = _overlapping(known)
    left_out += few
    if not known:
        return None
    first = next(iter(methods[next(iter(known))]))
    headline = _headline(first)
    common = [unit for unit in next(iter(known.values())) if all(unit in of for of in known.values())]
    every = dict.fromkeys(unit for of in known.values() for unit in of)
    name_of = _names(every, known)
    for unit in every:
        if lacking := [name for name, of in known.items() if unit not in of]:
            left_out.append(f"{name_of[unit]} is left out, since {lacking[0]} has no run that tests it alike.")
    values = {name: [_of_seeds(of[unit], unit, headline.metric) for unit in common] for name, of in known.items()}
    order = sorted(values, key=lambda name: (-_mean(values[name]), name))
    resamples = _resampled([values[name] for name in order], scoring)
    held = [
        _held(name, [known[name][unit] for unit in common], values[name], _interval(resamples, place))
        for place, name in enumerate(order)
    ]
    means = np.array([[seeds.mean() for seeds in values[name]] for name in order]).T
    floor = next((place for place, method in enumerate(held) if method.floor), None)
    return HeldOut(
        data=first.data,
        task=first.task,
        protocol=first.protocol,
        metric=headline.metric,
        definition=headline.definition,
        units=tuple(name_of[unit] for unit in common),
        methods=tuple(held),
        values=means,
        floor=floor,
        above=_above(held, means, resamples, floor, scoring.seed),
        left_out=tuple(left_out),
    )


def _disjoint(methods: Mapping[str, Sequence[Result]]) -> tuple[dict[str, dict[Unit, Result]], list[str]]:
    """Of each method that holds out something else in every run, its units and the runs that test them; and a sentence
    for each other method of which some runs do."""
    known: dict[str, dict[Unit, Result]] = {}
    left_out: list[str] = []
    for name, every in methods.items():
        runs = _largest(every)
        tested = [_units(run) for run in runs]
        times = Counter(unit for units in tested for unit in units)
        twice = next((unit for unit, number in times.items() if number > 1), None)
        models = sorted({run.model for run in runs})
        if len(models) > 1:
            left_out.append(
                f"{name} is left out, since its runs must be of one model, but are of {' and '.join(models)}."
            )
        elif twice is None and len(runs) > 1:
            known[name] = {unit: run for run, units in zip(runs, tested, strict=True) for unit in units}
        elif len({frozenset(units) for units in tested}) > 1 and twice is not None:
            keys = [run.key for run, units in zip(runs, tested, strict=True) if twice in units]
            left_out.append(f"{name} is left out, since {keys[0]} and {keys[1]} both test {twice[1]}.")
    return known, left_out


def _largest(runs: Sequence[Result]) -> list[Result]:
    """Of runs that test the same and were trained on different numbers of records, which make a learning curve, those
    with most."""
    records = [(frozenset(_units(run)), run.trained_on or 0) for run in runs]
    return [
        run for run, of in zip(runs, records, strict=True) if of[1] == max(n for units, n in records if units == of[0])
    ]


def _overlapping(known: Mapping[str, dict[Unit, Result]]) -> tuple[dict[str, dict[Unit, Result]], list[str]]:
    """As many of the methods, those with most units first, as have half of the first one's units in common; and a
    sentence for each other."""
    chosen: dict[str, dict[Unit, Result]] = {}
    left_out: list[str] = []
    ordered = sorted(known, key=lambda name: -len(known[name]))
    common = set(known[ordered[0]]) if ordered else set[Unit]()
    for name in ordered:
        if 2 * len(common & known[name].keys()) >= len(known[ordered[0]]):
            chosen[name], common = known[name], common & known[name].keys()
        else:
            left_out.append(
                f"{name} is left out, since of the {len(known[ordered[0]])} categories of {ordered[0]} half must be "
                f"tested by all methods, but {len(common & known[name].keys())} would be."
            )
    return {name: chosen[name] for name in known if name in chosen}, left_out


def _units(result: Result) -> list[Unit]:
    metric = _headline(result).metric
    return [(result.provenance.episodes_hash or "", name) for name, of in result.by_category.items() if metric in of]


def _names(units: Iterable[Unit], known: Mapping[str, Mapping[Unit, Result]]) -> dict[Unit, str]:
    """The category's name, with the split beside it where several units share the name."""
    times = Counter(name for _, name in units)
    split = {unit: run.split for of in known.values() for unit, run in of.items()}
    return {unit: unit[1] if times[unit[1]] == 1 else f"{unit[1]} ({split[unit]})" for unit in split}


def _of_seeds(run: Result, unit: Unit, metric: str) -> np.ndarray:
    """The values of a run's members; of one that tests several units, whose members keep no categories, the mean."""
    if len(_units(run)) == 1:
        return np.array([member.scores[metric] for member in run.every_member])
    return np.array([run.by_category[unit[1]][metric]])


def _mean(values: Sequence[np.ndarray]) -> float:
    return float(np.mean([seeds.mean() for seeds in values]))


def _resampled(methods: Sequence[Sequence[np.ndarray]], scoring: ScoringConfig) -> np.ndarray:
    """(B, P) means over units that are drawn, the same ones for all methods, and over drawn seeds in each; empty where
    there is one unit."""
    units = len(methods[0])
    if units < 2:
        return np.zeros((0, len(methods)))
    rng = np.random.default_rng(scoring.seed)
    weights = rng.multinomial(units, np.full(units, 1 / units), scoring.resamples) / units
    drawn = [
        [member_weights(len(seeds), scoring.resamples, rng)[..., 0] @ seeds for seeds in of_method]
        for of_method in methods
    ]
    return np.stack([(weights * np.stack(of_method, 1)).sum(1) for of_method in drawn], axis=1)


def _interval(resamples: np.ndarray, place: int) -> tuple[float | None, float | None]:
    return interval(resamples[:, place]) if len(resamples) else (None, None)


def _held(
    name: str, tested: Sequence[Result], values: Sequence[np.ndarray], ends: tuple[float | None, float | None]
) -> Held:
    runs = {run.key: run for run in sorted(tested, key=lambda run: run.key)}
    seeds = {len(of_unit) for of_unit in values}
    spread = float(np.std(np.mean(values, axis=0), ddof=1)) if len(seeds) == 1 and min(seeds) > 1 else None
    first = next(iter(runs.values()))
    return Held(name, first.model, first.floor, tuple(runs.values()), _mean(values), spread, *ends)


def _above(
    methods: Sequence[Held], values: np.ndarray, resamples: np.ndarray, floor: int | None, seed: int
) -> dict[int, Above]:
    places = [place for place, method in enumerate(methods) if not method.floor]
    if floor is None or not places or len(values) < 2:
        return {}
    p, corrected = against(values[:, places], values[:, floor], seed)
    above: dict[int, Above] = {}
    for i, place in enumerate(places):
        difference = values[:, place] - values[:, floor]
        low, high = interval(resamples[:, place] - resamples[:, floor])
        wins = int((np.round(difference, DIGITS) > 0).sum())
        above[place] = Above(float(difference.mean()), low, high, wins, float(p[i]), float(corrected[i]))
    return above
