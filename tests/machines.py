"""Several machines on this one, which share no more than real ones do.

A machine is a set of Linux namespaces: its processes see none but their own, have a network card with an address of
their own and a host name, read what is installed here, and write only to a temporary folder, shared memory and home of
their own. All machines are plugged into one switch. Nothing of it is visible from outside, and all of it is memory and
processes: it goes when the test ends or is killed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[1]
SOURCES = tuple(REPOSITORY / name for name in ("platform", "models", "pipelines"))
NETWORK = "10.77.0"
SWITCH = f"{NETWORK}.254"
"""Address at which machines find what runs in the switch, such as a server for all."""
MOST = 9
WRITABLE = (*(Path(p) for p in ("/tmp", "/var/tmp", "/dev/shm", "/run")), Path.home())  # noqa: S108
ALL = ("mount", "net", "pid", "uts", "ipc")

Done = subprocess.CompletedProcess[str]


@cache
def missing() -> str:
    """Why there can be no machines here; empty where there can."""
    lacking = [name for name in ("ip", "unshare", "nsenter", "setpriv") if not shutil.which(name)]
    if lacking:
        return f"needs {', '.join(lacking)} (Debian's iproute2 and util-linux)"
    words = ["unshare", *(f"--{kind}" for kind in ALL), "--fork", "ip", "link", "add", "name", "br0", "type", "bridge"]
    tried = subprocess.run(words, capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"needs namespaces and a bridge: {tried.stderr.strip()}"


class Spaces:
    """Namespaces that end, with all processes in them, when they are killed or this process ends."""

    def __init__(self, entered: Sequence[str] = ALL) -> None:
        """Args:
        entered: the kinds that commands enter; what they need of the others is that outside.
        """
        self._entered = entered
        own = ["unshare", *(f"--{kind}" for kind in ALL), "--mount-proc"]
        # The first process of a machine buries what others leave behind.
        stay = ["sh", "-c", "echo ready; while :; do sleep 3600; done"]
        words = ["setpriv", "--pdeathsig", "KILL", *own, "--fork", "--kill-child", *stay]
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
        assert self._holder.stdout and self._holder.stderr
        assert self._holder.stdout.readline() == "ready\n", self._holder.stderr.read()
        self.first = psutil.Process(self._holder.pid).children()[0].pid

    @property
    def inside(self) -> tuple[str, ...]:
        """Words before a command that is to run in them."""
        return ("nsenter", f"--target={self.first}", *(f"--{kind}" for kind in self._entered), "--")

    @property
    def there(self) -> bool:
        return self._holder.poll() is None

    def told(self, *words: str) -> str:
        """What a short command prints that must not fail."""
        done = subprocess.run([*self.inside, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> None:
        if self.there:
            os.kill(self.first, signal.SIGKILL)
        self._holder.communicate()  # until all have ended


@dataclass
class Machine:
    """One of the machines.

    Args:
        number: from 1.
        project: a folder of this machine alone, from outside; its processes see it at the same place.
    """

    number: int
    switch: Spaces
    project: Path | None = None
    spaces: Spaces = field(default_factory=Spaces)

    def __post_init__(self) -> None:
        self.name, self.address, self._port = f"m{self.number}", f"{NETWORK}.{self.number}", f"port{self.number}"
        far_end = f"/proc/{self.spaces.first}/ns/net"
        self.switch.told(*f"ip link add name {self._port} type veth peer name eth0 netns {far_end}".split())
        self.switch.told("ip", "link", "set", self._port, "master", "br0", "up")
        self.spaces.told("sh", "-ec", "\n".join([*_network(self.name, self.address), *_files(self.project)]))

    def run(self, *words: str | Path, cwd: Path = Path("/"), seconds: float = 300, **variables: str) -> Done:
        """Run a command there to its end."""
        command, environment = self._command(words, cwd), self._environment(variables)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)

    def start(
        self, *words: str | Path, cwd: Path = Path("/"), log: Path | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        """Start a command there, which ends with the machine."""
        with (log or Path(os.devnull)).open("w") as out:
            environment = self._environment(variables)
            return subprocess.Popen(
                self._command(words, cwd), env=environment, stdout=out, stderr=subprocess.STDOUT, text=True
            )

    def hide(self, folder: Path) -> None:
        """Let a folder be empty for whatever starts there from now on."""
        self.spaces.told("mount", "-t", "tmpfs", "none", str(folder))

    @property
    def on(self) -> bool:
        """Whether it has power."""
        return self.spaces.there

    def kill(self) -> None:
        """End all processes at once, and the network card with them, as when the power fails."""
        self.spaces.end()

    def cut(self) -> None:
        """Pull the network cable."""
        self.switch.told("ip", "link", "set", self._port, "down")

    def heal(self) -> None:
        """Plug it in again."""
        self.switch.told("ip", "link", "set", self._port, "up")

    def received_bytes(self) -> int:
        """What has come over its cable since it was started."""
        lines = self.switch.told("cat", "/proc/net/dev").splitlines()
        counters = next(line.split(":")[1] for line in lines if line.strip().startswith(f"{self._port}:"))
        return int(counters.split()[8])  # what the switch has sent through its side

    def processes(self) -> list[str]:
        """Command lines of all that runs there."""
        return self.spaces.told("ps", "-e", "-o", "args=").splitlines()

    def _command(self, words: Sequence[str | Path], cwd: Path) -> list[str]:
        return [*self.spaces.inside, "env", "-C", str(cwd), *map(str, words)]

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        own = {"PYTHONPATH": os.pathsep.join(map(str, SOURCES)), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**os.environ, **own, **variables}


@dataclass
class Machines:
    """The switch and what is plugged into it."""

    switch: Spaces
    all: list[Machine] = field(default_factory=list[Machine])

    @property
    def head(self) -> Machine:
        return self.all[0]

    @property
    def others(self) -> list[Machine]:
        return self.all[1:]

    def add(self, project: Path | None = None) -> Machine:
        """One machine more.

        Raises:
            ValueError: there are as many as can be.
        """
        if len(self.all) == MOST:
            raise ValueError(f"there must be at most {MOST} machines, but {len(self.all)} are there")
        self.all.append(Machine(len(self.all) + 1, self.switch, project))
        return self.all[-1]


@contextmanager
def machines(count: int = 2, project: Path | None = None) -> Iterator[Machines]:
    """So many machines, of which the first alone has the project."""
    switch = Spaces(("net", "pid"))  # servers there keep their files where tests find them
    network = Machines(switch)
    try:
        # With a hardware address of its own: else it takes one of its ports', and is out of reach for a minute once
        # that machine is gone.
        bridge = "link add name br0 address 02:00:00:00:00:01 type bridge"
        for words in (bridge, f"address add {SWITCH}/24 dev br0", "link set br0 up"):
            switch.told("ip", *words.split())
        switch.told("ip", "link", "set", "lo", "up")
        for number in range(count):
            network.add(project if number == 0 else None)
        yield network
    finally:
        for machine in network.all:
            machine.kill()
        switch.end()


def _network(name: str, address: str) -> list[str]:
    """Lines of shell that name a machine and bring its card up."""
    return [
        f"hostname {name}",
        "ip link set lo up",
        f"ip address add {address}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {SWITCH}",  # whoever asks for the way out is told this card's address
    ]


def _files(project: Path | None) -> list[str]:
    """Lines of shell that leave a machine what is installed, to be read, and empty places of its own to write to."""
    installed = [path for path in (Path(sys.base_prefix), Path(sys.prefix), *SOURCES) if _is_covered(path)]
    places = [*((path, "ro") for path in installed), *([(project, "rw")] if project else [])]
    hosts = "".join(f"{NETWORK}.{number} m{number}\\n" for number in range(1, MOST + 1))
    return [
        "mount -t tmpfs none /mnt",
        *(f"mkdir /mnt/{i}; mount --bind {shlex.quote(str(path))} /mnt/{i}" for i, (path, _) in enumerate(places)),
        "mount -o remount,bind,ro /",
        *(f"mount -t tmpfs -o mode=1777 none {shlex.quote(str(path))}" for path in WRITABLE),
        *(
            f"mkdir -p {shlex.quote(str(path))}; mount --move /mnt/{i} {shlex.quote(str(path))}; "
            f"mount -o remount,bind,{mode} {shlex.quote(str(path))}"
            for i, (path, mode) in enumerate(places)
        ),
        "umount /mnt",
        f"printf '127.0.0.1 localhost\\n{hosts}' > /run/hosts",
        "mount --bind /run/hosts /etc/hosts",
    ]


def _is_covered(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in WRITABLE)
