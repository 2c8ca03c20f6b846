"""The actor to which tasks publish progress and from which the driver reads it, and a task's way to it.

A module of its own, so that the actor's process imports nothing that training needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ray

    from posebed.scoring.result import Epoch


@dataclass(frozen=True)
class TaskProgress:
    """How far a task is."""

    done: float
    total: float | None
    """None where that is not known."""
    text: str


@dataclass(frozen=True)
class News:
    """Of one task, either an epoch or a line."""

    task: str
    epoch: dict[str, Any] | None = None
    """A finished epoch as pydantic dumps it."""
    line: str = ""
    """Something to be shown above the bars."""


@dataclass(frozen=True)
class Reading:
    """What the driver is told."""

    ticks: dict[str, TaskProgress]
    """By task how far it is."""
    kept: dict[str, float]
    """By task how much of it need not be done again, as ``Publisher.kept`` told."""
    news: list[News]
    """Since they were last read."""


class Progress:
    """Holds how far every task is, and the epochs and lines that the driver has not read yet. When its machine is lost,
    it starts again without them."""

    def __init__(self) -> None:
        self._ticks: dict[str, TaskProgress] = {}
        self._news: list[News] = []
        self._kept: dict[str, float] = {}
        self._leaving: set[str] = set()

    def tick(self, task: str, tick: TaskProgress) -> None:
        self._ticks[task] = tick

    def add(self, news: News) -> None:
        self._news.append(news)

    def keep(self, task: str, amount: float) -> None:
        self._kept[task] = amount

    def leave(self, task: str) -> None:
        """The machine on which a task runs will be taken away."""
        self._leaving.add(task)

    def start(self, task: str) -> None:
        """A task starts, perhaps again."""
        self._leaving.discard(task)

    def leaving(self, task: str) -> bool:
        return task in self._leaving

    def read(self) -> Reading:
        news, self._news = self._news, []
        return Reading(self._ticks, self._kept, news)


@dataclass(frozen=True)
class Publisher:
    """Publishes the progress of one task, and waits for no answer."""

    task: str
    actor: Any
    """Handle of the ``Progress`` actor; Ray has no types for its methods."""

    def tick(self, tick: TaskProgress) -> None:
        self.actor.tick.remote(self.task, tick)

    def epoch(self, epoch: Epoch) -> None:
        self.actor.add.remote(News(self.task, epoch=epoch.model_dump()))

    def kept(self, amount: float) -> None:
        """So much need not be done again if the task is lost: in a unit of its own, more the further it is."""
        self.actor.keep.remote(self.task, amount)

    def line(self, line: str) -> None:
        self.actor.add.remote(News(self.task, line=line))

    def leaving(self) -> ray.ObjectRef[bool]:
        """Whether the task's machine will be taken away."""
        return self.actor.leaving.remote(self.task)
