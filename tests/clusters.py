"""Clusters of several nodes on this machine."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import posebed.jobs.cluster  # noqa: F401  # sets the variables that Ray reads
from posebed.jobs.local_cluster import patient_start

from ray._raylet import GcsClient  # isort: skip
from ray.cluster_utils import Cluster  # isort: skip

from processes import family  # isort: skip
from waiting import waited_for  # isort: skip

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


@contextmanager
def node_without(address: str, hidden: Sequence[Path], cpus: int) -> Iterator[None]:
    """A node more, in a mount namespace of its own, where these folders and files are empty."""
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", f"--num-cpus={cpus}"]
    start += [f"--object-store-memory={STORE}", "--block", "--disable-usage-stats"]
    mounts = [
        ["mount", "-t", "tmpfs", "none", str(path)] if path.is_dir() else ["mount", "--bind", "/dev/null", str(path)]
        for path in hidden
    ]
    script = " && ".join(map(shlex.join, [*mounts, ["exec", *start]]))
    known = len(GcsClient(address=address).get_all_node_info())
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.DEVNULL)
    try:
        waited_for(lambda: len(GcsClient(address=address).get_all_node_info()) > known, what="the node")
        yield
    finally:
        for member in (*family(process.pid), process):
            member.kill()
        process.wait()
