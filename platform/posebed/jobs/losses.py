"""Ends a job of several workers that loses them again and again without getting any further.

Ray Train counts the failures of a job over its whole life, and a job of days on machines that live for hours would run
out of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from posebed.jobs.offers import RESTARTS
from posebed.jobs.worker import MachineLeaves

from ray.train import Checkpoint, UserCallback  # isort: skip


class Losses(UserCallback):
    """Called in Ray Train's controller. What is raised here ends the job.

    Raises:
        RuntimeError: the workers failed four times since the job last kept a checkpoint.
    """

    # Any: as Ray types them.

    def __init__(self) -> None:
        self._count = 0

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            self._count = 0

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        if _announced(worker_exceptions.values()):
            return
        self._count += 1
        if self._count > RESTARTS:
            rank, error = min(worker_exceptions.items())
            raise RuntimeError(
                f"its workers failed {self._count} times without getting any further, at last worker {rank} with: "
                f"{_last_line(error)}"
            )


def _announced(errors: Iterable[Exception]) -> bool:
    """Whether workers ended because a machine was to be taken away; others may have failed with them."""
    # What a worker raised, and what became of one that is gone, is wrapped.
    causes = [getattr(error, "_base_exc", getattr(error, "health_check_failure", error)) for error in errors]
    return any(isinstance(cause, MachineLeaves) or getattr(cause, "preempted", False) for cause in causes)


def _last_line(error: Exception) -> str:
    """Of what a worker raised, Ray gives the traceback, which ends with it."""
    return str(error).strip().rpartition("\n")[2][:300]
