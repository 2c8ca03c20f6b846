"""Writes the report: one self-contained page, and beside it its tables, its figures and one JSON of everything.

A page of thousands of runs opens at once: it shows the best of each table, and holds what few readers reach packed
until they do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from posebed.config import ScoringConfig
from posebed.contracts import Claim
from posebed.files import write_text, writing_folder
from posebed.listing import shortened, visible
from posebed.metrics.symmetry import APART, SPE
from posebed.records import DEFAULT_SIGMA
from posebed.reporting import held_out as held_out_words
from posebed.reporting.chart import series
from posebed.reporting.common_ground import GroundSection, ground_lines, spanned
from posebed.reporting.compare import (
    KeypointTable,
    Table,
    by_category,
    by_keypoint,
    by_pair,
    pairs_too_close,
    summary,
    tables,
)
from posebed.reporting.compressed_parts import Packed
from posebed.reporting.csv_tables import write_csv_tables, write_lines
from posebed.reporting.exports import FIGURES, write_figures, write_json
from posebed.reporting.figures import Figure, figures
from posebed.reporting.formats import amount, data_uri, duration, mean, number, p_value, signed, slug
from posebed.reporting.gallery import NEAR, GalleryPicture
from posebed.reporting.headlines import HEADLINES_FILE, headlines_of, made_from, write_headlines
from posebed.reporting.held_out import held_out_lines
from posebed.reporting.learning_curves import curve_lines, learning_curves
from posebed.reporting.paper_tables import Papers, paper_lines
from posebed.reporting.search_tables import (
    ENDS,
    FAULT_LINES,
    TRIALS,
    search_figure_files,
    search_groups,
    search_lines,
    search_trace,
    trial_lines,
    written,
)
from posebed.reporting.table_text import Line
from posebed.reporting.trace import Tracked, trace
from posebed.reporting.verdicts import TOLERANCE
from posebed.scoring.held_out import held_out
from posebed.scoring.result import BY_KEYPOINT, Result
from posebed.scoring.search_result import SearchResult

PAGE = "index.html"
_ENDINGS = (".html", ".json", ".csv", ".md", ".tex")
"""Of the files that stand in a report's folder."""
SHOWN = 12
"""Runs of a table, the best, that figures and breakdowns show, and that stand in it from the start."""
PICTURED = 48
"""Runs that there is room to show pictures of."""
SECTIONS = 3
"""Protocols whose figures and breakdowns stand there from the start."""
ENTRIES = 25
"""Runs whose provenance stands there from the start."""


@dataclass(frozen=True)
class DataProblems:
    """What the check of one dataset found."""

    data: str
    checked: int
    """Annotations looked at."""
    kept: int
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    """Reason to category to number."""
    notes: tuple[str, ...] = ()
    default_sigmas: tuple[str, ...] = ()
    """Categories whose OKS takes the default sigma."""


@dataclass(frozen=True)
class ProtocolSection:
    """One protocol, as the page shows it."""

    table: Table
    best: Table
    """The rows that figures and breakdowns show."""
    figures: list[Figure]
    categories: dict[str, list[float | None]]
    skeletons: list[KeypointTable]
    pairs: dict[str, list[float | None]]
    """Pair of mirror partners to its symmetric-pair error of every run of ``best``."""
    sides: dict[str, list[float | None]]
    """The same by category."""
    judged: tuple[int, int]
    """Keypoints with a mirror partner that were judged, and that were not."""
    pictures: list[tuple[int, str, list[GalleryPicture]]]
    """Place in the table, run and pictures, of the runs that have some."""


