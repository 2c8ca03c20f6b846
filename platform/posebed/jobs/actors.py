"""The actors that do tasks: warm ones, which wait for the next task of their size, and launchers of larger work."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from posebed.jobs.cluster import worker_variables
from posebed.jobs.machines import here
from posebed.jobs.room import Room, together
from posebed.jobs.worker import Worker

import ray  # isort: skip
from ray.exceptions import RayError  # isort: skip


AnswerT = TypeVar("AnswerT")

COMMANDS_OWN = ("POSEBED_", "MLFLOW_", "AWS_", "GOOGLE_")
"""Beginnings of variables by which a command is told its storage, its databases and its tracker."""
PLACE_SECONDS = 10.0
"""Within which an actor that has a place usually says where it is."""


@dataclass
class Actor:
    handle: Any
    """Ray has no types for its methods."""
    need: Room
    node_ref: ray.ObjectRef[str]
    node: str = ""
    """Where it is, in hexadecimal digits, once it has said so."""
    since: float = field(default_factory=time.monotonic)

    @property
    def waits(self) -> bool:
        """Whether it seems to find no place."""
        return not self.node and time.monotonic() - self.since > PLACE_SECONDS

    def end(self) -> None:
        ray.kill(self.handle)  # pyright: ignore[reportUnknownMemberType]


class Actors:
    """Args:
    imports: modules that a warm actor imports before its first task comes.
    in_project: whether warm actors work in the project's folder, which then lies at the same path everywhere.
    """

    def __init__(self, imports: tuple[str, ...], in_project: bool = True) -> None:
        self._imports, self._in_project = imports, in_project
        self._idle: list[Actor] = []

    def warm(self, need: Room, left: Room, several: bool) -> Actor:
        """An idle actor of this size, or a new one in the place of idle ones of other sizes.

        Args:
            left: what tasks under way leave of the cluster.
            several: whether that is spread over several machines.
        """
        for actor in self._idle:
            if actor.need == need:
                self._idle.remove(actor)
                return actor
        self._make_room(need, left, several)
        memory = {"memory": need.memory} if need.memory else {}
        folder = Path.cwd() if self._in_project else None
        return _start(folder, need, worker_variables(need.gpus > 0), self._imports, num_gpus=need.gpus, **memory)

    def launcher(self, need: Room, left: Room, several: bool) -> Actor:
        """An actor for a task whose work is done by actors of its own, which find the room that they need. It is on
        this machine and in the project's folder, whose files it may need."""
        self._make_room(need, left, several)
        # The machine's Ray may have been started without what this command was given.
        own = {name: value for name, value in os.environ.items() if name.startswith(COMMANDS_OWN)}
        return _start(Path.cwd(), Room(0), worker_variables(False) | own, (), scheduling_strategy=here())

    def _make_room(self, need: Room, left: Room, several: bool) -> None:
        """End idle actors as long as they are in the way; of several machines, all may be on the one that has room."""
        while self._idle and (several or not need.fits(left - together([actor.need for actor in self._idle]))):
            self._idle.pop(0).end()

    def give_back(self, actor: Actor) -> None:
        """It has done its task and waits for another."""
        self._idle.append(actor)

    def end_idle(self, nodes: Collection[str] | None = None) -> None:
        """End those that wait, on these machines or on all."""
        for actor in [actor for actor in self._idle if nodes is None or actor.node in nodes]:
            self._idle.remove(actor)
            actor.end()

    def locate(self, busy: Sequence[Actor]) -> None:
        """Note where the idle and the busy actors are."""
        for actor in (*self._idle, *busy):
            if not actor.node and ready([actor.node_ref], seconds=0):
                actor.node = _answer(actor.node_ref)

    def give_way(self, busy: Sequence[Actor], left: Room) -> None:
        """End the idle actors where there is no room for them, or where one that was given a task waits for a place:
        its machine may have been lost after it was chosen, and the idle would keep the last one's room for good."""
        if not together([actor.need for actor in self._idle]).fits(left) or any(actor.waits for actor in busy):
            self.end_idle()


def _start(folder: Path | None, need: Room, variables: dict[str, str], imports: Sequence[str], **options: Any) -> Actor:
    place = None if folder is None else str(folder)
    handle: Any = ray.remote(num_cpus=need.cpus, **options)(Worker).remote(place, variables)
    node = handle.node.remote()
    handle.prepare.remote(imports)
    return Actor(handle, need, node)


def ready(refs: Sequence[ray.ObjectRef[AnswerT]], seconds: float) -> list[ray.ObjectRef[AnswerT]]:
    """The first that are answered, waiting so long at most."""
    # Ray's types do not say that they are the given ones.
    done, _ = ray.wait([*refs], timeout=seconds)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return cast("list[ray.ObjectRef[AnswerT]]", done)


def _answer(ref: ray.ObjectRef[str]) -> str:
    """What an actor answered; nothing where it is lost, of which its task tells."""
    try:
        return ray.get(ref)
    except RayError:
        return ""
