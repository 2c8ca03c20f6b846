"""Clusters of several nodes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import posebed.jobs.cluster  # noqa: F401  # sets the variables that Ray reads
from posebed.jobs.local_cluster import patient_start

from ray.cluster_utils import Cluster  # isort: skip

STORE = 80 * 2**20


@contextmanager
def cluster_of(*nodes: dict[str, Any]) -> Iterator[Cluster]:
    """A cluster whose nodes have these resources, the first being its head."""
    head, *others = nodes
    with patient_start():
        cluster = Cluster(initialize_head=True, head_node_args={"object_store_memory": STORE, **head})
    try:
        for node in others:
            add_node(cluster, node)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Cluster, node: dict[str, Any]) -> Any:
    """One node more."""
    with patient_start():
        return cluster.add_node(**{"object_store_memory": STORE, **node})
