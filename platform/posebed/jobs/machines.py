"""The machines of the cluster: what each has, and which of them will be taken away."""

from __future__ import annotations

from posebed.jobs.room import Room

import ray  # isort: skip
from ray._private.state import state  # isort: skip  # no public call names the nodes that drain


class Machines:
    """As they are now.

    Attributes:
        rooms: what each machine has.
        staying: what each has that will not be taken away.
        leaving: nodes that will be, in hexadecimal digits.
        own_leaves: whether this process's is one of them; as all tasks end with it, every node then counts
            as leaving.
    """

    def __init__(self) -> None:
        alive = {node["NodeID"]: _room(node["Resources"]) for node in ray.nodes() if node["Alive"]}
        self.leaving = alive.keys() & state.get_draining_nodes().keys()
        self.own_leaves = ray.get_runtime_context().get_node_id() in self.leaving
        if self.own_leaves:
            self.leaving = alive.keys()
        self.rooms = [*alive.values()]
        self.staying = [room for node, room in alive.items() if node not in self.leaving]


def _room(resources: dict[str, float]) -> Room:
    return Room(resources.get("CPU", 0), resources.get("GPU", 0), resources.get("memory", 0))
