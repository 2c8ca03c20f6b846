"""A SLURM of two nodes on this machine: the real daemons of Debian's packages, all their files in one folder."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from waiting import waited_for

NODES = ("n1", "n2")
IDLE = {f"{node} idle" for node in NODES}
DAEMONS = ("munged", "slurmctld", "slurmd")
CONFIGURATION = """
ClusterName=posebed
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
KillWait=20
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=bf_interval=2,sched_interval=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=2 RealMemory=8000 Gres=gpu:1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=2 RealMemory=8000 Gres=gpu:1
PartitionName=ordinary Nodes=ALL Default=YES PriorityTier=1 GraceTime=120
PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""
DEVICES = "NodeName=n[1-2] Name=gpu File=/dev/null\n"
"""SLURM counts the file as an accelerator; nothing opens it."""


def missing() -> str:
    """Why there can be none here; empty where there can."""
    if os.geteuid() != 0:
        return "needs root, as SLURM's daemons do"
    absent = [name for name in DAEMONS if not shutil.which(name)]
    return f"needs {', '.join(absent)} of the packages slurm-wlm and munge" if absent else ""


@dataclass(frozen=True)
class Job:
    """What SLURM knows of a job."""

    number: str
    state: str
    restarts: int


@contextmanager
def slurm() -> Iterator[None]:
    """Within it, ``SLURM_CONF`` names the cluster."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets' paths must be short
    folder.chmod(0o755)
    _configure(folder)
    configuration = str(folder / "slurm.conf")
    files = {"--socket": "munge.socket", "--key-file": "munge.key", "--pid-file": "munge.pid", "--seed-file": "seed"}
    munge = [f"{option}={folder / name}" for option, name in files.items()]
    log = folder / "daemons.log"
    with pytest.MonkeyPatch.context() as patch, ExitStack() as ends:
        patch.setenv("SLURM_CONF", configuration)
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        ends.enter_context(_daemon(log, "munged", "--foreground", "--force", *munge))
        waited_for((folder / "munge.socket").exists, what="munged")
        ends.enter_context(_daemon(log, "slurmctld", "-D", "-f", configuration))
        for node in NODES:
            ends.enter_context(_daemon(log, "slurmd", "-D", "-N", node, "-f", configuration))
        try:
            waited_for(lambda: {*tell("sinfo", "-h", "-N", "-o", "%N %T").splitlines()} == IDLE, what="idle nodes")
        except AssertionError as error:
            raise AssertionError(log.read_text()[-5000:]) from error
        ends.callback(_end_jobs)
        yield


def _configure(folder: Path) -> None:
    (folder / "munge.key").touch(0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    host = socket.gethostname().partition(".")[0]
    controller, first, second = _free_ports(3)
    text = CONFIGURATION.format(host=host, folder=folder, controller=controller, first=first, second=second)
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text(DEVICES)


def _free_ports(count: int) -> list[int]:
    places = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [place.getsockname()[1] for place in places]
    for place in places:
        place.close()
    return ports


@contextmanager
def _daemon(log: Path, *words: str) -> Iterator[None]:
    with log.open("a") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _end_jobs() -> None:
    tell("scancel", "--me")
    waited_for(lambda: not tell("squeue", "-h"), what="the end of all jobs")


def tell(*words: str) -> str:
    """What a command of SLURM prints; empty where it fails, as it does while the daemons start."""
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def job(number: str) -> Job:
    """Of this number, running or just ended."""
    fields = dict(word.partition("=")[::2] for word in tell("scontrol", "show", "job", "-o", number).split())
    return Job(number, fields.get("JobState", ""), int(fields.get("Restarts", 0)))
