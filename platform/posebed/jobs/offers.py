"""Which task is offered to the cluster when, and what becomes of tasks that are lost, fail or are stopped.

Decides by the graph, the recorded seconds and the room that it is told of; knows no Ray, so that clusters of any size
can be simulated with it (``benchmarks/scale.py``).
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from posebed.config import SearchConfig
from posebed.jobs.graph import Graph, Task
from posebed.jobs.room import Room, share_of, slots, trials_at_once

RESTARTS = 3
"""How often in a row a task starts again after losing its process, without getting any further in between."""


@dataclass(frozen=True)
class Offer:
    """A task that is ready, and what it takes."""

    task: Task
    at_once: int
    """Trials of a search; 1 of any other task."""
    workers: int
    """Of each trial, or of the task."""
    share: Room
    """What one worker takes."""
    held: int
    """How many workers of this share the cluster holds when it is empty and as large as it ever was."""

    @property
    def count(self) -> int:
        """Workers of all trials at once."""
        return self.workers * self.at_once

    @property
    def need(self) -> Room:
        return self.share * self.count

    @property
    def places(self) -> list[Room]:
        """What each of the workers takes."""
        return [self.share] * self.count

    @property
    def too_large(self) -> bool:
        return self.count > self.held


def _widened(offer: Offer, held: int, free: Room) -> Offer:
    """With as many workers as there is room for.

    Args:
        held: workers of this share that the machines hold when they are empty.
    """
    task = offer.task
    workers = min(task.workers, held, offer.share.times_in(free)) if task.fewest else task.workers
    return replace(offer, workers=workers)


class Offers:
    """Tasks that wait, and those that came to no good end. What is ready is kept in order, so that a decision looks at
    the first task and at what depends on the one that ended, and not at all that wait.

    Args:
        todo: names of the tasks to do; what else they need was done before.
        searches: settings of the searches, by key.
        rank: of every task to do, the seconds from its start to the end of the longest chain of tasks that need it.

    Attributes:
        failed: name to reason.
        skipped: name to the failed or stopped task that it needs.
        most: of machines of each size the most that the cluster had at one time, or may come to have.
        missing: in the last look, the first task that waits for machines which the cluster has not now.
    """

    def __init__(
        self, graph: Graph, todo: Collection[str], searches: Mapping[str, SearchConfig], rank: Mapping[str, float]
    ) -> None:
        self._graph, self._searches = graph, searches
        todo = {*todo}
        self.waiting = {name for name in graph.tasks if name in todo}
        self.failed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.stopped: set[str] = set()
        self.most: Sequence[Room] = ()
        self.missing: Offer | None = None
        self._place = {name: (-rank[name], i, name) for i, name in enumerate(graph.tasks) if name in todo}
        self._missing = {name: sum(need in todo for need in graph.tasks[name].needs) for name in self._place}
        self._ready = sorted(self._place[name] for name in self.waiting if not self._missing[name])
        self._searches_to_do = {name for name in self.waiting if graph.tasks[name].kind == "search"}
        self._losses = Counter[str]()
        self._kept: dict[str, float] = {}
        self._ended_badly: list[str] = []

    def expect(self, nodes: Sequence[Room]) -> None:
        """The cluster has these machines, or may come to have them: what they hold together is not too large for it."""
        most = Counter(self.most) | Counter(nodes)
        if most.total() > len(self.most):
            self.most = [*most.elements()]

    def next(self, nodes: Sequence[Room], free: Room) -> Offer | None:
        """Of what is ready, the task with the longest way to the end. None while it must wait for room: it keeps those
        behind it waiting, so that a large one has its turn. One that waits for machines that are away lets them pass,
        since nobody knows when these come. One that is too large for the cluster is to fail.

        Args:
            nodes: what each machine has that stays.
            free: of these, what no task takes.
        """
        self.expect(nodes)
        self.missing = None
        known: dict[Room, tuple[int, int]] = {}  # many tasks are alike
        for *_, name in self._ready:
            task = self._graph.tasks[name]
            share = share_of(task, self.most)
            if share not in known:
                known[share] = slots(share, nodes), slots(share, self.most)
            now, most = known[share]
            offer = Offer(task, self._at_once(task, now), task.fewest or task.workers, share, held=most)
            if offer.too_large:
                return offer
            if offer.count <= now:
                return _widened(offer, now, free) if offer.need.fits(free) else None
            self.missing = self.missing or offer
        return None

    def places(self, limit: int) -> list[Room]:
        """What the workers of all tasks that are ready take, in the order of offers, up to so many workers."""
        places: list[Room] = []
        held: dict[Room, int] = {}
        for *_, name in self._ready:
            task = self._graph.tasks[name]
            share = share_of(task, self.most)
            held[share] = held.get(share) or slots(share, self.most)
            places += [share] * (task.workers * self._at_once(task, held[share]))
            if len(places) >= limit:
                break
        return places[:limit]

    def _at_once(self, task: Task, held: int) -> int:
        if task.kind != "search":
            return 1
        return trials_at_once(self._searches[task.key], held, task.workers, len(self._searches_to_do))

    def start(self, name: str) -> None:
        """It is under way."""
        self._withdraw(name)

    def end(self, name: str) -> None:
        """It was done: what waited for it alone is ready."""
        self._searches_to_do.discard(name)
        for other in self._graph.dependents[name]:
            if other in self.waiting:
                self._missing[other] -= 1
                if not self._missing[other]:
                    insort(self._ready, self._place[other])

    def wait_again(self, name: str) -> None:
        """It was under way and is to go on from its checkpoint."""
        self.waiting.add(name)
        insort(self._ready, self._place[name])

    def keep(self, name: str, amount: float) -> None:
        """So much of a task need not be done again, in a unit of the task's own. Where that is more than ever before,
        its losses so far have cost it nothing that counts."""
        if amount > self._kept.get(name, 0.0):
            self._kept[name] = amount
            self._losses.pop(name, None)

    def lose(self, name: str, announced: bool) -> bool:
        """The process of a task has ended. Whether it waits again: it does not where that has happened too often
        without being announced and without anything new being kept."""
        self._losses[name] += not announced
        if self._losses[name] > RESTARTS:
            return False
        self.wait_again(name)
        return True

    def fail(self, name: str, reason: str) -> None:
        self._withdraw(name)
        self.failed[name] = reason
        self._note_bad_end(name)

    def stop(self, name: str) -> None:
        self._withdraw(name)
        self.stopped.add(name)
        self._note_bad_end(name)

    def skip_hopeless(self) -> None:
        """Skip what needs a task that failed, was skipped or was stopped since the last call."""
        ended = {*self.failed, *self.skipped, *self.stopped} if self._ended_badly else set[str]()
        hopeless = {
            name: next(need for need in self._graph.tasks[name].needs if need in ended)
            for bad in self._ended_badly
            for name in self._graph.dependents[bad]
            if name in self.waiting
        }
        self._ended_badly = []
        roots = {name: self.skipped.get(blocked, blocked) for name, blocked in hopeless.items()}
        for name, root in roots.items():
            self._withdraw(name)
            self.skipped[name] = root
            self._note_bad_end(name)

    def _withdraw(self, name: str) -> None:
        if name in self.waiting:
            self.waiting.discard(name)
            if not self._missing[name]:
                self._ready.remove(self._place[name])

    def _note_bad_end(self, name: str) -> None:
        self._searches_to_do.discard(name)
        self._ended_badly.append(name)
