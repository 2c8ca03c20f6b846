"""Ray clusters over several machines, and a storage that all of them reach."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from machines import SWITCH, Done, Machine, Machines, machines
from object_storage import ObjectStorage, object_storage
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
    """A head, where commands are given, and others; each is a node."""

    network: Machines
    folder: Path
    """For what Ray prints when it starts."""
    storage: ObjectStorage | None = None
    variables: dict[str, str] = field(default_factory=dict[str, str])
    """Of the environment on every machine."""

    @property
    def head(self) -> Machine:
        return self.network.head

    @property
    def others(self) -> list[Machine]:
        """Those that have power."""
        return [machine for machine in self.network.others if machine.on]

    @property
    def address(self) -> str:
        return f"{self.head.address}:{PORT}"

    def add(self, cpus: int) -> Machine:
        """One machine more, with Ray."""
        machine = self.network.add()
        self.join(machine, cpus)
        return machine

    def join(self, machine: Machine, cpus: int) -> None:
        """Start Ray there, as the head where it is the first machine.

        Raises:
            AssertionError: it does not start.
        """
        role = [f"--address={self.address}"]
        if machine is self.head:
            role = ["--head", f"--port={PORT}", "--include-dashboard=false"]
        words = ["start", *role, f"--num-cpus={cpus}", f"--object-store-memory={STORE}"]
        words += [f"--node-ip-address={machine.address}", "--block", "--disable-usage-stats"]
        log = self.folder / f"{machine.name}.log"
        node = machine.start(sys.executable, "-c", START, *words, cwd=Path("/"), log=log, **self.variables)
        waited_for(lambda: node.poll() is not None or "Ray runtime started" in log.read_text(), 240, "Ray")
        assert node.poll() is None, log.read_text()

    def run(self, *words: str | Path, cwd: Path, seconds: float = 900, **variables: str) -> Done:
        """Run a command on the head that finds the cluster and the storage."""
        return self.head.run(*words, cwd=cwd, seconds=seconds, **self._own(variables))

    def start(self, *words: str | Path, cwd: Path, log: Path, **variables: str) -> subprocess.Popen[str]:
        """Start a command on the head that finds the cluster and the storage."""
        return self.head.start(*words, cwd=cwd, log=log, **self._own(variables))

    def _own(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {"RAY_ADDRESS": self.address, **self.variables, **variables}


@contextmanager
def ray_machines(cpus: Sequence[int], folder: Path, project: Path | None = None, s3: str = "") -> Iterator[RayMachines]:
    """A cluster of machines with so many processors, of which the first alone has the project.

    Args:
        folder: for files of servers.
        s3: name of a bucket of object storage that is the storage of all.
    """
    with ExitStack() as stack:
        network = stack.enter_context(machines(len(cpus), project))
        cluster = RayMachines(network, folder)
        if s3:
            cluster.storage = stack.enter_context(object_storage(folder / "s3", SWITCH, network.switch.inside))
            cluster.variables |= {**cluster.storage.variables, "POSEBED_STORAGE": cluster.storage.bucket(s3)}
        for machine, processors in zip(network.all, cpus, strict=True):
            cluster.join(machine, processors)
        yield cluster