def write_report(
    results: Sequence[Result],
    gallery: Sequence[GalleryPicture],
    problems: Sequence[DataProblems],
    folder: Path,
    title: str = "Pose estimation benchmark",
    published: Mapping[str, Sequence[Claim]] | None = None,
    tracked: Mapping[str, Tracked] | None = None,
    comparisons: Mapping[str, Sequence[Line]] | None = None,
    grounds: Sequence[GroundSection] = (),
    papers: Papers | None = None,
    searches: Sequence[SearchResult] = (),
    scoring: ScoringConfig | None = None,
) -> Path:
    """Write ``index.html`` and what stands beside it into the folder, and return the page's path.

    Args:
        published: Run to the numbers that are published for what it repeats.
        tracked: Run to its mirror, as far as known.
        comparisons: Further tables by the name of their files.
        grounds: Where runs of both families answer the same queries.
        papers: What is published beside what we have of it.
        searches: Each with a finished trial.
        scoring: How intervals over held-out categories are resampled; by default as in ``ScoringConfig``.

    Raises:
        ValueError: two results have one key, a picture is of a run without a result, or the folder holds something
            else than a report.
        LookupError: a result lacks the headline metric.
    """
    _must_hold_a_report_alone(folder)
    comparisons = {**(comparisons or {}), **({"common_ground": ground_lines(grounds)} if grounds else {})}
    if papers and papers.named():
        comparisons["papers"] = paper_lines(papers)
    held = held_out(results, scoring or ScoringConfig())
    if held:
        comparisons["held_out"] = held_out_lines(held)
    curves = learning_curves(results)
    if curves:
        comparisons["curves"] = curve_lines(curves)
    searched = search_groups(searches)
    if searched:
        comparisons |= {"searches": search_lines(searched), "trials": trial_lines(searched)}
    keys = [r.key for r in results]
    _check_keys(keys, gallery)
    compared = tables(results)
    sections = [_section(table, gallery) for table in compared]
    drawn = {f"protocol-{i}": (s.table.protocol.title(), s.figures) for i, s in enumerate(sections, 1)}
    drawn |= {f"common-ground-{i}": (g.title(), g.figures) for i, g in enumerate(grounds, 1) if g.figures}
    drawn |= {f"curve-{i}": (curve.title, [curve.figure]) for i, curve in enumerate(curves, 1)}
    drawn |= search_figure_files(searched)
    page = _environment().get_template("report.html").render(
        title=title,
        summary=summary(compared),
        sections=sections,
        choices=_choices(compared),
        problems=problems,
        published=published or {},
        tracked=tracked or {},
        anchors={key: f"run-{i}" for i, key in enumerate(keys)},
        comparisons=list(comparisons),
        headlines=HEADLINES_FILE,
        drawn=drawn,
        packed=Packed(),
        grounds=grounds,
        held=held,
        curves=curves,
        papers=papers,
        searches=searched,
        search_anchors={search.key: f"search-{i}" for i, search in enumerate(searches)},
        tolerance=TOLERANCE,
        keypoint_metric=BY_KEYPOINT,
        near=NEAR,
        apart=APART,
        default_sigma=DEFAULT_SIGMA,
        limits={"rows": SHOWN, "sections": SECTIONS, "entries": ENTRIES, "trials": TRIALS, "faults": FAULT_LINES},
    )  # fmt: skip
    with writing_folder(folder) as unfinished:
        write_text(visible(page, keep="\n\t"), unfinished / PAGE)
        write_csv_tables(compared, unfinished)
        for name, lines in comparisons.items():
            write_lines(name, lines, unfinished)
        write_figures(drawn, unfinished)
        write_json(results, searches, tracked or {}, compared, comparisons, unfinished / "report.json")
        write_headlines(headlines_of(grounds, compared, made_from(results, searches), held), unfinished)
    return folder / PAGE


def _must_hold_a_report_alone(folder: Path) -> None:
    """The folder is replaced as a whole, so that no table of a section that is gone stays beside the page."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise ValueError(f"{folder} must be a folder, or not be there, but is something else; choose another place")
    others = sorted(path.name for path in folder.iterdir() if not _is_ours(path)) if folder.is_dir() else []
    if others or (folder.is_dir() and any(folder.iterdir()) and not (folder / PAGE).is_file()):
        held = shortened(others or [path.name for path in folder.iterdir()])
        raise ValueError(
            f"{folder} must be new, empty, or hold a report and nothing else, since it is replaced, but holds {held}; "
            "move that or choose another folder"
        )


def _is_ours(path: Path) -> bool:
    return path.suffix in _ENDINGS or path.name == FIGURES


def _check_keys(keys: Sequence[str], gallery: Sequence[GalleryPicture]) -> None:
    twice = sorted(key for key, times in Counter(keys).items() if times > 1)
    if twice:
        raise ValueError(f"every run must have one result, but there are several of {shortened(twice)}")
    strangers = sorted({p.run for p in gallery} - set(keys))
    if strangers:
        raise ValueError(
            f"every picture must be of a run with a result, but some are of {shortened(strangers)}; "
            f"there is {shortened(keys, none='nothing')}"
        )


def _section(table: Table, gallery: Sequence[GalleryPicture]) -> ProtocolSection:
    best = table.best(SHOWN)
    keys = [row.result.key for row in best.rows]
    pictures = [(i, key, [p for p in gallery if p.run == key]) for i, key in enumerate(keys)]
    sides = by_category(best, SPE.name)
    return ProtocolSection(
        table=table,
        best=best,
        figures=figures(best),
        categories=by_category(best, table.protocol.headline),
        skeletons=by_keypoint(best),
        pairs=by_pair(best),
        sides={name: values for name, values in sides.items() if any(value is not None for value in values)},
        judged=pairs_too_close(best.rows[0].result),
        pictures=[entry for entry in pictures if entry[2]],
    )


def _choices(compared: Sequence[Table]) -> dict[str, list[str]]:
    """What runs may be filtered by, where there is more than one to choose from."""
    choices: dict[str, set[str]] = {}
    for table in compared:
        for name, value in table.protocol.facets().items():
            choices.setdefault(name, set()).add(value)
        choices.setdefault("model", set()).update(row.result.model for row in table.rows)
    return {name: sorted(values) for name, values in choices.items() if len(values) > 1}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("posebed.reporting", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "mean": mean,
        "signed": signed,
        "p_value": p_value,
        "amount": amount,
        "duration": duration,
        "slug": slug,
        "series": series,
        "data_uri": data_uri,
        "spanned": spanned,
        "written": written,
    }
    environment.globals |= {"trace": trace, "search_trace": search_trace, "ends": ENDS}
    environment.globals["held_out"] = held_out_words
    return environment
