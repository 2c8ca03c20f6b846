"""Results and searches in the tracker: written, and what was not written, with the reason.

The files are the truth, so that a tracker that fails costs nothing; ``posebed track`` writes everything again.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from posebed.config import SEARCH
from posebed.files import locked
from posebed.places import member_folder, run_folder
from posebed.predictions import PREDICTIONS
from posebed.reporting.trace import TRACKED, Tracked, write_tracked
from posebed.scoring.result import RESULT_FILE, Result, read_result
from posebed.scoring.search_result import SearchResult

if TYPE_CHECKING:
    from posebed.reporting.tracking import Tracker


def track(results: Sequence[Result], searches: Sequence[SearchResult] = ()) -> dict[str, str]:
    """Write results, the tables of predictions that are there, and searches to the tracker, and where a result went
    into ``runs/KEY/tracked.json``. Returns the keys of those that were not written, each with its reason.

    One that fails stops no other, but once the tracker is out of reach no further one is tried.
    """
    from posebed.reporting.mlflow_client import TrackerError, out_of_reach

    silent = out_of_reach()
    if silent:
        return dict.fromkeys([item.key for item in (*results, *searches)], silent)
    from posebed.reporting.search_tracking import SearchTracker
    from posebed.reporting.tracking import Tracker

    try:
        tracker = Tracker()
    except TrackerError as error:  # it went out of reach in between
        return dict.fromkeys([item.key for item in (*results, *searches)], str(error))
    writers = [(r.key, run_folder(r.key), partial(_write_result, tracker, r)) for r in results]
    writers += [(s.key, run_folder(SEARCH + s.key), partial(lambda s: SearchTracker(s).close(s), s)) for s in searches]
    missing: dict[str, str] = {}
    for key, folder, write in writers:
        if reason := silent or _failure(write, folder):
            missing[key] = reason
            silent = silent or out_of_reach()
    return missing


def _write_result(tracker: Tracker, result: Result) -> None:
    folder = run_folder(result.key)
    if len(result.seeds) == 1:
        logged = tracker.log_result(result, _predictions(result, result.seed))
    else:
        members = [
            (read_result(member_folder(result.key, seed) / RESULT_FILE), _predictions(result, seed))
            for seed in result.seeds
        ]
        logged = tracker.log_members(result, members)
    write_tracked(Tracked(run=logged, tracker=tracker.address), folder)


def _predictions(result: Result, seed: int) -> Path | None:
    table = member_folder(result.key, seed) / PREDICTIONS
    return table if table.is_file() else None


def _failure(write: Callable[[], None], folder: Path) -> str:
    """Why it was not written; empty where it was. Two that write the same at once would each make a run of it."""
    from posebed.reporting.mlflow_client import TrackerError

    try:
        with locked(folder / TRACKED):
            write()
    # Of the tracker, of a member's result that cannot be read, or of the disk.
    except (TrackerError, ValueError, OSError) as error:
        return str(error)
    return ""


def listed(missing: Mapping[str, str]) -> str:
    """``KEY, KEY: reason; KEY: other reason``."""
    keys = defaultdict[str, list[str]](list)
    for key, reason in missing.items():
        keys[reason].append(key)
    return "; ".join(f"{', '.join(those)}: {reason}" for reason, those in keys.items())


def mirror(results: Sequence[Result], searches: Sequence[SearchResult] = ()) -> None:
    """As ``track``, beside a stage's own work: what was not written is a line on standard error."""
    if missing := track(results, searches):
        print(f"not tracked, `posebed track` writes it later: {listed(missing)}", file=sys.stderr)
