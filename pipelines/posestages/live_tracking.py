"""The tracker while tasks run: epochs, results and searches are written by a thread of the driver, so that a tracker
that is slow or out of reach holds up no task and stops none.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from posebed.config import SEARCH
from posebed.jobs.graph import Task
from posebed.places import run_folder
from posebed.scoring.result import RESULT_FILE, Epoch, read_result
from posebed.scoring.search_result import read_search


class LiveTracking:
    """Args:
    tasks: by name.
    """

    PAUSE_SECONDS = 60.0
    """How long a tracker that failed is left alone by epochs; a result is tried at once."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks, self._pool = tasks, ThreadPoolExecutor(1)
        self._waiting = defaultdict[str, list[Epoch]](list)
        self._next_try, self._warned = 0.0, False

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
            self._pool.submit(_write_outcome, task)

    def _write_epoch(self, task: Task, epoch: Epoch) -> None:
        from posebed.reporting.mlflow_client import TrackerError
        from posebed.reporting.tracking import Tracker

        waiting = self._waiting[task.name]
        waiting.append(epoch)
        if time.monotonic() < self._next_try:
            return
        try:
            tracker = Tracker()
            tracker.log_curve(tracker.open(f"{task.key} seed {task.seed}", task.identity.hash), waiting)
            waiting.clear()
        except TrackerError as error:
            self._next_try = time.monotonic() + self.PAUSE_SECONDS
            if not self._warned:
                print(f"epochs could not be tracked and are written with the result: {error}", file=sys.stderr)
            self._warned = True


def _write_outcome(task: Task) -> None:
    from posestages.commands.mirror import mirror

    try:
        if task.kind == "search":
            mirror([], [read_search(run_folder(SEARCH + task.key))])
        else:
            mirror([read_result(run_folder(task.key) / RESULT_FILE)])
    except Exception as error:  # a mirror never decides what becomes of a run
        print(f"{task.key} was not tracked: {error}", file=sys.stderr)
