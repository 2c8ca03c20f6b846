"""The machines of the cluster: what each has, and which of them will be taken away."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from posebed.jobs.room import Room

import ray  # isort: skip
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # isort: skip
from ray._private.state import state  # isort: skip  # no public call names the nodes that drain


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    name: str
    """In hexadecimal digits."""
    address: str
    room: Room
    """What it has."""


def living_nodes() -> list[Node]:
    """Those that the cluster has now."""
    told = cast(list[dict[str, Any]], ray.nodes())  # Ray has no type for what it tells of a node
    return [Node(n["NodeID"], n["NodeManagerAddress"], _room(n["Resources"])) for n in told if n["Alive"]]


def on(node: str) -> Any:  # as Ray types its options
    """The scheduling strategy for what is to run on one node alone."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


def here() -> Any:
    """The same for this process's node."""
    return on(ray.get_runtime_context().get_node_id())


class Machines:
    """As they are now.

    Attributes:
        rooms: what each machine has.
        staying: what each has that will not be taken away.
        leaving: names of the nodes that will be.
        own_leaves: whether this process's is one of them; as all tasks end with it, every node then counts
            as leaving.
    """

    def __init__(self) -> None:
        alive = {node.name: node.room for node in living_nodes()}
        self.leaving: Collection[str] = alive.keys() & state.get_draining_nodes().keys()
        self.own_leaves = ray.get_runtime_context().get_node_id() in self.leaving
        if self.own_leaves:
            self.leaving = alive.keys()
        self.rooms = [*alive.values()]
        self.staying = [room for node, room in alive.items() if node not in self.leaving]


def _room(resources: dict[str, float]) -> Room:
    return Room(cpus=resources.get("CPU", 0), gpus=resources.get("GPU", 0), memory=resources.get("memory", 0))
