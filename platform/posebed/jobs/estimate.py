"""How long tasks take and what they leave on disk: as the same task did, or ones like it; time else by a guess."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from statistics import median

from posebed.jobs.graph import Graph, Task
from posebed.jobs.outcomes import Status

GUESSES = {"search": 300.0, "train": 60.0, "predict": 10.0, "score": 3.0}
"""Seconds, of a task of which nothing like it was ever done; of a training per ten epochs."""


class Estimates:
    """Args:
    statuses: of the graph's tasks; those that were ever done say how long that took.
    """

    def __init__(self, statuses: Mapping[str, Status]) -> None:
        self._own = {name: status.seconds for name, status in statuses.items() if status.seconds is not None}
        self._like = defaultdict[tuple[str, ...], list[float]](list)
        for name, seconds in self._own.items():
            task = statuses[name].task
            self._like[_likeness(task)].append(seconds / _amount(task))
        self._done = [statuses[name].task for name in self._own]

    def seconds(self, task: Task) -> float:
        if task.name in self._own:
            return self._own[task.name]
        like = self._like.get(_likeness(task))
        return _amount(task) * median(like) if like else _amount(task) * GUESSES[task.kind]

    def bytes(self, task: Task) -> float | None:
        """On disk; None where nothing like it was ever done."""
        like = [other for other in self._done if _likeness(other) == _likeness(task)]
        sizes = [_size(other.folder) for other in like if other.name == task.name] or [_size(o.folder) for o in like]
        return median(sizes) if sizes else None

    def remaining(self, graph: Graph, todo: Collection[str]) -> dict[str, float]:
        """Of every task to do, the seconds from its start to the end of the longest chain of tasks that need it."""
        longest: dict[str, float] = {}
        for name in reversed(list(graph.tasks)):
            if name in todo:
                behind = max((longest.get(other, 0.0) for other in graph.dependents[name]), default=0.0)
                longest[name] = self.seconds(graph.tasks[name]) + behind
        return longest


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _likeness(task: Task) -> tuple[str, ...]:
    """Tasks of one kind and model on the same data take about as long, per epoch if they train."""
    return (task.kind, task.model, *sorted(task.identity.data))


def _amount(task: Task) -> float:
    return (task.epochs or 10) / 10 if task.kind == "train" else 1.0
