"""What workers take of a cluster, how many of them its machines hold, and how many trials of a search run at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from posebed.config import SearchConfig
from posebed.jobs.graph import Task

SLACK = 1e-6
"""Of shares of an accelerator: three thirds are one."""


@dataclass(frozen=True)
class Room:
    """What a task takes while it runs, or what machines have."""

    cpus: float
    gpus: float = 0.0
    memory: float = 0.0
    """Bytes."""

    def __mul__(self, count: int) -> Room:
        return Room(self.cpus * count, self.gpus * count, self.memory * count)

    def __sub__(self, other: Room) -> Room:
        return Room(self.cpus - other.cpus, self.gpus - other.gpus, self.memory - other.memory)

    def fits(self, room: Room) -> bool:
        return all(mine <= other + SLACK for mine, other in zip(_amounts(self), _amounts(room), strict=True))

    def times_in(self, room: Room) -> int:
        """How often it fits."""
        pairs = zip(_amounts(self), _amounts(room), strict=True)
        return int(min(other / mine + SLACK for mine, other in pairs if mine))

    def __str__(self) -> str:
        memory = f", {self.memory / 1e9:.4g} GB" if self.memory else ""
        return f"{self.cpus:g} processors, {self.gpus:g} accelerators{memory}"


def _amounts(room: Room) -> tuple[float, float, float]:
    return room.cpus, room.gpus, room.memory


@dataclass(frozen=True)
class Share:
    """What one worker of a task is given."""

    cpus: int
    """Processors, and threads."""
    accelerator: bool


def together(rooms: Sequence[Room]) -> Room:
    return Room(sum(room.cpus for room in rooms), sum(room.gpus for room in rooms), sum(room.memory for room in rooms))


def slots(share: Room, nodes: Sequence[Room]) -> int:
    """How many workers of this size the machines hold when they are empty; each has one machine."""
    # Most machines of a large cluster are alike.
    return sum(share.times_in(node) * count for node, count in Counter(nodes).items())


def share_of(task: Task, nodes: Sequence[Room]) -> Room:
    """What one worker of the task takes. Several workers of one training cannot share an accelerator."""
    wanted = task.resources
    memory = (wanted.memory_gb or 0) * 1e9
    if task.kind == "score":
        return Room(1, 0, memory)
    if any(node.gpus for node in nodes):
        return Room(1, wanted.gpus if task.workers == 1 else 1, memory)
    return Room(wanted.cpus, 0, memory)


def trials_at_once(search: SearchConfig, slots: int, workers: int, searches: int) -> int:
    """As stated, or an equal part of the cluster for every search that is to do; never more than the budget has.

    Args:
        slots: workers that the cluster holds.
        workers: of each trial.
        searches: that are to do, this one among them.
    """
    wanted = search.at_once or max(1, slots // workers // searches)
    return min(wanted, search.budget.trials or wanted)
