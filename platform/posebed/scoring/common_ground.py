"""Common ground: runs that answer the queries of the same episodes, whether they are shown the supports or not, and
their tables of predictions brought to the same rows, so that every metric applies to each.

A category-agnostic run predicts exactly these queries. A category-specific one answers a query by its one prediction
for that record, whatever the episode. The keypoints that count are for all of them those of the episodes: labelled in
the query and in every support. ``paired`` compares the runs there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from posebed.contracts import Task
from posebed.predictions import Predictions, read_predictions
from posebed.scoring.result import Result

Read = Callable[[str], Sequence[Predictions]]
"""From a run's key to the tables of predictions of its members. Raises ``Unanswered`` where there are none."""


class Unanswered(ValueError):
    """A run does not answer the queries of a ground."""


@dataclass(frozen=True)
class Ground:
    """Runs on the same data and split, in the order of their keys, one of them at least category-agnostic."""

    runs: tuple[Result, ...]
    left_out: tuple[str, ...]
    """A sentence for each run on the same data and split that is measured in another way."""


@dataclass(frozen=True)
class Answers:
    """What R runs answer to the N queries of a ground."""

    runs: tuple[Result, ...]
    """In the order of their keys."""
    tables: tuple[tuple[Predictions, ...], ...]
    """For each of the R runs a table per member. All have the same rows, which differ in what was predicted alone. Rows
    are in the order of image, episode and record."""
    left_out: tuple[str, ...]
    """A sentence for each run that has no part."""


def grounds(results: Iterable[Result]) -> list[Ground]:
    """The grounds on which several runs meet. A category-specific run stands on every ground of its split, of which
    there is one for each way to draw and to mark the episodes."""
    agnostic: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    specific: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda r: r.key):
        if result.task == Task.CATEGORY_AGNOSTIC:
            episodes = result.provenance.episodes_hash
            agnostic[*_split(result), episodes, *sorted(result.protocol.items())].append(result)
        else:
            specific[_split(result)].append(result)
    made = [_ground(group, specific[_split(group[0])]) for group in agnostic.values()]
    return [ground for ground in made if len(ground.runs) + len(ground.left_out) > 1]


def _split(result: Result) -> tuple[str, str]:
    return result.provenance.data_hash, result.provenance.split_hash


def _ground(agnostic: Sequence[Result], specific: Sequence[Result]) -> Ground:
    protocol = agnostic[0].protocol
    if "told" in protocol:  # of a category: no category-specific run is told that
        specific = ()
    other = {run.key: [n for n, value in run.protocol.items() if protocol.get(n) != value] for run in specific}
    left_out = [
        f"{run.key} is left out, since its {name} must be {protocol.get(name)!r}, but is {run.protocol[name]!r}."
        for run in specific
        for name in other[run.key][:1]
    ]
    runs = sorted([*agnostic, *(run for run in specific if not other[run.key])], key=lambda r: r.key)
    return Ground(tuple(runs), tuple(left_out))


def tables_at(paths: Mapping[str, Sequence[Path]]) -> Read:
    """What reads the tables of those runs that have one for each of their members."""

    def read(key: str) -> Sequence[Predictions]:
        if not paths.get(key):
            raise Unanswered("its table of predictions must be there, but is not")
        return [read_predictions(path) for path in paths[key]]

    return read


def aligned(ground: Ground, read: Read) -> Answers | None:
    """The runs' answers; None where no category-agnostic run has a table. The queries are those of the
    category-agnostic run with the most; a run that misses one of them, or that has no table, is left out."""
    chosen = _most_queried(ground, read)
    if chosen is None:
        return None
    reference, (first, *others) = chosen
    queries = _in_order(first)
    tables: dict[str, tuple[Predictions, ...]] = {}
    left_out = list(ground.left_out)
    for run in ground.runs:
        try:
            further = others if run is reference else read(run.key)
            answered = tuple(answers(queries, table) for table in further)
            tables[run.key] = (queries, *answered) if run is reference else answered
        except Unanswered as reason:
            left_out.append(f"{run.key} is left out, since {reason}.")
    return Answers(tuple(r for r in ground.runs if r.key in tables), tuple(tables.values()), tuple(left_out))


def _most_queried(ground: Ground, read: Read) -> tuple[Result, Sequence[Predictions]] | None:
    """Return the category-agnostic run with the most queries among those that have tables, and its tables."""
    agnostic = [run for run in ground.runs if run.task == Task.CATEGORY_AGNOSTIC]
    for run in sorted(agnostic, key=lambda r: r.queries, reverse=True):
        with suppress(Unanswered):
            return run, read(run.key)
    return None


def _in_order(table: Predictions) -> Predictions:
    """In the order in which ``metrics.coco.oks`` takes instances of equal score, so that they stand alike in both."""
    return table.take(np.lexsort((table.record, table.episode, table.image)))


def answers(queries: Predictions, table: Predictions) -> Predictions:
    """The queries with the answers that a table has for them.

    Args:
        queries: of episodes; what they predict is not looked at.
        table: of the same episodes, or of their records without episodes.

    Raises:
        Unanswered: a query has no answer, or another truth.
    """
    episodic = bool((table.episode >= 0).any())
    evaluated = table.predicted & table.annotated
    place = {name: row for row, name in enumerate(_names(table, episodic)) if evaluated[row]}
    rows = np.array([place.get(name, -1) for name in _names(queries, episodic)])
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        record, episode = queries.record[missing[0]], queries.episode[missing[0]]
        raise Unanswered(
            f"it must answer all {len(rows)} queries, but misses {len(missing)}, such as {str(record)!r} in "
            f"episode {episode}"
        )
    if table.categories != queries.categories:
        raise Unanswered("it must know the categories of the queries, but its table has others")
    for name in ("box", "truth", "labelled", *(("counts",) if episodic else ())):
        if not np.array_equal(getattr(table, name)[rows], getattr(queries, name)):
            raise Unanswered(f"{name} must be the same for all runs, but its table has others")
    predicted = {name: getattr(table, name)[rows] for name in ("crop", "xy", "confidence", "score")}
    return replace(queries, size=table.size, **predicted)


def _names(table: Predictions, episodic: bool) -> Sequence[object]:
    """The names that identify the rows."""
    records = table.record.tolist()
    return list(zip(table.episode.tolist(), records, strict=True)) if episodic else records
