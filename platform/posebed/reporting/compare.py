"""Sets Results beside one another: which may share a table, who leads it, and how far each is above the floor.

Only numbers and words; how they look is left to ``reporting.figures`` and ``reporting.site``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal

import numpy as np
from scipy.special import ndtr

from posebed.listing import counted
from posebed.reporting.formats import mean
from posebed.scoring.result import PairError, Result, Score
from posebed.scoring.sign_flips import LEVEL, holm

LEADERS = 3
"""Protocols whose leaders the summary names."""

Verdict = Literal["above", "below", "not separated"]
_VERDICTS: dict[int, Verdict] = {1: "above", -1: "below", 0: "not separated"}
_WIDTH = 2 * 1.96
"""Standard errors that a 95 % interval is wide."""


@dataclass(frozen=True)
class Protocol:
    """What two runs must have in common to share a table: the same queries, predicted and scored alike."""

    data: str
    split: str
    task: str
    measured: tuple[tuple[str, str], ...]
    headline: str
    """The metric that orders the table."""
    definition: str
    """Of that metric."""
    data_hash: str
    split_hash: str
    episodes_hash: str | None

    def title(self) -> str:
        boxes = ", detected boxes" if ("boxes", "detected") in self.measured else ""
        told = "".join(f", told {value}" for name, value in self.measured if name == "told")
        return f"{self.data}, split {self.split}, {self.family()}{boxes}{told}"

    def family(self) -> str:
        return self.task.replace("_", "-")

    def facets(self) -> dict[str, str]:
        """What a reader may choose tables by."""
        shots = dict(self.measured).get("shots", "none")
        return {"data": self.data, "protocol": self.title(), "family": self.family(), "shots": shots}


@dataclass(frozen=True)
class Column:
    """A metric in the leader table: two definitions never share one, whatever they are called."""

    name: str
    definition: str
    better: str


@dataclass(frozen=True)
class Row:
    result: Result
    headline: Score
    floor: Score | None = None
    """Headline of the best floor under the same protocol; None where none ran, and for that floor itself."""
    sign: int = 0
    """1 or -1 where the run is surely above or below that floor."""

    def difference(self) -> float | None:
        return None if self.floor is None else self.headline.value - self.floor.value

    def verdict(self) -> Verdict | None:
        return None if self.floor is None else _VERDICTS[self.sign]

    def scores(self, metrics: Sequence[Column]) -> list[Score | None]:
        known = {(s.metric, s.definition): s for s in self.result.scores}
        return [known.get((m.name, m.definition)) for m in metrics]

    def values(self, metrics: Sequence[Column]) -> list[float | None]:
        return [score and score.value for score in self.scores(metrics)]

    def of_members(self) -> dict[int, float]:
        """Seed to the headline of that member, of a run with several."""
        return {m.seed: m.scores[self.headline.metric] for m in self.result.members if len(self.result.members) > 1}


@dataclass(frozen=True)
class Table:
    """The runs of one protocol, best first."""

    protocol: Protocol
    rows: tuple[Row, ...]
    metrics: tuple[Column, ...]
    """Columns beside the headline, in the order in which the runs name them."""
    signs: np.ndarray = field(compare=False, repr=False)
    """(R, R) 1 or -1 where the run of the row is surely above or below that of the column."""

    def best(self, count: int) -> Table:
        """The same table with its first rows alone."""
        return replace(self, rows=self.rows[:count], signs=self.signs[:count, :count])


def headline_of(result: Result) -> Score:
    """The score by which the run stands in its table: PCK@0.2, or in a detector's boxes, where no prediction has a
    truth of its own, AP, unless a metric from elsewhere leads them.

    Raises:
        LookupError: the result has none that tables are ordered by.
    """
    best = max(result.scores, key=lambda score: score.leads, default=None)
    if best is None or not best.leads:
        names = ", ".join(score.metric for score in result.scores) or "none"
        raise LookupError(f"{result.key} must have a metric that orders tables, but has {names}")
    return best


def protocol_of(result: Result) -> Protocol:
    where, headline = result.provenance, headline_of(result)
    return Protocol(
        data=result.data,
        split=result.split,
        task=result.task,
        measured=tuple(sorted(result.protocol.items())),
        headline=headline.metric,
        definition=headline.definition,
        data_hash=where.data_hash,
        split_hash=where.split_hash,
        episodes_hash=where.episodes_hash,
    )


def tables(results: Iterable[Result]) -> list[Table]:
    """One table per protocol, in the order of their titles."""
    groups: dict[Protocol, list[Result]] = {}
    for result in results:
        groups.setdefault(protocol_of(result), []).append(result)
    ordered = sorted(groups.items(), key=lambda item: (item[0].title(), item[0].measured))
    return [_table(protocol, group) for protocol, group in ordered]


def _table(protocol: Protocol, group: list[Result]) -> Table:
    ranked = sorted(group, key=lambda r: (-headline_of(r).value, r.key))
    place = next((i for i, r in enumerate(ranked) if r.floor), None)
    headlines = [headline_of(r) for r in ranked]
    sure = signs(headlines)
    rows = tuple(
        Row(r, headline) if place in (None, i) else Row(r, headline, headlines[place], int(sure[i, place]))
        for i, (r, headline) in enumerate(zip(ranked, headlines, strict=True))
    )
    shown = (s for r in ranked for s in r.scores if s.column and s.metric != protocol.headline)
    columns = tuple(dict.fromkeys(Column(s.metric, s.definition, s.better) for s in shown))
    return Table(protocol, rows, columns, sure)


def signs(scores: Sequence[Score]) -> np.ndarray:
    """(R, R) 1 where the score of the row lies surely above that of the column, -1 where it lies surely below, else 0.

    Sure means that neither their 95 % intervals over images nor those over categories overlap, and that a normal test
    with the standard errors of these intervals, which takes the runs for independent, has p of at most 0.05 corrected
    for all pairs (Holm). Intervals of one point each say nothing.
    """
    low, high = np.array([_low(s) for s in scores]), np.array([_high(s) for s in scores])
    value, variance = np.array([s.value for s in scores]), ((high - low) / _WIDTH) ** 2
    a, b = np.triu_indices(len(scores), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.nan_to_num((value[a] - value[b]) / np.sqrt(variance[a] + variance[b]), posinf=0, neginf=0)
    sure = (holm(2 * ndtr(-np.abs(z))) <= LEVEL) & ((low[a] > high[b]) | (high[a] < low[b]))
    found = np.zeros((len(scores), len(scores)), np.int8)
    found[a, b] = np.where(sure, np.sign(z), 0)
    return found - found.T


def _low(score: Score) -> float:
    return score.low if score.low_categories is None else min(score.low, score.low_categories)


def _high(score: Score) -> float:
    return score.high if score.high_categories is None else max(score.high, score.high_categories)


def summary(tables: Sequence[Table]) -> tuple[str, str]:
    """In words: how much was compared, and which run leads each protocol."""
    if not tables:
        return ("No run has a result yet.", "Train and score one, and this page fills.")
    results = [row.result for table in tables for row in table.rows]
    runs = [result for result in results if not result.submitted]
    others = len(results) - len(runs)
    submitted = f" and {counted(others, 'submission')}" if others else ""
    first = (
        f"{counted(len(runs), 'run')} of {counted(len({r.model for r in runs}), 'model')}{submitted} "
        f"under {counted(len(tables), 'protocol')}."
    )
    leaders: dict[str, list[str]] = {}
    for table in tables[:LEADERS]:
        leaders.setdefault(table.protocol.headline, []).append(_leader(table))
    sentences = [f"Highest {headline}: {'; '.join(of)}." for headline, of in leaders.items()]
    further = len(tables) - LEADERS
    return first, " ".join([*sentences, f"{counted(further, 'more protocol')} below."] if further > 0 else sentences)


def _leader(table: Table) -> str:
    best, *others = table.rows
    words = f"{best.result.key} with {mean(best.headline.value, best.headline.spread)} on {table.protocol.title()}"
    level = [row.result.key for row, sign in zip(others, table.signs[0, 1:], strict=True) if not sign]
    if not level:
        return words
    names = level[0] if len(level) == 1 else counted(len(level), "other run")
    return f"{words} (not separated from {names})"


def by_category(table: Table, metric: str) -> dict[str, list[float | None]]:
    """Category to a metric of every row, in the table's order."""
    names = sorted({name for row in table.rows for name in row.result.by_category})
    return {name: [row.result.by_category.get(name, {}).get(metric) for row in table.rows] for name in names}


