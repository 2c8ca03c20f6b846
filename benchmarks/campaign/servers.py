"""Servers that are killed like a machine that loses its power, and started again with what lies on their disks."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from object_storage import ObjectStorage, object_storage
from object_storage import missing as storage_missing
from processes import family
from waiting import waited_for

__all__ = ["storage_missing"]


@dataclass
class Server:
    """A server of one or several processes.

    Args:
        commands: that start it.
        answers: whether it does its work.
        settings: of ``subprocess.Popen``.
    """

    commands: Sequence[Sequence[str]]
    answers: Callable[[], bool]
    log: Path
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    processes: list[psutil.Process] = field(default_factory=list[psutil.Process])

    def start(self) -> None:
        with self.log.open("ab") as file:
            self.processes = [
                psutil.Popen([*words], stdout=file, stderr=file, **self.settings) for words in self.commands
            ]

    def kill(self) -> None:
        """All its processes at once."""
        everything = list(self.processes)
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                everything += family(process.pid)
        for process in everything:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(everything, timeout=30)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """It is started, and killed at the end."""
    server.start()
    try:
        yield server
    finally:
        server.kill()


def tracker(folder: Path) -> tuple[Server, str]:
    """MLflow's server over an SQLite file, and its address."""
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/tracked.db", "--artifacts-destination", str(folder / "kept")]
    settings = {"env": {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}}
    return Server([words], lambda: listens(port), folder / "server.log", settings), f"http://127.0.0.1:{port}"


def database(folder: Path) -> tuple[Server, str]:
    """A Postgres server with an empty database of studies, and that one's address.

    Args:
        folder: to which others than this process's user find their way, since Postgres refuses to be root.
    """
    port, password = free_port(), secrets.token_hex(20)
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    as_user: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    as_user = as_user if os.getuid() == 0 else {}
    folder.mkdir()
    (folder / "password").write_text(password)
    shutil.chown(folder, user)
    shutil.chown(folder / "password", user)
    (folder / "password").chmod(0o600)
    made = [postgres("initdb"), "--pgdata=server", "--username=posebed", "--pwfile=password", "--auth=scram-sha-256"]
    subprocess.run([*made, "--encoding=UTF8"], cwd=folder, check=True, capture_output=True, **as_user)
    (folder / "password").unlink()
    words = [postgres("postgres"), "-D", "server", "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    server = Server([[*words, "-p", str(port)]], lambda: listens(port), folder / "log", {"cwd": folder, **as_user})
    return server, f"postgresql+psycopg2://posebed:{password}@127.0.0.1:{port}/postgres"


def postgres(command: str) -> str:
    """Where a command of Postgres is: Debian keeps most out of the shell's way; empty where it is not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which(command, path=os.pathsep.join([*map(str, places[-1:]), os.environ["PATH"]])) or ""


@contextmanager
def storage(folder: Path) -> Iterator[tuple[Server, ObjectStorage]]:
    """The object storage of the tests."""
    before = set(psutil.Process().children())
    with object_storage(folder) as opened:
        started = [process for process in psutil.Process().children() if process not in before]
        started = [process for process in started if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
        port = int(opened.endpoint.rpartition(":")[2])
        server = Server([process.cmdline() for process in started], lambda: listens(port), folder / "again.log")
        server.processes = started
        try:
            yield server, opened
        finally:
            server.kill()


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as place:
        return place.connect_ex(("127.0.0.1", port)) == 0


def all_answer(servers: Sequence[Server]) -> None:
    for server in servers:
        waited_for(server.answers, 300, f"the server of {server.log}")
