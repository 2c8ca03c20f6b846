"""A cluster whose nodes are lost and come back, on which the scheduler's own code (``posebed.jobs.offers``) decides and
time jumps from one event to the next.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from posebed.config import SearchConfig
from posebed.jobs.estimate import Estimates
from posebed.jobs.graph import Graph, Task
from posebed.jobs.offers import Offer, Offers
from posebed.jobs.outcomes import State, Status
from posebed.jobs.room import Room, together

PER_NODE, CPUS = 8, 128
"""Accelerators and processors of a node."""
BETWEEN_LOSSES, AWAY = 6 * 3600.0, 600.0
"""Mean seconds until a node is lost, and until it is back."""


@dataclass(eq=False)
class Piece:
    """What one accelerator works at: a task, or a trial of a search."""

    task: str
    gpus: int
    seconds: float
    interval: float
    """Seconds between checkpoints."""
    kept: float = 0.0
    """Seconds that need not be done again."""
    spent: float = 0.0
    since: float = 0.0
    starts: int = 0
    node: Node | None = None


@dataclass(eq=False)
class Node:
    free: int = PER_NODE
    alive: bool = True
    pieces: list[Piece] = field(default_factory=list[Piece])


@dataclass(eq=False)
class Work:
    """Tasks, how long they took when they were recorded, and what they take now."""

    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    recorded: dict[str, float] = field(default_factory=dict[str, float])
    pieces: dict[str, list[Piece]] = field(default_factory=dict[str, list[Piece]])

    def add(self, task: Task, recorded: float, seconds: list[float], interval: float = 0.0) -> None:
        gpus = int(task.kind != "score")
        self.tasks[task.name], self.recorded[task.name] = task, recorded
        self.pieces[task.name] = [Piece(task.name, gpus, each, interval or each) for each in seconds]

    def remaining(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """The scheduler's own rank of every task."""
        done = {name: Status(self.tasks[name], State.DONE, seconds=each) for name, each in seconds.items()}
        return Estimates(done).remaining(Graph(self.tasks), self.tasks)

    def searches(self) -> dict[str, SearchConfig]:
        """Settings by key; of each the trials are its pieces."""
        shared = {"split": "s", "pack": "p"}
        return {
            task.key: SearchConfig.model_validate(
                {"model": task.model, "budget": {"trials": len(self.pieces[task.name])}, **shared}
            )
            for task in self.tasks.values()
            if task.kind == "search"
        }

    def bound(self, gpus: int, seconds: Callable[[Piece], float]) -> float:
        """No schedule is shorter than the longest chain, nor than all work on all accelerators."""
        longest = {name: max(map(seconds, pieces)) for name, pieces in self.pieces.items()}
        total = sum(seconds(piece) for pieces in self.pieces.values() for piece in pieces if piece.gpus)
        return max(*self.remaining(longest).values(), total / gpus)


@dataclass(eq=False)
class Under:
    """A task under way: pieces that wait for a place and pieces at work."""

    need: Room
    at_once: int
    waiting: list[Piece]
    at_work: list[Piece] = field(default_factory=list[Piece])
    home: Node | None = None
    """Where its own process is; with it the task is lost."""


class Simulation:
    """A cluster in which time jumps from one event to the next.

    Args:
        losses: whether nodes are lost and come back.
        announced: whether each loss is announced, if too late for a checkpoint.
    """

    def __init__(self, work: Work, gpus: int, losses: bool, announced: bool, rng: random.Random) -> None:
        self._work, self._announced, self._rng = work, announced, rng
        self._nodes = [Node() for _ in range(gpus // PER_NODE)]
        self._now, self._number = 0.0, itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._under: dict[str, Under] = {}
        self.deciding, self.starts, self.lost = 0.0, 0, 0
        """Seconds of the scheduler's code, tasks that it started, tasks that a node took with it."""
        with self._decides():
            self.offers = Offers(Graph(work.tasks), work.tasks, work.searches(), work.remaining(work.recorded))
        if losses:
            for node in self._nodes:
                self._after(rng.expovariate(1 / BETWEEN_LOSSES), lambda node=node: self._lose(node))

    def run(self) -> float:
        """Seconds until nothing is left to do."""
        while self.offers.waiting or self._under:
            self._look()
            if self.offers.waiting or self._under:
                self._now, _, event = heapq.heappop(self._events)
                event()
                for under in self._under.values():
                    self._place(under)
        return self._now

    @contextmanager
    def _decides(self) -> Generator[None]:
        began = time.perf_counter()
        yield
        self.deciding += time.perf_counter() - began

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._number), event))

    def _look(self) -> None:
        """As the scheduler does after each event."""
        started: list[Offer] = []
        with self._decides():
            self.offers.skip_hopeless()
            nodes = [Room(CPUS, PER_NODE) for node in self._nodes if node.alive]
            free = together(nodes) - together([under.need for under in self._under.values()])
            while offer := self.offers.next(nodes, free):
                if offer.too_large:
                    self.offers.fail(offer.task.name, "too large")
                    continue
                self.offers.start(offer.task.name)
                started.append(offer)
                free -= offer.need
        self.starts += len(started)
        for offer in started:
            left = [piece for piece in self._work.pieces[offer.task.name] if piece.kept < piece.seconds]
            self._under[offer.task.name] = Under(offer.need, offer.at_once, left)
            self._place(self._under[offer.task.name])

    def _place(self, under: Under) -> None:
        while under.waiting and len(under.at_work) < under.at_once:
            piece = under.waiting[0]
            node = next((node for node in self._nodes if node.alive and node.free >= piece.gpus), None)
            if node is None:
                return
            under.at_work.append(under.waiting.pop(0))
            under.home = under.home or node
            node.pieces.append(piece)
            node.free -= piece.gpus
            piece.node, piece.since, piece.starts = node, self._now, piece.starts + 1
            self._after(piece.seconds - piece.kept, lambda piece=piece, start=piece.starts: self._end(piece, start))

    def _end(self, piece: Piece, start: int) -> None:
        if piece.node is None or piece.starts != start:
            return  # its node was lost meanwhile
        self._take(piece)
        piece.kept = piece.seconds
        under = self._under[piece.task]
        under.at_work.remove(piece)
        if not under.at_work and not under.waiting:
            del self._under[piece.task]
            with self._decides():
                self.offers.end(piece.task)

    def _take(self, piece: Piece) -> None:
        """Off its node, with what its last checkpoint kept."""
        assert piece.node
        piece.node.pieces.remove(piece)
        piece.node.free += piece.gpus
        piece.node = None
        piece.spent += self._now - piece.since
        piece.kept = (piece.kept + self._now - piece.since) // piece.interval * piece.interval

    def _lose(self, node: Node) -> None:
        node.alive = False
        self._after(AWAY, lambda: self._come_back(node))
        for name in [name for name, under in self._under.items() if under.home is node]:
            under = self._under.pop(name)
            for piece in under.at_work:
                self._take(piece)
            self.lost += 1
            with self._decides():
                self.offers.keep(name, sum(piece.kept for piece in self._work.pieces[name]))
                if not self.offers.lose(name, self._announced):
                    self.offers.fail(name, "lost too often")
        for piece in [*node.pieces]:
            self._take(piece)
            under = self._under[piece.task]
            under.at_work.remove(piece)
            under.waiting.insert(0, piece)

    def _come_back(self, node: Node) -> None:
        node.alive = True
        self._after(self._rng.expovariate(1 / BETWEEN_LOSSES), lambda: self._lose(node))
