"""Whether a checkpoint is wanted now, asked between two steps: all workers are answered alike at the same step."""

from __future__ import annotations

import time
from enum import IntEnum

from posebed.training.log import Log
from posebed.training.process_group import ProcessGroup, told_by_first

LOOK_SECONDS = 3.0
"""Between two looks, about."""


class Wanted(IntEnum):
    NOTHING = 0
    CHECKPOINT = 1
    LEAVE = 2
    """A checkpoint, after which the training goes on elsewhere."""


class Looks:
    """The first worker looks every few seconds, and says after how many steps all meet for the next look.

    Args:
        every: seconds between checkpoints; None where only those at the ends of epochs are wanted.
    """

    def __init__(self, log: Log, group: ProcessGroup, every: float | None) -> None:
        self._log, self._group, self._every = log, group, every
        self._steps, self._next = 0, 1
        self._looked = self._kept = time.monotonic()

    def after_step(self) -> Wanted:
        """After each optimizer step but an epoch's last; every worker calls it."""
        self._steps += 1
        return self.now() if self._steps >= self._next else Wanted.NOTHING

    def now(self) -> Wanted:
        """Every worker calls it."""
        leaving = self._log.leaving()  # on every worker: Ray Train answers none before all have asked
        answer = (self._wanted(leaving), self._steps_to_next()) if self._group.rank == 0 else (0, 0)
        wanted, self._next = told_by_first(answer, self._group)
        self._steps, self._looked = 0, time.monotonic()
        return Wanted(wanted)

    def kept(self) -> None:
        """A checkpoint was kept, or tried to be."""
        self._kept = time.monotonic()

    def _wanted(self, leaving: bool) -> Wanted:
        if leaving:
            return Wanted.LEAVE
        due = self._every is not None and time.monotonic() - self._kept >= self._every
        return Wanted.CHECKPOINT if due else Wanted.NOTHING

    def _steps_to_next(self) -> int:
        """At the pace since the last look; never many more than then, since the first steps are slow or fast."""
        passed = max(time.monotonic() - self._looked, 1e-6)
        return max(1, min(int(LOOK_SECONDS * self._steps / passed), 4 * self._steps))
