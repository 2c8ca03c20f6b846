"""What stands beside the page for other programs: each figure as an SVG file of its own, and one JSON of everything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from posebed.files import write_text, writing
from posebed.listing import visible
from posebed.reporting.compare import Table
from posebed.reporting.figures import Figure
from posebed.reporting.table_text import Line
from posebed.reporting.trace import Tracked
from posebed.scoring.result import Result
from posebed.scoring.search_result import SearchResult

FIGURES = "figures"
_ABOVE, _AROUND = 44, 10  # pixels for the two lines of the title, and around the chart


def write_figures(figures: Mapping[str, tuple[str, Sequence[Figure]]], folder: Path) -> None:
    """Write ``figures/PREFIX-NAME.svg``.

    Args:
        figures: By prefix, what the figures are of, and the figures.
    """
    style = _style()
    for prefix, (of, drawn) in figures.items():
        for figure in drawn:
            write_text(visible(_alone(figure, of, style)), folder / FIGURES / f"{prefix}-{figure.name}.svg")


def _style() -> str:
    """The page's rules for charts in its light colours, spelled out: many programs know no variables."""
    page = files("posebed.reporting").joinpath("page/style.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"(--[\w-]+): ([^;]+);", page.partition("}")[0]))
    rules = "\n".join(rule for rule in re.findall(r"^(?:\.chart|\.s\d).*$", page, re.MULTILINE))
    return re.sub(r"var\((--[\w-]+)\)", lambda name: colours[name[1]], rules)


def _alone(figure: Figure, of: str, style: str) -> str:
    width, height = (float(n) for n in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure.svg)[0])
    box = (-_AROUND, -_ABOVE, width + 2 * _AROUND, height + _ABOVE + _AROUND)
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{2:g}" height="{3:g}" viewBox="{0:g} {1:g} {2:g} {3:g}" '
    ).format(*box)
    ground = Markup(
        '<rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" fill="#ffffff"/>'
        '<text class="name" x="0" y="-26" font-size="14" font-weight="600">{}</text><text x="0" y="-10">{}</text>'
    ).format(*box, figure.title, of)
    opening = re.match(r'<svg class="chart" viewBox="[^"]*" ([^>]*>)', figure.svg)
    if opening is None:
        raise ValueError(f"a figure must be a chart, but starts with {figure.svg[:40]!r}")
    return f'{head}class="chart" {opening[1]}<style>{style}</style>{ground}{figure.svg[opening.end() :]}'


def write_json(
    results: Sequence[Result],
    searches: Sequence[SearchResult],
    tracked: Mapping[str, Tracked],
    tables: Sequence[Table],
    comparisons: Mapping[str, Sequence[Line]],
    path: Path,
) -> None:
    """Results and searches in full, the tables that they make, and further comparisons.

    Results are written one after another, since their learning curves are long.
    """
    rest = {
        "searches": [search.model_dump(mode="json") for search in searches],
        "tracked": {key: where.model_dump() for key, where in tracked.items()},
        "tables": [{"protocol": asdict(table.protocol), "runs": _ranked(table)} for table in tables],
        "comparisons": comparisons,
    }
    with writing(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        file.write('{"results": [\n')
        for i, result in enumerate(results):
            file.write((",\n" if i else "") + result.model_dump_json())
        file.write("\n],\n" + json.dumps(rest, ensure_ascii=False)[1:] + "\n")


def _ranked(table: Table) -> list[Line]:
    return [
        {
            "run": row.result.key,
            "seeds": row.result.seeds,
            table.protocol.headline: row.headline.value,
            "spread": row.headline.spread,
            "floor_difference": row.difference(),
            "floor_verdict": row.verdict(),
        }
        for row in table.rows
    ]
