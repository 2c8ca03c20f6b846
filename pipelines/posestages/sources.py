"""The report of results and searches alone, from a folder or from a tracking server, without parameters and data. The
two pages are equal: they have what results and searches themselves hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from posebed.config import SEARCH
from posebed.reporting.site import write_report
from posebed.reporting.trace import TRACKED, Tracked
from posebed.scoring.result import Result, read_result
from posebed.scoring.search_result import SearchResult, read_search


def report_folder(folder: Path, out: Path) -> Path:
    """Write the page of every ``KEY/result.json`` and every search in a folder, and return its path.

    Raises:
        LookupError: there is neither.
    """
    paths, searches = results_in(folder), searches_in(folder.glob(f"{SEARCH}*"))
    if not paths and not searches:
        raise LookupError(f"{folder} must hold results as KEY/result.json, but holds none; `dvc repro` makes them")
    tracked = tracked_runs(path.parent for path in paths)
    return _write([(result, tracked.get(result.key)) for result in map(read_result, paths)], searches, out)


def report_tracker(uri: str, out: Path) -> Path:
    """Write the page of every result and search that a tracking server holds, and return its path.

    Where one was repeated under its key, the newest counts, and the number of older ones is told.

    Raises:
        LookupError: the server holds neither, or is out of reach.
    """
    from posebed.reporting.search_tracking import tracked_searches
    from posebed.reporting.tracking import Tracker, Unreachable

    try:
        found = sorted(Tracker(uri).results(), key=lambda pair: pair[0].provenance.created)
        searches = sorted(tracked_searches(uri), key=lambda search: search.origin.get("created", ""))
    except Unreachable as error:
        raise LookupError(f"the tracker must be in reach, but is not: {error}") from error
    newest = {result.key: (result, tracked) for result, tracked in found}
    newest_searches = {search.key: search for search in searches}
    if not newest and not newest_searches:
        raise LookupError("the tracker must hold at least one result, but holds none; `posebed track` writes them")
    for what, older in (
        ("results of the same runs", len(found) - len(newest)),
        ("searches of the same keys", len(searches) - len(newest_searches)),
    ):
        if older:
            print(f"{older} older {what} are left out", file=sys.stderr)
    return _write(newest.values(), newest_searches.values(), out)


def _write(found: Iterable[tuple[Result, Tracked | None]], searches: Iterable[SearchResult], out: Path) -> Path:
    ordered = sorted(found, key=lambda pair: pair[0].key)
    tracked = {result.key: where for result, where in ordered if where}
    in_order = sorted(searches, key=lambda search: search.key)
    return write_report([result for result, _ in ordered], [], [], out, tracked=tracked, searches=in_order)


def results_in(folder: Path) -> list[Path]:
    """Every ``KEY/result.json`` of a folder."""
    return sorted(folder.glob("*/result.json"))


def searches_in(folders: Iterable[Path]) -> list[SearchResult]:
    """The searches of those folders that hold a finished one."""
    return [read_search(folder) for folder in folders if (folder / "search.json").is_file()]


def tracked_runs(folders: Iterable[Path]) -> dict[str, Tracked]:
    """By the names of run folders, where the mirrors of those runs stand that were tracked from here."""
    paths = [folder / TRACKED for folder in folders]
    return {path.parent.name: Tracked.model_validate_json(path.read_text()) for path in paths if path.is_file()}
