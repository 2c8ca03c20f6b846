"""A command is killed before one of its file-system calls, as by a lost machine; the next one must find the former
output or the whole new one, and the same command, given again, must end as if nothing had happened.

Calls and moments are drawn by a seed from those that the command makes when it is left alone, as ``strace`` lists them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from faults.forked import Ended, Forks

NAMES = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "link", "symlink")
WRITES = ("write", "pwrite64", "ftruncate", "fsync")
"""Half of the disturbances come before calls that change a name, half before calls that change what a file holds."""

ERRORS = ("ENOSPC", "EROFS", "EIO", "EDQUOT", "EACCES")
DISK, PAGE = 2**30, 4096
"""Bytes of a disk that is not full, and of the least that a file takes on it."""


@dataclass(frozen=True)
class Step:
    name: str
    command: tuple[str, ...]
    outputs: tuple[str, ...]
    """Files and folders that it writes."""
    asks: bool = False
    """Whether it refuses to write what is there already."""
    gradual: bool = False
    """Whether it fills a folder of the user's file by file."""


def _ended(call: str) -> tuple[str, ...]:
    """A task of a worker, ended as every command."""
    imports = (
        "from posebed.params import read_params",
        "from posebed.places import PARAMS, prepared_folder",
        "from posebed.provenance import origin",
        "from posestages import ending, score, stage, tasks",
    )
    return ("python", "-c", "\n".join([*imports, f"ending.run(lambda _: {call})"]))


_SCORE = "score.score('baseline', read_params(PARAMS), stage.catalog_here(), origin(prepared_folder('quads')))"
STEPS = (
    Step("draw", ("python", "-m", "posestages.draw", "quads"), ("data/menagerie/quads",)),
    Step("prepare", ("python", "-m", "posestages.prepare", "quads"), ("data/prepared/quads",)),
    Step("split", ("python", "-m", "posestages.split", "held-out"), ("data/splits/held-out",)),
    Step("pack", ("python", "-m", "posestages.pack", "small"), ("data/packs/small",)),
    Step("train", ("python", "-m", "posestages.train_without_ray", "baseline"), ("runs/baseline/seed-0/train",)),
    Step(
        "predict",
        _ended("tasks.predict_member('baseline', 0, stage.catalog_here())"),
        ("runs/baseline/seed-0/predicted",),
    ),
    Step("score", _ended(_SCORE), ("runs/baseline/result.json", "runs/baseline/seed-0/result.json")),
    Step("report", ("posebed", "report"), ("report",)),
    Step("track", ("posebed", "track"), ("mlflow.db",), gradual=True),
    Step("identities", ("python", "-m", "posestages.identities"), ("data/identities.json",)),
    Step("publish", ("posebed", "publish", "baseline", "shared"), ("shared",), asks=True),
    Step("queries", ("posebed", "queries", "quads", "--out", "asked.json"), ("asked.json",)),
    Step("poses", ("posebed", "predict", "baseline", "picture.png", "--out", "poses"), ("poses",), gradual=True),
    Step("convert", ("posebed", "convert", "data/menagerie/quads", "labels", "--to", "yolo"), ("labels",), asks=True),
    Step("presets", ("posebed", "presets", "simple-baseline-r50-coco", "--add"), ("params.yaml",)),
    Step("init", ("posebed", "init", "new", "--example", "mixed"), ("new",), asks=True, gradual=True),
    Step("new", ("posebed", "new", "model", "sketch"), ("sketch",), asks=True),
)
"""What the commands do that write; tasks as a worker does them."""
Digests = dict[str, str]
"""Of every file at or below an output, by its path in the project."""


