"""The actor to which tasks publish progress and from which the driver reads it.

A module of its own, so that the actor's process imports nothing that training needs.
"""

from __future__ import annotations

from typing import Any


class Progress:
    """Holds the newest tick of every task, and the epochs and lines that the driver has not read yet. When its machine
    is lost, it starts again without them."""

    def __init__(self) -> None:
        self._ticks: dict[str, dict[str, Any]] = {}
        self._news: list[tuple[str, str, Any]] = []
        self._leaving: set[str] = set()

    def tick(self, task: str, tick: dict[str, Any]) -> None:
        self._ticks[task] = tick

    def epoch(self, task: str, epoch: dict[str, Any]) -> None:
        self._news.append((task, "epoch", epoch))

    def line(self, task: str, line: str) -> None:
        """Something to be shown above the bars."""
        self._news.append((task, "line", line))

    def leave(self, task: str) -> None:
        """The machine on which a task runs will be taken away."""
        self._leaving.add(task)

    def start(self, task: str) -> None:
        """A task starts, perhaps again."""
        self._leaving.discard(task)

    def leaving(self, task: str) -> bool:
        return task in self._leaving

    def read(self) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str, Any]]]:
        """The newest ticks by task, and the news (task, epoch or line, content) since it was last read."""
        news, self._news = self._news, []
        return self._ticks, news
