"""The report of results alone, from a folder or from a tracking server, without parameters and data. The two pages are
equal: they have what a result itself holds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from posebed.reporting.site import write_report
from posebed.reporting.trace import TRACKED, Tracked
from posebed.scoring.result import Result, read_result


def report_folder(folder: Path, out: Path) -> Path:
    """Write the page of every ``KEY/result.json`` in a folder, and return its path.

    Raises:
        LookupError: there is none.
    """
    paths = results_in(folder)
    tracked = tracked_runs(path.parent for path in paths)
    return _write([(result, tracked.get(result.key)) for result in map(read_result, paths)], out)


def report_tracker(uri: str, out: Path) -> Path:
    """Write the page of every result that a tracking server holds, and return its path.

    Where a run was repeated under its key, the newest counts, and the number of older ones is told.

    Raises:
        LookupError: the server holds none, or is out of reach.
    """
    from posebed.reporting.tracking import Tracker, Unreachable

    try:
        found = sorted(Tracker(uri).results(), key=lambda pair: pair[0].provenance.created)
    except Unreachable as error:
        raise LookupError(f"the tracker must be in reach, but is not: {error}") from error
    newest = {result.key: (result, tracked) for result, tracked in found}
    if not newest:
        raise LookupError("the tracker must hold at least one result, but holds none; `posebed track` writes them")
    if len(found) > len(newest):
        print(f"{len(found) - len(newest)} older results of the same runs are left out", file=sys.stderr)
    return _write(newest.values(), out)


def _write(found: Iterable[tuple[Result, Tracked | None]], out: Path) -> Path:
    ordered = sorted(found, key=lambda pair: pair[0].key)
    tracked = {result.key: where for result, where in ordered if where}
    return write_report([result for result, _ in ordered], [], [], out, tracked=tracked)


def results_in(folder: Path) -> list[Path]:
    """Every ``KEY/result.json`` of a folder.

    Raises:
        LookupError: there is none.
    """
    paths = sorted(folder.glob("*/result.json"))
    if not paths:
        raise LookupError(f"{folder} must hold results as KEY/result.json, but holds none; `dvc repro` makes them")
    return paths


def tracked_runs(folders: Iterable[Path]) -> dict[str, Tracked]:
    """By the names of run folders, where the mirrors of those runs stand that were tracked from here."""
    paths = [folder / TRACKED for folder in folders]
    return {path.parent.name: Tracked.model_validate_json(path.read_text()) for path in paths if path.is_file()}