class Disturber:
    """Disturbs one step again and again, in copies of a project where everything is done."""

    def __init__(self, step: Step, project: Path, folder: Path, forks: Forks) -> None:
        """
        Args:
            folder: to make the copies in.
        """
        self.step, self.project, self.folder, self.forks = step, project, folder, forks
        whole = self._left_alone()
        time.sleep(1.1)  # files tell times in seconds
        again = self._left_alone()
        self.whole = whole
        self.steady = {path for path, digest in whole.items() if again.get(path) == digest}
        """Files that come out alike each time; others hold a time or a duration."""
        self.calls = {kind: self._traced(kind) for kind in (NAMES, WRITES)}

    def kill(self, rng: np.random.Generator) -> str:
        """Kill the step at a moment that is drawn; what went wrong, or nothing."""
        return self._disturb(rng, "signal=SIGKILL")

    def deny(self, rng: np.random.Generator) -> str:
        """Let one call fail as on a disk that is full, read-only or broken, of which the step must tell."""
        return self._disturb(rng, f"error={ERRORS[rng.integers(len(ERRORS))]}")

    def fill(self, rng: np.random.Generator) -> str:
        """Run the step on a disk that becomes full, or that is read-only, of which it must tell."""
        first, free = bool(rng.random() < 0.5), int(rng.integers(64)) * PAGE if rng.random() < 0.8 else None
        with _disk(self.folder / "disk") as disk:
            shutil.copytree(self._copy(first), disk, dirs_exist_ok=True)
            former, room = _digests(disk, self.step.outputs), os.statvfs(disk)
            used = (room.f_blocks - room.f_bfree) * room.f_frsize
            _remount(disk, "ro" if free is None else f"size={used + free}")
            wrong = _untold(self._run(disk), (0, 1, 2))
            wrong = wrong or self._faults_between(_digests(disk, self.step.outputs), former)
            _remount(disk, f"rw,size={DISK}")
            wrong = wrong or self._faults_after(disk, self._run(disk))
        how = "a read-only disk" if free is None else f"a disk with {free} bytes free"
        return f"{self.step.name}, {'first' if first else 'again'}, {how}: {wrong}" if wrong else ""

    def run_twice_at_once(self, other: Forks) -> str:
        """Run the step in two processes; what went wrong, or nothing."""
        project = self._copy(first=True)
        with ThreadPoolExecutor() as threads:
            both = [threads.submit(self._run, project, forks=forks) for forks in (self.forks, other)]
        wrong = next(filter(None, (_untold(one.result(), (0, 2)) for one in both)), "")
        wrong = wrong or self._faults_after(project, self._run(project))
        return f"{self.step.name}, twice at once: {wrong}" if wrong else ""

    def _disturb(self, rng: np.random.Generator, how: str) -> str:
        calls = self.calls[NAMES if rng.random() < 0.5 else WRITES]
        name, number = calls[rng.integers(len(calls))]
        first = bool(rng.random() < 0.5)
        project = self._copy(first)
        former = _digests(project, self.step.outputs)
        ended = self._run(project, tracer=partial(_injector, f"{name}:{how}:when={number}"))
        wrong = "" if "SIGKILL" in how else _untold(ended, (0, 1, 2))
        wrong = wrong or ("processes that it started went on" if ended.orphans else "")
        wrong = wrong or self._faults_between(_digests(project, self.step.outputs), former)
        wrong = wrong or self._faults_after(project, self._run(project))
        at = f"{self.step.name}, {'first' if first else 'again'}, {how} at {name} number {number}"
        return f"{at}: {wrong}" if wrong else ""

    def _faults_between(self, there: Digests, former: Digests) -> str:
        """What is there after the kill, output by output, must be the former one or the whole new one. Its record comes
        last, and may be missing: a task without one counts as never run."""
        for output in () if self.step.gradual else self.step.outputs:
            now, before, new = (_of(output, digests) for digests in (there, former, self.whole))
            if not _records(now):
                new = {path: digest for path, digest in new.items() if path not in _records(new)}
                now = {path: digest for path, digest in now.items() if not path.endswith(".part")}
            if now not in ({}, before) and not self._is_whole(now, new):
                return f"{output} is neither the former nor the whole new one: {sorted(now)[:5]}"
            if before and not now:
                return f"{output} is lost"
        return ""

    def _is_whole(self, now: Digests, new: Digests) -> bool:
        return now.keys() == new.keys() and all(now[path] == new[path] for path in now.keys() & self.steady)

    def _faults_after(self, project: Path, ended: Ended) -> str:
        """What the same command, left alone, makes of what is there; the copy is removed."""
        there = _digests(project, self.step.outputs)
        if ended.code == 2 and self.step.asks and self._is_whole(there, self.whole):
            return ""
        if ended.code:
            other = sorted(there.items() ^ self.whole.items())[:5]
            return f"the same command ended with {ended.code}: {ended.errors.decode()[-500:]}, and there is {other}"
        if not self._is_whole(there, self.whole):
            return f"the same command left something else: {sorted(there.items() ^ self.whole.items())[:5]}"
        parts = [str(path.relative_to(project)) for path in project.rglob("*.part")]
        return f"leftovers: {parts}" if parts else ""

    def _run(
        self, project: Path, tracer: Callable[[int], subprocess.Popen[bytes]] | None = None, forks: Forks | None = None
    ) -> Ended:
        """Of a training, each call of the system stops for its tracer, on machines that do other work."""
        return (forks or self.forks).run(self.step.command, project, seconds=300, tracer=tracer)

    def _left_alone(self) -> Digests:
        """What the step writes."""
        project = self._copy(first=True)
        ended = self._run(project)
        assert ended.code == 0, (self.step, ended.code, ended.errors.decode()[-2000:])
        after = _digests(project, self.step.outputs)
        assert after, self.step
        shutil.rmtree(project)
        return after

    def _traced(self, kind: Sequence[str]) -> list[tuple[str, int]]:
        """Name and number, among the calls of that name, of each call that the step makes."""
        project, log = self._copy(first=True), self.folder / "calls"
        ended = self._run(project, tracer=partial(_lister, kind, log))
        assert ended.code == 0, (self.step, ended.errors.decode()[-2000:])
        shutil.rmtree(project)
        return list(_numbered(log.read_text(errors="replace")))

    def _copy(self, first: bool) -> Path:
        """A copy of the project, without the outputs if the step writes them for the first time."""
        copy = self.folder / "project"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.project, copy)
        for output in self.step.outputs if first and self.step.outputs != ("params.yaml",) else ():
            place = copy / output
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        return copy


