"""All that one round runs on: a Ray cluster, servers, and the command that is given in the project's folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from campaign import servers
from campaign.project import variables
from campaign.servers import Server
from clusters import STORE, add_node, cluster_of
from processes import family

MARK = "POSEBED_KILLS"
"""Variable that every process of a round has: the round's folder."""
COMMAND = [sys.executable, "-c", "from posestages.cli import main; main()"]
NODES = 2


@dataclass
class World:
    """Args:
    folder: of the round.
    short: for what needs a short path, or holds passwords; whoever plays the round removes it at its end.
    """

    folder: Path
    short: Path
    mark: str
    cluster: Any
    """A ``ray.cluster_utils.Cluster`` whose head has no processors."""
    servers: dict[str, Server]
    settings: dict[str, str]
    """Variables of the command."""
    driver: subprocess.Popen[bytes] | None = None
    commands: int = 0

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def give_command(self) -> None:
        self.commands += 1
        with self.log_of_command(self.commands).open("wb") as log:
            self.driver = subprocess.Popen(
                [*COMMAND, "run"], cwd=self.project, env={**os.environ, **self.settings}, stdout=log, stderr=log
            )

    def log_of_command(self, number: int) -> Path:
        return self.folder / f"command-{number:02}.log"

    def commanded(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command that has ended."""
        settings = {**os.environ, **self.settings}
        return subprocess.run(
            [*COMMAND, *words], cwd=self.project, env=settings, capture_output=True, text=True, timeout=300
        )

    def raylets(self) -> list[psutil.Process]:
        """Of the living nodes, the head's first."""
        nodes = [node for node in (self.cluster.head_node, *self.cluster.worker_nodes) if node]
        return [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in nodes]

    def busy(self) -> list[psutil.Process]:
        """Processes that do a task, a trial or a part of one: Ray gives others no name, or that of a class."""
        found: list[psutil.Process] = []
        for raylet in self.raylets():
            with suppress(psutil.Error):
                found += [process for process in family(raylet.pid) if _works(process)]
        return found

    def kill_node(self, number: int) -> None:
        """All processes of a node at once."""
        node = sorted(self.cluster.worker_nodes, key=lambda node: node.node_id)[number]
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in (raylet, *family(raylet.pid)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.cluster.remove_node(node, allow_graceful=False)

    def add_node(self) -> None:
        """It joins the cluster a little later."""
        add_node(self.cluster, {"num_cpus": 1, "wait": False})

    @property
    def nodes_whole(self) -> bool:
        return len(self.cluster.worker_nodes) == NODES

    def end(self) -> None:
        if self.driver and self.driver.poll() is None:
            self.driver.kill()
            self.driver.wait()


def _works(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        title = " ".join(process.cmdline())
        return title.startswith("ray::") and "." in title.split()[0] and not title.startswith("ray::IDLE")
    return False


@contextmanager
def world(folder: Path, short: Path, template: Path, empty_tracker: Path, kinds: Mapping[str, bool]) -> Iterator[World]:
    """Copy the project and start everything.

    Args:
        folder: of the round.
        empty_tracker: a database of MLflow with its tables.
        kinds: whether there is a server of ``database`` and of ``storage``.
    """
    mark = str(folder)
    shutil.copytree(template, folder / "project")
    shutil.copy(empty_tracker, folder / "tracked.db")
    with ExitStack() as stack:
        for name in ("cache", "tmp"):
            (short / name).mkdir()
        common = {MARK: mark, "POSEBED_CACHE": short / "cache", "TMPDIR": short / "tmp", "OMP_NUM_THREADS": "1"}
        stack.enter_context(variables(common | {"RAY_TMPDIR": short}))
        tracking, uri = servers.tracker(folder)
        started, settings = {"tracker": stack.enter_context(servers.running(tracking))}, {"MLFLOW_TRACKING_URI": uri}
        if kinds["database"]:
            server, settings["POSEBED_STUDIES"] = servers.database(short / "postgres")
            started["database"] = stack.enter_context(servers.running(server))
        if kinds["storage"]:
            started["storage"], opened = stack.enter_context(servers.storage(short / "storage"))
            settings |= {**opened.variables, "POSEBED_STORAGE": opened.bucket("posebed")}
        else:
            settings["POSEBED_STORAGE"] = str(folder / "storage")
        stack.enter_context(variables(settings))
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": str(short / "ray"), "object_store_memory": STORE}
        cluster = stack.enter_context(cluster_of(head, *[{"num_cpus": 1}] * NODES))
        servers.all_answer([*started.values()])
        made = World(folder, short, mark, cluster, started, {**settings, "RAY_ADDRESS": str(cluster.address)})
        stack.callback(made.end)
        yield made


def short_folder(mark: str) -> Path:
    """A new, empty folder for a round. Others may pass through it: a server of Postgres is of a user of its own."""
    place = Path("/tmp")  # noqa: S108  # sockets have short paths
    folder = place / f"kills-{hashlib.sha256(mark.encode()).hexdigest()[:8]}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(0o711)
    return folder


def own_processes(mark: str) -> list[psutil.Process]:
    """All living processes whose mark begins so."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK, "").startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return [process for process in found if process.pid != os.getpid()]
