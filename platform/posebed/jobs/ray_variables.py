"""Ray's variables, checked before Ray reads them: it tries an address for minutes, and ends the process where the value
of a setting is of another type."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from posebed.address import shown_address
from posebed.databases import REACH_SECONDS, reach
from posebed.listing import shown

ADDRESS = "RAY_ADDRESS"
AUTH_MODES = ("token", "disabled")
FORM = f"{ADDRESS} must be HOST:PORT of the head of a running cluster, such as 10.0.0.1:6379, or auto"
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""With which a client of gRPC begins: HTTP/2's preface and an empty frame of settings."""
SETTINGS = 4
"""The kind of the frame that a server answers."""
_SETTING = re.compile(r"RAY_[a-z]\w*")
"""Names of the settings of Ray's compiled part."""
_LOADED = [sys.executable, "-c", "import ray._raylet"]


def cluster_address() -> str:
    """``RAY_ADDRESS``; empty where this machine's own cluster is meant."""
    address = os.environ.get(ADDRESS, "")
    return "" if address == "local" else address


def check_variables() -> None:
    """To be called before anything imports Ray.

    Raises:
        ValueError: Ray cannot use one of them, or there is no cluster at the address.
    """
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode is not None and mode not in AUTH_MODES:
        raise ValueError(f"RAY_AUTH_MODE must be {' or '.join(AUTH_MODES)}, but is {shown(mode)}")
    if mode == "token" and not os.environ.get("RAY_AUTH_TOKEN") and (path := os.environ.get("RAY_AUTH_TOKEN_PATH")):
        _must_hold_a_token(Path(path))
    settings = [name for name in os.environ if _SETTING.fullmatch(name)]
    if settings and "ray" not in sys.modules and _end_ray(settings):
        wrong = next((name for name in settings if _end_ray([name])), settings[0])
        raise ValueError(f"{wrong} must be a value that Ray takes, but is {shown(os.environ[wrong])}; unset it")
    if address := cluster_address():
        check_address(address)


def _must_hold_a_token(file: Path) -> None:
    try:
        found = "is empty" if not file.stat().st_size else "" if os.access(file, os.R_OK) else "cannot be read"
    except (OSError, ValueError) as error:
        found = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if found:
        raise ValueError(f"RAY_AUTH_TOKEN_PATH must be a file with the cluster's token, but {shown(str(file))} {found}")


def _end_ray(settings: Iterable[str]) -> bool:
    """Whether a process that loads Ray with these of our settings comes to a bad end."""
    others = {name: value for name, value in os.environ.items() if not _SETTING.fullmatch(name)}
    environment = others | {name: os.environ[name] for name in settings}
    return bool(subprocess.run(_LOADED, env=environment, capture_output=True).returncode)


def check_address(address: str) -> None:
    """
    Raises:
        ValueError: it is no address, or no head of a cluster answers there.
    """
    if address == "auto":
        return
    host, port = host_and_port(address)
    told = shown(shown_address(address))
    try:
        reach(host, port)
    except ValueError as error:
        raise ValueError(f"{FORM}, but is {told}: {error}; unset it to work on this machine alone") from None
    if os.environ.get("RAY_USE_TLS", "0") in ("", "0") and not _speaks_grpc(host, port):
        raise ValueError(f"{FORM}, but is {told}, where something else answers")


def host_and_port(address: str) -> tuple[str, int]:
    """
    Raises:
        ValueError: it has another form.
    """
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):([0-9]{1,5})", address)
    if not match or not 0 < int(match[2]) < 65536:
        raise ValueError(f"{FORM}, but is {shown(shown_address(address))}")
    return match[1].strip("[]"), int(match[2])


def _speaks_grpc(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), REACH_SECONDS) as connection:
            connection.sendall(HELLO)
            frame = connection.recv(9, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(frame) == 9 and frame[3] == SETTINGS