def _numbered(log: str) -> Iterator[tuple[str, int]]:
    """strace counts the calls of each name by thread."""
    counts: dict[tuple[str, str], int] = {}
    for thread, name in re.findall(r"^(\d+) +(\w+)\(", log, re.MULTILINE):
        counts[thread, name] = counts.get((thread, name), 0) + 1
        yield name, counts[thread, name]


def _lister(kind: Sequence[str], log: Path, pid: int) -> subprocess.Popen[bytes]:
    return _strace(pid, "-o", str(log), "-e", f"trace={','.join(kind)}", "-e", "signal=none")


def _injector(what: str, pid: int) -> subprocess.Popen[bytes]:
    return _strace(pid, "-o", "/dev/null", "-e", f"inject={what}")


def _strace(pid: int, *options: str) -> subprocess.Popen[bytes]:
    words = ["strace", "-f", "-qqq", *options, "-p", str(pid)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _untold(ended: Ended, codes: Sequence[int]) -> str:
    """What is wrong with how a command ended: it may refuse in one sentence."""
    errors = ended.errors.decode(errors="replace")
    if ended.code not in codes or "Traceback" in errors:
        return f"it ended with {ended.code}: {errors[-500:]}"
    return ""


def _digests(project: Path, outputs: Sequence[str]) -> Digests:
    found = {}
    for output in outputs:
        place = project / output
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        found |= {str(f.relative_to(project)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}
    return found


def _records(digests: Digests) -> set[str]:
    return {path for path in digests if path.endswith("/task.json")}


def _of(output: str, digests: Digests) -> Digests:
    return {path: digest for path, digest in digests.items() if path == output or path.startswith(f"{output}/")}


def can_mount() -> bool:
    """Whether this user may mount disks of their own."""
    if os.getuid() != 0:
        return False
    with TemporaryDirectory() as folder:
        ran = subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True)
        return not ran.returncode and not subprocess.run(["umount", folder]).returncode


@contextmanager
def _disk(place: Path) -> Generator[Path]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@dataclass(frozen=True)
class Row:
    """How a step stood its disturbances."""

    step: str
    kind: str
    tried: int
    faults: tuple[str, ...]


def campaign(project: Path, folder: Path, kills: int, seed: int) -> Iterator[Row]:
    """Spread kills over the steps, at least three on each of those that are drawn; a third as many calls that fail, a
    tenth as many disks that are full or read-only, and a sixth as many pairs at once.

    Args:
        project: where everything is done.
        folder: to make copies in.
    """
    rng, mounts = np.random.default_rng(seed), can_mount()
    steps = [STEPS[i] for i in sorted(rng.permutation(len(STEPS))[: max(1, kills // 3)])]
    with Forks() as forks, Forks() as other:
        for number, step in enumerate(steps):
            disturber = Disturber(step, project, folder, forks)
            acts = {
                "killed": (kills, partial(disturber.kill, rng)),
                "a call fails": (kills // 3, partial(disturber.deny, rng)),
                "full or read-only disk": (kills // 10 if mounts else 0, partial(disturber.fill, rng)),
                "twice at once": (kills // 6, partial(disturber.run_twice_at_once, other)),
            }
            for kind, (count, act) in acts.items():
                times = (count + number) // len(steps)
                yield Row(step.name, kind, times, tuple(filter(None, (act() for _ in range(times)))))
