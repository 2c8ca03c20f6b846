"""The report's tables as CSV, unrounded: one line per run, per category and per keypoint."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from posebed.records import write_text
from posebed.reporting.compare import HEADLINE, Row, Table
from posebed.scoring.animal_kingdom import BOX
from posebed.scoring.result import Result

Line = dict[str, object]


def write_csv_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write ``leaders.csv``, ``categories.csv`` and ``keypoints.csv``."""
    for name, lines in (("leaders", _leaders), ("categories", _categories), ("keypoints", _keypoints)):
        write_text(_csv(lines(tables)), folder / f"{name}.csv")


def _csv(lines: Sequence[Line]) -> str:
    """Columns in the order in which lines first name them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for line in lines for name in line)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


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
    line: Line = {
        **_identity(result),
        **{name: getattr(result, name) for name in ("model", "pack", "seed")},
        **result.answered,
        "floor_difference": row.difference(),
        "floor_verdict": row.verdict(),
    }
    for score in result.scores:
        name = f"{score.metric}: {score.definition}" if score.metric in ambiguous else score.metric
        line[name] = score.value
        for end in ("low", "high", "low_categories", "high_categories"):
            line[f"{name} {end}"] = getattr(score, end)
    return line | result.cost.model_dump() | {"commit": result.provenance.commit, "fingerprint": result.fingerprint}


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
            HEADLINE: value,
            BOX.name: row.result.by_keypoint_of_box.get(category, {}).get(name),
        }
        for table in tables
        for row in table.rows
        for category, values in row.result.by_keypoint.items()
        for name, value in values.items()
    ]


def _identity(result: Result) -> Line:
    measured = "; ".join(f"{name}: {value}" for name, value in sorted(result.protocol.items()))
    where = {name: getattr(result, name) for name in ("data", "split", "task")}
    return {**where, "protocol": measured, "run": result.key}
