"""The report of results, predictions and searches alone, from a folder or from a tracking server, without parameters
and data. The two pages are equal. They hold the tables of the project's own page, with intervals resampled as is the
default, but no pictures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from posebed.catalog import installed
from posebed.config import SEARCH, ScoringConfig
from posebed.places import member_folder
from posebed.predictions import PREDICTIONS
from posebed.reporting.common_ground import ground_sections
from posebed.reporting.paper_tables import papers
from posebed.reporting.site import write_report
from posebed.reporting.terminal import print_headlines
from posebed.reporting.trace import TRACKED, Tracked, read_tracked
from posebed.scoring.common_ground import grounds, tables_at
from posebed.scoring.result import RESULT_FILE, Result, read_result
from posebed.scoring.search_result import SEARCH_FILE, SearchResult, read_search
from posestages.commands.preset_matching import claims, literature
from posestages.stage import usable_metrics

if TYPE_CHECKING:
    from posebed.reporting.tracking import Tracker

TrackedResults = list[tuple[Result, Tracked | None]]
"""Results, and where their mirrors stand."""


def report_folder(folder: Path, out: Path, reference: str | None = None) -> Path:
    """Write the page of every ``KEY/result.json`` and every search in a folder, print the tables that it starts with
    and return its path.

    Args:
        reference: as in ``ground_sections``.

    Raises:
        LookupError: there is neither, or the reference stands on no common ground.
    """
    paths, searches = results_in(folder), searches_in(folder.glob(f"{SEARCH}*"))
    if not paths and not searches:
        raise LookupError(f"{folder} must hold results as KEY/result.json, but holds none; `dvc repro` makes them")
    folders = [path.parent for path in paths]
    tracked = tracked_runs(folders)
    results = [read_result(path) for path in paths]
    tables = {result.key: tables_of(result, at) for result, at in zip(results, folders, strict=True)}
    return _write([(result, tracked.get(result.key)) for result in results], searches, tables, out, reference)


def report_tracker(uri: str, out: Path, reference: str | None = None) -> Path:
    """Write the page of every result and search that a tracking server holds, print the tables that it starts with and
    return its path.

    Where one was repeated under its key, the newest counts, and the number of older ones is printed.

    Args:
        reference: as in ``ground_sections``.

    Raises:
        LookupError: the server holds neither, or does not answer, or the reference stands on no common ground.
    """
    from posebed.reporting.mlflow_client import TrackerError
    from posebed.reporting.search_tracking import tracked_searches
    from posebed.reporting.tracking import Tracker

    with TemporaryDirectory() as folder:
        try:
            tracker = Tracker(uri, reading=True)
            tracked_results, searches = _newest(tracker.results(), tracked_searches(uri))
            tables = _fetched(tracker, tracked_results, Path(folder))
        except TrackerError as error:
            raise LookupError(f"the tracker must hand out what it holds, but does not: {error}") from error
        return _write(tracked_results, searches, tables, out, reference)


def _newest(
    every: Iterable[tuple[Result, Tracked]], every_search: Iterable[SearchResult]
) -> tuple[TrackedResults, list[SearchResult]]:
    """Of each key; the others are counted aloud.

    Raises:
        LookupError: there is nothing.
    """
    by_age = sorted(every, key=lambda pair: pair[0].provenance.created)
    searches = sorted(every_search, key=lambda search: search.origin.get("created", ""))
    newest = {result.key: (result, tracked) for result, tracked in by_age}
    newest_searches = {search.key: search for search in searches}
    if not newest and not newest_searches:
        raise LookupError("the tracker must hold at least one result, but holds none; `posebed track` writes them")
    for what, older in (
        ("results of the same runs", len(by_age) - len(newest)),
        ("searches of the same keys", len(searches) - len(newest_searches)),
    ):
        if older:
            print(f"{older} older {what} are left out", file=sys.stderr)
    return [*newest.values()], [*newest_searches.values()]


def _fetched(tracker: Tracker, tracked_results: TrackedResults, folder: Path) -> dict[str, Sequence[Path]]:
    """By the keys of runs on common ground the tables of predictions of their members, where all are tracked."""
    wanted = _on_ground(result for result, _ in tracked_results)
    return {
        result.key: tracker.member_predictions(result, where.run, folder)
        for result, where in tracked_results
        if where and result.key in wanted
    }


def _on_ground(results: Iterable[Result]) -> list[str]:
    return sorted({run.key for ground in grounds(results) for run in ground.runs})


def _write(
    tracked_results: TrackedResults,
    searches: Iterable[SearchResult],
    tables: Mapping[str, Sequence[Path]],
    out: Path,
    reference: str | None,
) -> Path:
    ordered = sorted(tracked_results, key=lambda pair: pair[0].key)
    results = [result for result, _ in ordered]
    absent = [key for key in _on_ground(results) if not tables.get(key)]
    if absent:
        print(
            f"{', '.join(absent)}: left out of common ground without a table of predictions; `posebed track` writes "
            "those of a project to its tracker",
            file=sys.stderr,
        )
    specs = [*usable_metrics(installed())[0].values()]
    page = write_report(
        results,
        [],
        [],
        out,
        published=claims(results),
        tracked={result.key: where for result, where in ordered if where},
        grounds=ground_sections(results, tables_at(tables), None, ScoringConfig(), specs, reference),
        papers=papers(results, literature()),
        searches=sorted(searches, key=lambda search: search.key),
    )
    print_headlines(out)
    return page


def results_in(folder: Path) -> list[Path]:
    """Every ``KEY/result.json`` of a folder of runs; those of members lie one folder deeper."""
    return sorted(folder.glob(f"*/{RESULT_FILE}"))


def searches_in(folders: Iterable[Path]) -> list[SearchResult]:
    """The searches of those folders that hold a finished one."""
    return [read_search(folder) for folder in folders if os.path.lexists(folder / SEARCH_FILE)]


def tables_of(result: Result, folder: Path) -> list[Path]:
    """The tables of predictions of a run's members, in the order of its seeds; empty where one is not there.

    Args:
        folder: the run's.
    """
    tables = [folder / member_folder(result.key, seed).name / PREDICTIONS for seed in result.seeds]
    return tables if all(table.is_file() for table in tables) else []


def tracked_runs(folders: Iterable[Path]) -> dict[str, Tracked]:
    """By the names of run folders, where the mirrors of those runs stand that were tracked from here."""
    return {folder.name: read_tracked(folder) for folder in folders if os.path.lexists(folder / TRACKED)}
