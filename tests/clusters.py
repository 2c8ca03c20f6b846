"""Clusters of several nodes on this machine."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import posebed.jobs.cluster  # noqa: F401  # sets the variables that Ray reads
from posebed.jobs.local_cluster import patient_start

import ray.util  # isort: skip
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
def growing_cluster(folder: Path, cpus: int, kinds: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """The address of a cluster of one node, to which Ray's autoscaler adds nodes on this machine and takes idle ones
    away after seconds.

    Args:
        cpus: of the first node.
        kinds: of further nodes, by name: ``resources`` and ``max_workers``.
    """
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    address = f"{ray.util.get_node_ip_address()}:{port}"
    described = {name: {"node_config": {}, "min_workers": 0, **kind} for name, kind in kinds.items()}
    head = {"resources": {"CPU": cpus}, "node_config": {}, "max_workers": 0}
    config = {
        "cluster_name": "growing",
        "max_workers": 8,
        "upscaling_speed": 20,
        "idle_timeout_minutes": 0.1,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {"ray.head.default": head, **described},
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }
    (folder / "autoscaling.json").write_text(json.dumps(config))
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}", f"--num-cpus={cpus}"]
    start += [f"--object-store-memory={STORE}", "--block", "--disable-usage-stats", "--include-dashboard=false"]
    start += [f"--autoscaling-config={folder / 'autoscaling.json'}", f"--temp-dir={tempfile.mkdtemp(prefix='grows-')}"]
    settings = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | settings
    with (folder / "growing.log").open("wb") as log:
        process = subprocess.Popen(start, stdout=log, stderr=log, env=environment)
        try:
            printed = folder / "growing.log"
            waited_for(
                lambda: "Ray runtime started" in printed.read_text() or process.poll() is not None, what="a head"
            )
            yield address
        finally:
            for member in (*family(process.pid), process):
                member.kill()
            process.wait()


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
