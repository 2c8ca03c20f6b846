"""cluster/slurm/posebed.sbatch on a real SLURM: two nodes, jobs beside each other, preemption and requeueing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import slurm
from slurm import job, tell
from waiting import waited_for

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing() or "there is a SLURM"),
]
CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "cluster/slurm/posebed.sbatch"
SMALL = ("--cpus-per-task=1", "--gpus-per-node=0", "--mem=2000", "--time=30")
RUNS = """
  spread: {model: simple_baseline, split: quads, pack: small, train: {workers: 2, epochs: 2}}
  long: {model: simple_baseline, split: quads, pack: small, train: {epochs: 40, checkpoint_every: 1, draws: 160}}
"""
PATIENCE = 900


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with slurm.slurm():
        yield


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs find the environment that runs the tests, as those of users find theirs, and make a token of their own."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)


@pytest.fixture
def runs(project: Path) -> Path:
    """The working directory, with runs that need two nodes and time."""
    with (project / "params.yaml").open("a") as file:
        file.write(RUNS)
    return project


def submitted(*words: str, options: tuple[str, ...] = SMALL) -> str:
    """The number of the job; words are options and, after ``--``, the command."""
    cut = words.index("--") if "--" in words else len(words)
    command = ("sbatch", "--parsable", *options, *words[:cut], str(SCRIPT), *words[cut:])
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def log(number: str) -> str:
    path = Path(f"posebed-{number}.log")
    return path.read_text() if path.is_file() else ""


def ended(number: str, state: str = "COMPLETED") -> str:
    """What the job has printed, once it has ended in this state."""
    over = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
    waited_for(lambda: job(number).state in over, PATIENCE, f"the end of the job:\n{log(number)}")
    assert job(number).state == state, log(number)
    return log(number)


def weights(key: str) -> dict[str, torch.Tensor]:
    return load_file(f"runs/{key}/seed-0/train/last.safetensors")


def test_without_a_command_it_is_dvc_repro_on_all_nodes(runs: Path):
    """One of the runs has two workers, each with all that SLURM gives to a node."""
    shutil.copy(CHECKOUT / "dvc.yaml", runs)
    for words in (("git", "init", "-q"), ("dvc", "init", "-q")):
        subprocess.run(words, check=True)
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(re.sub(r"\n  long:.*", "", text))
    printed = ended(submitted())
    assert "2 nodes, 2 processors, 0 accelerators" in printed
    assert {path.parent.name for path in Path("runs").glob("*/result.json")} == {
        "floor",
        "baseline",
        "prototypes",
        "spread",
    }
    assert Path("report/index.html").is_file()
