"""The tracker while tasks run: epochs, results and searches are written by a thread of the driver, so that a tracker
that is slow or out of reach holds up no task and stops none. It is told once, and not again, that it takes nothing.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from posebed.address import without_secrets
from posebed.config import SEARCH
from posebed.jobs.graph import Task
from posebed.places import run_folder
from posebed.scoring.result import RESULT_FILE, Epoch, read_result
from posebed.scoring.search_result import read_search

LATER = "not tracked, `posebed track` writes it later"


def out_of_reach() -> str:
    """Why the tracker takes nothing, as far as is seen before anything is written; empty where nothing is wrong. A
    server that the user names is asked; a file of this folder is only looked at."""
    from posebed.reporting import tracker_address

    if os.environ.get("MLFLOW_TRACKING_URI"):
        from posebed.reporting import mlflow_client

        return mlflow_client.out_of_reach()
    try:
        tracker_address.check(tracker_address.DEFAULT_URI, reading=False)
    except ValueError as error:
        return str(error)
    return ""


class LiveTracking:
    """Args:
    tasks: by name.
    wrong: why the tracker is known to take nothing; empty where it may.
    """

    PAUSE_SECONDS = 60.0
    """How long a tracker that failed is left alone by epochs; a result is tried at once."""

    def __init__(self, tasks: Mapping[str, Task], wrong: str = "") -> None:
        self._tasks, self._pool = tasks, ThreadPoolExecutor(1)
        self._waiting = defaultdict[str, list[Epoch]](list)
        self._next_try, self._warned, self.in_reach = 0.0, False, not wrong
        if wrong:
            self._failed(wrong)

    def __enter__(self) -> LiveTracking:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def epoch(self, task: str, epoch: Epoch) -> None:
        """A training has finished an epoch."""
        self._pool.submit(self._write_epoch, self._tasks[task], epoch)

    def done(self, task: Task) -> None:
        """A task has ended well."""
        if task.kind in ("score", "search"):
            self._pool.submit(self._write_outcome, task)

    def _write_epoch(self, task: Task, epoch: Epoch) -> None:
        waiting = self._waiting[task.name]
        waiting.append(epoch)
        if time.monotonic() < self._next_try:
            return
        try:
            from posebed.reporting.tracking import Tracker

            tracker = Tracker()
            tracker.log_curve(tracker.open(f"{task.key} seed {task.seed}", task.identity.hash), waiting)
            waiting.clear()
        except Exception as error:  # a mirror never decides what becomes of a run
            self._failed(f"{task.key}: {error}")

    def _write_outcome(self, task: Task) -> None:
        try:
            from posestages.commands.mirror import listed, track

            if task.kind == "search":
                missing = track([], [read_search(run_folder(SEARCH + task.key))])
            else:
                missing = track([read_result(run_folder(task.key) / RESULT_FILE)])
            if missing:
                self._failed(listed(missing))
        except Exception as error:
            self._failed(f"{task.key}: {error}")

    def _failed(self, reason: str) -> None:
        self._next_try = time.monotonic() + self.PAUSE_SECONDS
        if not self._warned:
            print(f"{LATER}: {without_secrets(reason)}", file=sys.stderr)
        self._warned = True
