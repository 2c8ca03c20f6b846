"""Ray clusters over several machines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from machines import Done, Machine, Machines, machines
from waiting import waited_for

PORT = 6379
STORE = 80 * 2**20
START = """
from posebed.jobs.local_cluster import patient_start
from ray.scripts.scripts import main
with patient_start():
    main()
"""
POSEBED = (sys.executable, "-c", "from posestages.cli import main; main()")


@dataclass
class RayMachines:
    """A head and others, each a node of so many processors."""

    network: Machines
    cpus: int
    logs: Path

    @property
    def head(self) -> Machine:
        return self.network.head

    @property
    def others(self) -> list[Machine]:
        return self.network.others

    @property
    def address(self) -> str:
        return f"{self.head.address}:{PORT}"

    def add(self) -> Machine:
        """One node more."""
        machine = self.network.add()
        self.join(machine)
        return machine

    def join(self, machine: Machine) -> None:
        """Start Ray there, as the head where it is the first machine.

        Raises:
            AssertionError: it does not start.
        """
        first = machine is self.head
        role = ["--head", f"--port={PORT}", "--include-dashboard=false"] if first else [f"--address={self.address}"]
        words = ["start", *role, f"--num-cpus={self.cpus}", f"--object-store-memory={STORE}"]
        words += [f"--node-ip-address={machine.address}", "--block", "--disable-usage-stats"]
        log = self.logs / f"{machine.name}.log"
        node = machine.start(sys.executable, "-c", START, *words, log=log)
        waited_for(lambda: node.poll() is not None or "Ray runtime started" in log.read_text(), 180, "Ray")
        assert node.poll() is None, log.read_text()

    def run(self, *words: str | Path, cwd: Path = Path("/"), seconds: float = 600, **variables: str) -> Done:
        """Run a command on the head that finds the cluster."""
        return self.head.run(*words, cwd=cwd, seconds=seconds, RAY_ADDRESS=self.address, **variables)

    def start(self, *words: str | Path, cwd: Path, log: Path, **variables: str) -> subprocess.Popen[str]:
        """Start a command on the head that finds the cluster."""
        return self.head.start(*words, cwd=cwd, log=log, RAY_ADDRESS=self.address, **variables)


@contextmanager
def ray_machines(count: int, logs: Path, cpus: int = 2, project: Path | None = None) -> Iterator[RayMachines]:
    """A cluster of so many machines, of which the head alone has the project.

    Args:
        logs: folder for what Ray prints when it starts.
    """
    with machines(count, project) as network:
        cluster = RayMachines(network, cpus, logs)
        for machine in network.all:
            cluster.join(machine)
        yield cluster
