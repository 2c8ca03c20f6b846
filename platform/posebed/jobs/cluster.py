"""The Ray cluster that jobs run on: this machine's own by default, that at ``RAY_ADDRESS`` where it is set."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posebed.jobs.ray_variables import FORM, check_address, cluster_address

# Read by Ray when it is imported or started. Telemetry stays off unless the user says otherwise.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")  # workers of a busy machine import slowly
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's 15, any other process on the machine starves a training
# A cluster of our own listens on the loopback, which every user of the machine reaches: whoever does not know this
# process's token is refused.
if not cluster_address() and "RAY_AUTH_MODE" not in os.environ:
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

import ray
from ray._private import services

from posebed.address import shown_address, without_secrets
from posebed.jobs.local_cluster import start_cluster
from posebed.source_code import place_of
from posebed.yamlfile import read_yaml

OBJECT_STORE_BYTES = 100 * 2**20
"""Batches never pass through the object store, so a small one will do."""

KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
"""Freed memory stays in the process: else every activation of a step is mapped and zeroed anew by the kernel."""


def connect(packages: Sequence[str]) -> None:
    """Join the cluster at ``RAY_ADDRESS``, shipping the named packages to it, or start one that no one else can use,
    whose processes are sent those packages alone that lie in the working directory.

    Raises:
        ValueError: there is no cluster at the address that takes us in, or this machine's own does not start.
    """
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if address := cluster_address():
        _join(address, runtime_env=runtime_env(packages), **quiet)
        return
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # nobody takes this machine away
    for name, value in KEPT_MEMORY.items():  # actors that Tune starts take no variables of their own
        os.environ.setdefault(name, value)
    own = [str(place) for place in _places(packages) if place.parent == Path.cwd()]
    shipped: dict[str, Any] = {"runtime_env": {"py_modules": own}} if own else {}
    start_cluster(include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet, **shipped)


def _join(address: str, **settings: Any) -> None:
    """
    Raises:
        ValueError: there is no cluster there, or it does not take us in.
    """
    try:
        found = services.canonicalize_bootstrap_address(address) if address == "auto" else address
    except ConnectionError as error:
        raise ValueError(f"{FORM}, but no cluster runs on this machine, which auto looks for") from error
    check_address(found or "none")
    try:
        ray.init(address=address, **settings)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:  # Ray raises several kinds, one of them Exception itself
        reason = without_secrets(str(error).strip().partition("\n")[0], address)
        raise ValueError(f"{FORM}, but joining {shown_address(address)} fails: {reason}") from error


def worker_variables(accelerator: bool) -> dict[str, str]:
    """Environment variables of training workers."""
    if accelerator:
        return {}
    return {"DS_ACCELERATOR": "cpu", **KEPT_MEMORY}


def runtime_env(packages: Sequence[str]) -> dict[str, Any]:
    """``cluster/runtime_env.yaml``, with the packages' folders or files found from where their code lies.

    So the command may run in any folder, and a wheel's packages are shipped just as a checkout's are.
    """
    written = Path(__file__).parents[3] / "cluster" / "runtime_env.yaml"
    settings: dict[str, Any] = (read_yaml(written) or {}) if written.is_file() else {}
    return settings | {"py_modules": [str(place) for place in _places(packages)]}


def _places(packages: Sequence[str]) -> list[Path]:
    """Folder or file of each."""
    return [place for package in packages if (place := place_of(package))]
