"""The actor to which rank 0 pins its news and from which the driver reads them.

It stands alone so that its process need not load what training needs.
"""

from __future__ import annotations

from typing import Any


class Board:
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

    def read(self, seen: int, told: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]], list[str]]:
        """The newest tick, the epochs after so many, and the warnings after so many."""
        return self._tick, self._epochs[seen:], self._warnings[told:]
