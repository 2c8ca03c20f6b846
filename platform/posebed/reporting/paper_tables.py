"""Sets what papers publish beside what our runs of the same settings measure: a table per published table, or
ablation, and protocol. What is published is handed in; how a table looks is left to the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from posebed.contracts import Paper
from posebed.reporting.published_claims import (
    DEFINITIONS,
    Facts,
    Line,
    Literature,
    Table,
    facts_of_line,
    measured_facts,
    other_facts,
    published_lines,
)
from posebed.reporting.verdicts import NOT_MEASURED, NOT_RUN, Cell, ours_of
from posebed.scoring.result import Member, Repeat, Result, Score


@dataclass(frozen=True)
class PaperRow:
    setting: str
    presets: tuple[str, ...]
    """Several where the mean over their runs is published."""
    runs: tuple[str, ...]
    changed: str
    cells: Mapping[str, Cell]
    """By metric."""


@dataclass(frozen=True)
class PaperTable:
    """Rows of one protocol."""

    paper: str
    source: str
    ablation: str
    """Model and short name; empty where methods are compared."""
    protocol: Facts
    """What the presets say of it."""
    details: Facts
    """What is known once something was run."""
    note: str
    """Why nothing of it can be measured; else empty."""
    rows: tuple[PaperRow, ...]

    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(metric for row in self.rows for metric in row.cells))

    def measured(self, metric: str) -> bool:
        return any(row.cells[metric].missing != NOT_MEASURED for row in self.rows if metric in row.cells)

    def definitions(self) -> Facts:
        known = {**DEFINITIONS, **dict(self.details)}
        return tuple((metric, known[metric]) for metric in self.metrics if metric in known)


@dataclass(frozen=True)
class Papers:
    """All tables, and which of them the page shows."""

    tables: Sequence[PaperTable]
    shown: Sequence[tuple[str, Paper | None, Sequence[PaperTable]]]
    """Tables that the runs fill, by paper."""
    deviations: Mapping[str, Sequence[str]]
    """Runs that name a preset but stand beside no claim, and why."""

    def named(self) -> bool:
        """Whether any run has to do with a paper."""
        return bool(self.shown or self.deviations)

    def further_rows(self) -> int:
        """Rows of tables that are not shown."""
        return sum(len(t.rows) for t in self.tables) - sum(len(t.rows) for *_, of in self.shown for t in of)


def papers(results: Sequence[Result], literature: Literature, presets: Iterable[str] = ()) -> Papers:
    """Every published table with what we have of it.

    Args:
        presets: Presets whose rows the page shows, as it does those that have a result.
    """
    deviations: dict[str, Sequence[str]] = {}
    runs: dict[str, list[Result]] = {}
    repeats = {result.key: result.repeats for result in results if result.repeats}
    for result in (result for result in results if result.key in repeats):
        repeat = repeats[result.key]
        preset = literature.published.presets.get(repeat.preset)
        reasons = other_facts(result, preset, literature) if preset else (f"{repeat.preset} is not known here",)
        deviations[result.key] = (*repeat.apart, *reasons)
        if not deviations[result.key]:
            runs.setdefault(repeat.preset, []).append(result)
    tables = _tables(published_lines(literature), runs, repeats, literature)
    wanted = {*presets, *(repeat.preset for repeat in repeats.values())}
    shown: dict[str, list[PaperTable]] = {}
    for table in tables:
        if any(wanted.issuperset(row.presets) for row in table.rows):
            shown.setdefault(table.paper, []).append(table)
    named = [(paper, literature.papers.get(paper), of) for paper, of in shown.items()]
    return Papers(tables, named, {key: reasons for key, reasons in deviations.items() if reasons})


Group = list[tuple[Facts | None, PaperRow]]
"""Rows of one protocol as far as presets say it, each with what was measured beyond that; None where nothing ran."""


def _tables(
    lines: Sequence[Line], runs: Mapping[str, Sequence[Result]], repeats: Mapping[str, Repeat], literature: Literature
) -> list[PaperTable]:
    """Rows that were not run stand with the first that was: they have no value to mix with others."""
    tables: list[PaperTable] = []
    for (table, facts), group in _groups(lines, runs, repeats, literature).items():
        paper, note = literature.paper_of(table.source), literature.published.unmeasured.get(table.dataset, "")
        known = list(dict.fromkeys(measured for measured, _ in group if measured is not None)) or [()]
        for details in known:
            rows = tuple(row for measured, row in group if details == (known[0] if measured is None else measured))
            tables.append(PaperTable(paper, table.source, table.ablation, facts, details, note, rows))
    return _without_repetition(tables)


def _groups(
    lines: Sequence[Line], runs: Mapping[str, Sequence[Result]], repeats: Mapping[str, Repeat], literature: Literature
) -> Mapping[tuple[Table, Facts], Group]:
    groups: dict[tuple[Table, Facts], Group] = {}
    metrics: dict[Table, dict[str, None]] = {}
    for line in lines:
        metrics.setdefault(line.table, {}).update(dict.fromkeys(line.claims))
    for line in lines:
        facts = facts_of_line(line, literature)
        group = groups.setdefault((line.table, facts), [])
        unmeasured = line.table.dataset in literature.published.unmeasured
        ran = [] if unmeasured else [result for name in line.presets for result in runs.get(name, ())]
        for (measured, changed), same in _alike(ran, line, facts, repeats).items():
            cells = _cells(line, same, repeats, list(line.claims or metrics[line.table]), unmeasured)
            keys = tuple(result.key for result in same)
            group.append((measured, PaperRow(line.setting, line.presets, keys, changed, cells)))
    return groups


def _without_repetition(tables: Sequence[PaperTable]) -> list[PaperTable]:
    """Tables of methods whose rows all stand in an ablation are left out."""
    shown = {(t.source, t.protocol, row.setting) for t in tables if t.ablation for row in t.rows}
    return [t for t in tables if t.ablation or any((t.source, t.protocol, r.setting) not in shown for r in t.rows)]


def _alike(
    ran: Sequence[Result], line: Line, facts: Facts, repeats: Mapping[str, Repeat]
) -> Mapping[tuple[Facts | None, str], Sequence[Result]]:
    """Runs in groups that differ in the seed alone, be it of the split, as where few pictures of it are trained on; or
    one without any, of which nothing was measured."""
    groups: dict[tuple[Facts | None, str], list[Result]] = {}
    for result in ran:
        groups.setdefault((measured_facts(result, line, facts), repeats[result.key].changed), []).append(result)
    return groups or {(None, ""): []}


def _cells(
    line: Line, ran: Sequence[Result], repeats: Mapping[str, Repeat], metrics: Sequence[str], unmeasured: bool
) -> Mapping[str, Cell]:
    seeds: dict[int, dict[str, Member]] = {}
    for result in ran:
        for member in result.every_member:
            seeds.setdefault(member.seed, {})[repeats[result.key].preset] = member
    whole = [list(of.values()) for of in seeds.values() if len(of) == len(line.presets)]
    missing = f"{max(map(len, seeds.values()))} of {len(line.presets)} runs" if ran else NOT_RUN
    return {
        metric: Cell(
            line.claims.get(metric),
            ours_of(metric, whole, _single(metric, ran)),
            NOT_MEASURED if unmeasured or whole or metric not in DEFINITIONS else missing,
        )
        for metric in metrics
    }


def _single(metric: str, ran: Sequence[Result]) -> Score | None:
    """The score where there is one run of one seed."""
    of_one = [score for result in ran if len(result.seeds) == 1 for score in result.scores if score.metric == metric]
    return of_one[0] if len(ran) == len(of_one) == 1 else None


def paper_lines(papers: Papers) -> list[dict[str, object]]:
    """One line per published number that the page shows, for a file beside it."""
    return [
        {
            "paper": table.paper,
            "source": table.source,
            "ablation": table.ablation,
            "setting": row.setting,
            "preset": " ".join(row.presets),
            "runs": " ".join(row.runs),
            "changed": row.changed,
            "metric": metric,
            "claimed": cell.claimed,
            "ours": cell.ours and cell.ours.value,
            **{name: getattr(cell.ours, name, None) for name in ("spread", "low", "high", "seeds")},
            "difference": cell.difference(),
            "verdict": cell.verdict(),
            "protocol": "; ".join(f"{name}: {value}" for name, value in table.protocol + table.details),
        }
        for _, _, tables in papers.shown
        for table in tables
        for row in table.rows
        for metric, cell in row.cells.items()
    ]
