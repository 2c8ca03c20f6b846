"""A Ray cluster of this machine's own, started with patience: the machine may be busy, its temporary folder deep."""

from __future__ import annotations

import inspect
import os
import random
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import _raylet
from ray._private import services

from posebed.address import without_secrets
from posebed.private import private_folder

ATTEMPTS = 2
PATIENCE = {
    "RAY_gcs_server_port_wait_time_s": "90",
    "RAY_agent_register_timeout_ms": "180000",
    "RAY_worker_register_timeout_seconds": "180",
}
"""How long Ray waits for its own processes: on a busy machine, importing their code alone exceeds its 30 seconds."""

_COMPILED: Any = _raylet  # it has no types
_SERVICES: Any = services  # these have few
OPTIONAL_PORTS = (
    _COMPILED.METRICS_AGENT_PORT_NAME,
    _COMPILED.METRICS_EXPORT_PORT_NAME,
    _COMPILED.DASHBOARD_AGENT_LISTEN_PORT_NAME,
)
"""Services of the dashboard's agent, which nothing here uses."""
PORTS = range(20_000, 32_768)
"""Registered ports below those that Linux and macOS give to outgoing connections."""

FOLDER = f"ray-{os.getuid()}/ray"
"""Of Ray's files. Ray lets everybody write to its own folder, so that the one above is what keeps others out."""
SESSION = f"{FOLDER}/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket that Ray makes in its temporary folder."""
LOOPBACK = "127.0.0.1"
LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
"""In bytes."""
SHORT_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108  # Ray makes a folder of its own in it


def start_cluster(**settings: Any) -> None:
    """Start a cluster that ends with the calling thread, and join it; ``settings`` go to ``ray.init``. All of it
    listens on the loopback alone.

    Raises:
        ValueError: Ray did not start, although tried twice, or no temporary folder can be used.
    """
    folder = temporary_folder()
    private_folder(Path(folder).parent, "Ray's files", "RAY_TMPDIR")
    for attempt in range(1, ATTEMPTS + 1):
        others = set(psutil.Process().children(recursive=True))
        try:
            with patient_start(), _on_loopback():
                ray.init(  # pyright: ignore[reportUnknownMemberType]
                    address="local", _temp_dir=folder, _node_ip_address=LOOPBACK, **settings
                )
            return
        except Exception as error:  # Ray raises several kinds, one of them Exception itself
            _end_processes(others)
            reason = without_secrets(str(error).strip().partition("\n")[0].rstrip("."))
            load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
            if attempt == ATTEMPTS:
                raise ValueError(
                    f"Ray must start on this machine, but failed {ATTEMPTS} times ({load}; logs in "
                    f"{folder}/session_latest/logs): {reason}; try again when the machine is less busy, or set "
                    "RAY_ADDRESS to a running cluster"
                ) from error
            print(f"Ray did not start ({load}), trying again: {reason}", file=sys.stderr)


def temporary_folder() -> str:
    """Return the folder for Ray's files: where Ray wants it, or in /tmp where its sockets' paths would be too long.

    Raises:
        ValueError: the path is too long, and no short folder can be written to.
    """
    elsewhere = os.environ.get("TMPDIR") if sys.platform == "linux" else None
    wanted = os.environ.get("RAY_TMPDIR") or elsewhere or SHORT_FOLDERS[0]
    longest = LONGEST_SOCKET_PATH - len(SESSION) - 1
    if len(os.fsencode(wanted)) <= longest:
        return str(Path(wanted) / FOLDER)
    for place in SHORT_FOLDERS:
        if os.access(place, os.W_OK | os.X_OK):
            print(
                f"Ray's files lie in {place}/{FOLDER}: the path of a temporary folder must have at most {longest} "
                f"bytes for its sockets, but {wanted} has {len(os.fsencode(wanted))}",
                file=sys.stderr,
            )
            return f"{place}/{FOLDER}"
    raise ValueError(
        f"RAY_TMPDIR must be a folder whose path has at most {longest} bytes, but is {wanted}, and neither of "
        f"{' and '.join(SHORT_FOLDERS)} can be written to"
    )


@contextmanager
def _on_loopback() -> Generator[None]:
    """Ray replaces the loopback's address by one at which others reach this machine, and then its services listen on
    every address."""
    unchanged = _SERVICES.resolve_ip_for_localhost
    _SERVICES.resolve_ip_for_localhost = lambda host: host  # pyright: ignore[reportUnknownLambdaType]
    try:
        yield
    finally:
        _SERVICES.resolve_ip_for_localhost = unchanged


@contextmanager
def patient_start() -> Generator[None]:
    """While nodes start, Ray waits for its own processes as long as a busy machine takes.

    A raylet waits 15 seconds, which no setting changes, until its agents have named their ports, and then dies. So the
    ports are named before it starts.
    """
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    unchanged = _SERVICES.start_raylet

    def start(*args: Any, **settings: Any) -> Any:
        call = inspect.signature(unchanged).bind(*args, **settings)
        for name in OPTIONAL_PORTS:
            # As Ray's own agent does where it offers no such service.
            _COMPILED.persist_port(call.arguments["session_dir"], call.arguments["node_id"], name, -1)
        call.arguments["runtime_env_agent_port"] = _free_port()
        return unchanged(*call.args, **call.kwargs)

    _SERVICES.start_raylet = start
    try:
        yield
    finally:
        _SERVICES.start_raylet = unchanged


def _free_port() -> int:
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as place:
            try:
                place.bind(("", port))
                return port
            except OSError:
                continue
    raise OSError(f"Ray must have a free port between {PORTS[0]} and {PORTS[-1]}, but none is free")


def _end_processes(others: set[psutil.Process]) -> None:
    """End what a failed start left running: Ray forgets these processes."""
    ray.shutdown()  # pyright: ignore[reportUnknownMemberType]
    left: list[psutil.Process] = []
    for process in set(psutil.Process().children(recursive=True)) - others:
        try:
            if any(word.startswith(str(Path(ray.__file__).parent)) for word in process.cmdline()):
                process.kill()
                left.append(process)
        except psutil.Error:
            continue
    psutil.wait_procs(left, timeout=10)
