"""Tell Ray that machines will be taken away."""

from __future__ import annotations

import time
from typing import Any, cast

from ray import _raylet
from ray.core.generated import autoscaler_pb2
from ray.exceptions import RayError
from ray.util import get_node_ip_address  # pyright: ignore[reportUnknownVariableType]

_COMPILED: Any = _raylet  # it has no types
_DRAIN: int = cast(Any, autoscaler_pb2).DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")  # nor have these


def announce(address: str, seconds: float, everywhere: bool) -> int:
    """Tell the cluster at that address that this machine, or every one, will be gone in so many seconds.

    It is what ``ray drain-node`` does for one node, of which it wants the name that Ray gave it.

    Returns:
        How many nodes that are.

    Raises:
        LookupError: none is on this machine.
        ValueError: the cluster does not answer.
    """
    end = int((time.time() + seconds) * 1000)
    machine = cast(str, get_node_ip_address(address))
    try:
        client = _COMPILED.GcsClient(address=address)
        told = client.get_all_node_info(timeout=30).items()
        alive = {node: info.node_manager_address for node, info in told if info.state == info.ALIVE}
        going = [node for node, place in alive.items() if everywhere or place == machine]
        for node in going:
            client.drain_node(node.hex(), _DRAIN, "it will be taken away", end)
    except RayError as error:
        raise ValueError(f"a cluster must answer at {address}, but said: {error}") from error
    if not going:
        raise LookupError(f"a node of the cluster at {address} must be on this machine, {machine}, but none is")
    return len(going)
