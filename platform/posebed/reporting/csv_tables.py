"""The report's tables as files beside the page: one line per run, member, category and keypoint. How a table is
spelled is left to ``reporting.table_text``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from posebed.files import write_text
from posebed.metrics.animal_kingdom import BOX
from posebed.reporting.compare import Column, Row, Table
from posebed.reporting.table_text import Line, as_csv, as_latex, as_markdown
from posebed.scoring.result import BY_KEYPOINT, Result


def write_lines(name: str, lines: Sequence[Line], folder: Path) -> None:
    """Write one table as ``NAME.csv``, ``NAME.md`` and ``NAME.tex``."""
    for ending, text in (("csv", as_csv), ("md", as_markdown), ("tex", as_latex)):
        write_text(text(lines), folder / f"{name}.{ending}")


def write_csv_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write ``leaders.csv``, ``members.csv``, ``categories.csv``, ``keypoints.csv`` and ``pairs.csv``, and the leaders
    in print as Markdown and LaTeX: there a table per protocol, with the columns of the page.
    """
    files = {"leaders": _leaders, "members": _members, "categories": _categories, "keypoints": _keypoints}
    files |= {"pairs": _pairs}
    for name, lines in files.items():
        write_text(as_csv(lines(tables)), folder / f"{name}.csv")
    for ending, text in (("md", as_markdown), ("tex", as_latex)):
        printed = [text(_printed(table), table.protocol.title()) for table in tables]
        write_text("\n".join(printed), folder / f"leaders.{ending}")


def _printed(table: Table) -> list[Line]:
    """The leader table with the columns of the page."""
    return [
        {
            "run": row.result.key,
            "model": row.result.model,
            "seeds": len(row.result.seeds),
            table.protocol.headline: row.headline.value,
            "spread": row.headline.spread,
            "95 % interval": f"{row.headline.low:.3f}–{row.headline.high:.3f}",
            "over the floor": row.difference(),
            **{_column(m, table): value for m, value in zip(table.metrics, row.values(table.metrics), strict=True)},
            "parameters": row.result.cost.parameters,
            "GFLOPs": row.result.cost.gflops,
            "ms per image": row.result.cost.ms_per_image,
        }
        for row in table.rows
    ]


def _column(metric: Column, table: Table) -> str:
    """The metric's name, with its definition where another column has the same name."""
    alike = sum(other.name == metric.name for other in table.metrics)
    return metric.name if alike == 1 else f"{metric.name}: {metric.definition}"


def _leaders(tables: Sequence[Table]) -> list[Line]:
    """One line per run: every metric with its intervals in full, and what the run cost.

    A metric that has two definitions has a column for each.
    """
    rows = [row for table in tables for row in table.rows]
    known = {(s.metric, s.definition) for row in rows for s in row.result.scores}
    names = Counter(metric for metric, _ in known)
    return [_leader_line(row, {metric for metric, times in names.items() if times > 1}) for row in rows]


def _leader_line(row: Row, ambiguous: set[str]) -> Line:
    result = row.result
    line: dict[str, object] = {
        **_identity(result),
        **{name: getattr(result, name) for name in ("model", "pack")},
        "seeds": len(result.seeds),
        "submitted": result.submitted,
        **result.answered,
        "floor_difference": row.difference(),
        "floor_verdict": row.verdict(),
    }
    for score in result.scores:
        name = f"{score.metric}: {score.definition}" if score.metric in ambiguous else score.metric
        line[name] = score.value
        for part in ("spread", "low", "high", "low_categories", "high_categories"):
            line[f"{name} {part}"] = getattr(score, part)
    return line | result.cost.model_dump() | {"commit": result.provenance.commit, "fingerprint": result.fingerprint}


def _members(tables: Sequence[Table]) -> list[Line]:
    """One line per run and seed."""
    return [
        {
            **_identity(row.result),
            "model": row.result.model,
            "seed": member.seed,
            **member.scores,
            **member.cost.model_dump(),
            **member.model_dump(include={"fingerprint", "checkpoint_hash", "result"}),
        }
        for table in tables
        for row in table.rows
        for member in row.result.every_member
    ]


def _categories(tables: Sequence[Table]) -> list[Line]:
    """One line per run and category."""
    return [
        {**_identity(row.result), "category": name, **values}
        for table in tables
        for row in table.rows
        for name, values in row.result.by_category.items()
    ]


def _keypoints(tables: Sequence[Table]) -> list[Line]:
    """One line per run, category and keypoint."""
    return [
        {
            **_identity(row.result),
            "category": category,
            "keypoint": name,
            BY_KEYPOINT: value,
            BOX.name: row.result.by_keypoint_of_box.get(category, {}).get(name),
        }
        for table in tables
        for row in table.rows
        for category, values in row.result.by_keypoint.items()
        for name, value in values.items()
    ]


def _pairs(tables: Sequence[Table]) -> list[Line]:
    """One line per run, category and pair of mirror partners."""
    return [
        {**_identity(row.result), "category": category, "pair": name, **error.model_dump()}
        for table in tables
        for row in table.rows
        for category, errors in row.result.by_pair.items()
        for name, error in errors.items()
    ]


def _identity(result: Result) -> dict[str, object]:
    measured = "; ".join(f"{name}: {value}" for name, value in sorted(result.protocol.items()))
    where = {name: getattr(result, name) for name in ("data", "split", "task")}
    return {**where, "protocol": measured, "run": result.key}
