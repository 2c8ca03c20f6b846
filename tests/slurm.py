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

from waiting import waited_for

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
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    ports = dict(zip(("controller", "first", "second"), _free_ports(3), strict=True))
    text = CONFIGURATION.format(host=socket.gethostname().partition(".")[0], folder=folder, **ports)
    configuration = folder / "slurm.conf"
    configuration.write_text(text)
    (folder / "gres.conf").write_text(DEVICES)
    os.environ["SLURM_CONF"] = str(configuration)
    with ExitStack() as ends:
        ends.callback(os.environ.pop, "SLURM_CONF")
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        names = {f"{name.replace('-', '_')}": folder / f"munge.{name}" for name in ("socket", "pid-file", "seed-file")}
        options = [f"--{name.replace('_', '-')}={path}" for name, path in names.items()]
        ends.enter_context(_daemon(folder, "munged", "--foreground", "--force", f"--key-file={key}", *options))
        waited_for((folder / "munge.socket").exists, what="munged")
        ends.enter_context(_daemon(folder, "slurmctld", "-D", "-f", str(configuration)))
        for node in ("n1", "n2"):
            ends.enter_context(_daemon(folder, "slurmd", "-D", "-N", node, "-f", str(configuration)))
        waited_for(lambda: tell("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * 4, what="idle nodes")
        ends.callback(_end_jobs)
        yield


def _free_ports(count: int) -> list[int]:
    places = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [place.getsockname()[1] for place in places]
    for place in places:
        place.close()
    return ports


@contextmanager
def _daemon(folder: Path, *words: str) -> Iterator[None]:
    with (folder / "daemons.log").open("a") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
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