@dataclass(frozen=True)
class KeypointTable:
    """Categories with the same keypoints, and per keypoint the mean over those in which it counts, for every row."""

    categories: tuple[str, ...]
    keypoints: dict[str, list[float | None]]


def by_keypoint(table: Table) -> list[KeypointTable]:
    """A category in which some keypoints never count goes with those that have them beside all of its others."""
    keypoints: dict[str, dict[str, None]] = {}
    for row in table.rows:
        for category, values in row.result.by_keypoint.items():
            keypoints.setdefault(category, {}).update(dict.fromkeys(values))
    groups: list[tuple[dict[str, None], list[str]]] = []
    for category, names in sorted(keypoints.items(), key=lambda item: (-len(item[1]), item[0])):
        group = next((members for known, members in groups if _same_skeleton(names, known)), None)
        if group is None:
            groups.append((names, [category]))
        else:
            group.append(category)
    return [
        KeypointTable(
            tuple(members), {name: [_mean(row.result, members, name) for row in table.rows] for name in names}
        )
        for names, members in groups
    ]


def _same_skeleton(names: dict[str, None], known: dict[str, None]) -> bool:
    return names.keys() <= known.keys() and 2 * len(names) > len(known)


def _mean(result: Result, categories: Iterable[str], keypoint: str) -> float | None:
    values = [result.by_keypoint[c][keypoint] for c in categories if keypoint in result.by_keypoint.get(c, {})]
    return fmean(values) if values else None


def by_pair(table: Table) -> dict[str, list[float | None]]:
    """Pair of mirror partners to the symmetric-pair error of every row, over all judged keypoints of all categories
    that have the pair."""
    pairs = {name: None for row in table.rows for of in row.result.by_pair.values() for name in of}
    return {name: [_pooled(_errors(row.result, name)) for row in table.rows] for name in sorted(pairs)}


def _errors(result: Result, pair: str) -> list[PairError]:
    return [of[pair] for of in result.by_pair.values() if pair in of]


def _pooled(errors: Sequence[PairError]) -> float | None:
    judged = sum(error.judged for error in errors)
    return sum((error.spe or 0) * error.judged for error in errors) / judged if judged else None


def pairs_too_close(result: Result) -> tuple[int, int]:
    """Keypoints with a mirror partner that were judged, and that were not, since the two lie too close."""
    errors = [error for of in result.by_pair.values() for error in of.values()]
    return sum(error.judged for error in errors), sum(error.too_close for error in errors)
