"""Where a number comes from: commit, hashes of what it was made from, software and hardware."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from posebed.files import file_hash
from posebed.yamlfile import read_yaml


@dataclass(frozen=True)
class Origin:
    """Of what a run was made, beside what lies in its own folder."""

    commit: str
    dirty: bool
    """Whether tracked files differ from it."""
    data_hash: str


SOFTWARE = ("torch", "timm", "ray", "deepspeed", "mlflow", "dvc", "numpy", "opencv-python-headless", "faster-coco-eval")


def output_hash(path: Path) -> str:
    """DVC's hash of a stage's output; of an output that DVC does not know yet, sha256 over its files."""
    lock = Path("dvc.lock")
    stages: dict[str, Any] = (read_yaml(lock) or {}).get("stages", {}) if lock.is_file() else {}
    for stage in stages.values():
        for out in stage.get("outs", ()):
            if out["path"] == path.as_posix():
                return str(out["md5"])
    files = sorted(p for p in (path, *path.rglob("*")) if p.is_file())
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(path).as_posix()} {file_hash(file)}\n".encode())
    return whole.hexdigest()


def origin(prepared: Path) -> Origin:
    """Of the project in the working directory.

    Args:
        prepared: the folder of prepared data.
    """
    return Origin(*commit(), data_hash=output_hash(prepared))


def commit() -> tuple[str, bool]:
    """The checked-out commit, and whether tracked files differ from it; ``("none", True)`` outside a repository.

    ``dvc.lock`` changes with every run and does not count.
    """

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], capture_output=True, text=True)

    head = git("rev-parse", "HEAD")
    if head.returncode:
        return "none", True
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock")
    return head.stdout.strip(), bool(changed.returncode or changed.stdout.strip())  # unknown counts as changed


def software() -> dict[str, str]:
    """Versions of Python and of the packages on which numbers depend; ``none`` of one that is not there."""
    return {"python": platform.python_version()} | {name: _version(name) for name in SOFTWARE}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def hardware() -> str:
    """Processor and system; the accelerator's name is the training's to add."""
    return f"{os.cpu_count()} x {_processor()}, {platform.system()} {platform.machine()}"


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "processor"
