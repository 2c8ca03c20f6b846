"""What the report starts with, as numbers: the methods over held-out categories; and of each common ground, and of each
protocol with runs that stand on none, the runs with their headline number; and what is sure of them.

The tables are kept beside the page, so that they can be printed without resampling. How they look in a terminal is left
to ``reporting.terminal``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from posebed.config import Section, read_section
from posebed.own_json import Kind, write_json
from posebed.reporting.common_ground import GroundSection
from posebed.reporting.compare import Table
from posebed.reporting.held_out import cautions, sure, title
from posebed.reporting.sure import what_is_sure
from posebed.scoring.held_out import Held, HeldOut
from posebed.scoring.paired import HEADLINE
from posebed.scoring.result import Result, result_text
from posebed.scoring.search_result import SearchResult, search_text

HEADLINES = Kind("the first tables of a report")
HEADLINES_FILE = "results.json"
"""In the folder of the page."""


class HeadlineRow(Section):
    """One run, or one method over held-out categories."""

    run: str
    family: str
    """category-specific or category-agnostic."""
    submitted: bool = False
    """Whether the answers were made elsewhere."""
    seeds: int
    value: float
    """Mean over seeds."""
    spread: float | None
    """Standard deviation over seeds; None of one."""
    low: float | None
    high: float | None
    """95 % interval; None on common ground of one category."""


class HeadlineTable(Section):
    """Runs that can be compared."""

    title: str
    metric: str
    note: str
    """What the intervals resample, and what to know of them."""
    rows: tuple[HeadlineRow, ...]
    """Best first."""
    sure: str
    """One sentence."""


class Headlines(Section):
    tables: tuple[HeadlineTable, ...]
    made_from: dict[str, str]
    """By the keys of runs and searches sha256 of their result.json and search.json."""


def headlines_of(
    grounds: Iterable[GroundSection],
    tables: Iterable[Table],
    made_from: Mapping[str, str],
    held: Iterable[HeldOut] = (),
) -> Headlines:
    """The tables over held-out categories, which stand for those of their runs alone; then those of the grounds, and
    after them those of the protocols of which a run stands on no ground."""
    over = [*held]
    joined = {run.key for table in over for method in table.methods for run in method.runs}
    first = [ground for ground in grounds if any(run.key not in joined for run in ground.runs)]
    shown = joined | {run.key for ground in first for run in ground.runs}
    elsewhere = [table for table in tables if any(row.result.key not in shown for row in table.rows)]
    found = (*map(_of_held, over), *map(_of_ground, first), *map(_of_protocol, elsewhere))
    return Headlines(tables=found, made_from=dict(made_from))


def _of_held(table: HeldOut) -> HeadlineTable:
    intervals = any(method.low is not None for method in table.methods)
    resampled = ["95 % intervals resample categories and seeds."] if intervals else []
    return HeadlineTable(
        title=title(table),
        metric=table.metric,
        note=" ".join([*resampled, cautions(table), *table.left_out]),
        rows=tuple(_method_row(table, method) for method in table.methods),
        sure=sure(table),
    )


def _method_row(table: HeldOut, method: Held) -> HeadlineRow:
    about = {"run": method.name, "family": table.task.replace("_", "-"), "value": method.value}
    seeds = min(len(run.seeds) for run in method.runs)
    submitted = all(run.submitted for run in method.runs)
    return HeadlineRow(
        **about, submitted=submitted, seeds=seeds, spread=method.spread, low=method.low, high=method.high
    )


def _of_ground(ground: GroundSection) -> HeadlineTable:
    comparison = ground.comparison
    scores = [comparison.score(i) for i in range(len(ground.runs))]
    intervals = any(score.low is not None for score in scores)
    rows = [_row(run, s.value, s.spread, s.low, s.high) for run, s in zip(ground.runs, scores, strict=True)]
    return HeadlineTable(
        title=ground.title() + _shots(ground.facts),
        metric=ground.metrics[HEADLINE].name,
        note=("95 % intervals resample seeds and categories. " if intervals else "") + ground.caution(),
        rows=tuple(rows),
        sure=ground.sure(),
    )


def _of_protocol(table: Table) -> HeadlineTable:
    scores = [row.headline for row in table.rows]
    runs = [row.result for row in table.rows]
    return HeadlineTable(
        title=table.protocol.title() + _shots(dict(table.protocol.measured)),
        metric=table.protocol.headline,
        note=f"95 % intervals resample {'seeds and ' if any(len(run.seeds) > 1 for run in runs) else ''}images.",
        rows=tuple(_row(run, s.value, s.spread, s.low, s.high) for run, s in zip(runs, scores, strict=True)),
        sure=what_is_sure(
            [run.key for run in runs],
            [i for i, run in enumerate(runs) if run.floor],
            lambda i, j: int(table.signs[i, j]),
        ),
    )


def _row(run: Result, value: float, spread: float | None, low: float | None, high: float | None) -> HeadlineRow:
    family = run.task.replace("_", "-")
    about = {"run": run.key, "family": family, "submitted": run.submitted, "seeds": len(run.seeds)}
    return HeadlineRow(**about, value=value, spread=spread, low=low, high=high)


def _shots(facts: Mapping[str, str]) -> str:
    """What tells apart tables of the same data and split."""
    return f", {facts['shots']}-shot" if "shots" in facts else ""


def made_from(results: Iterable[Result], searches: Iterable[SearchResult]) -> dict[str, str]:
    """``Headlines.made_from`` of what was read from files of the present schema."""
    texts = {r.key: result_text(r) for r in results} | {s.key: search_text(s) for s in searches}
    return {key: hashlib.sha256(text.encode()).hexdigest() for key, text in texts.items()}


def write_headlines(headlines: Headlines, folder: Path) -> None:
    write_json(headlines.model_dump(mode="json"), folder / HEADLINES_FILE, HEADLINES)


def read_headlines(folder: Path) -> Headlines:
    """Read what ``write_headlines`` wrote.

    Raises:
        ValueError: there is no such file, or it holds other content.
    """
    return read_section(Headlines, folder / HEADLINES_FILE, HEADLINES)
