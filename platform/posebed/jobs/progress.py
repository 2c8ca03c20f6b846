"""The actor to which rank 0 publishes progress and from which the driver reads it.

A module of its own, so that the actor's process imports nothing that training needs.
"""

from __future__ import annotations

from typing import Any


class Progress:
    """Holds the newest tick, and every epoch and warning since the job began."""

    def __init__(self) -> None:
        self._tick: dict[str, Any] | None = None
        self._epochs: list[dict[str, Any]] = []
        self._warnings: list[str] = []

    def tick(self, tick: dict[str, Any]) -> None:
        self._tick = tick

    def epoch(self, epoch: dict[str, Any]) -> None:
        self._epochs.append(epoch)

    def warn(self, line: str) -> None:
        self._warnings.append(line)

    def read(
        self, epochs_seen: int, warnings_seen: int
    ) -> tuple[dict[str, Any] | None, list[dict[str, Any]], list[str]]:
        """The newest tick, the epochs after so many, and the warnings after so many."""
        return self._tick, self._epochs[epochs_seen:], self._warnings[warnings_seen:]
