"""The actor to which rank 0 pins its news and from which the driver reads them.

It stands alone so that its process need not load what training needs.
"""

from __future__ import annotations

from typing import Any


class Board:
    """Holds the newest tick, and every epoch since the job began."""

    def __init__(self) -> None:
        self._tick: dict[str, Any] | None = None
        self._epochs: list[dict[str, Any]] = []

    def tick(self, tick: dict[str, Any]) -> None:
        self._tick = tick

    def epoch(self, epoch: dict[str, Any]) -> None:
        self._epochs.append(epoch)

    def read(self, seen: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        return self._tick, self._epochs[seen:]
