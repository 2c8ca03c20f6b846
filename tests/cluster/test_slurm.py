"""cluster/slurm/posebed.sbatch on a real SLURM: two nodes, jobs beside each other, preemption and requeueing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

import slurm
from slurm import job, tell
from waiting import waited_for

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow(minutes=6),
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing() or "there is a SLURM"),
]
CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "cluster/slurm/posebed.sbatch"
SMALL = ("--cpus-per-task=1", "--gpus-per-node=0", "--mem=2000", "--time=30")
RUNS = """
  spread: {model: simple_baseline, split: quads, pack: small, train: {workers: 2, epochs: 2}}
  long: {model: simple_baseline, split: quads, pack: small, train: {epochs: 30, checkpoint_every: 1, draws: 160}}
"""
PATIENCE = 600


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


def waited(condition: Callable[[], object], *numbers: str) -> None:
    """Return once the condition of the jobs holds, or fail with what they have printed meanwhile."""
    try:
        waited_for(condition, PATIENCE)
    except AssertionError as error:
        raise AssertionError("\n".join(map(log, numbers))) from error


def ended(number: str, state: str = "COMPLETED") -> str:
    """What the job has printed, once it has ended in this state."""
    over = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
    waited(lambda: job(number).state in over, number)
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
    assert "nodes: 2, processors: 2, accelerators: 0" in printed
    assert {path.parent.name for path in Path("runs").glob("*/result.json")} == {
        "floor",
        "baseline",
        "prototypes",
        "spread",
    }
    assert Path("report/index.html").is_file()


MEET = """
import os, pathlib, time
import ray
ray.init(logging_level="ERROR")
print("mine:", len(ray.nodes()), "node,", ray.cluster_resources().get("GPU", 0), "accelerators")
pathlib.Path("here-" + os.environ["SLURM_JOB_ID"]).touch()
while not pathlib.Path("leave").exists():
    time.sleep(0.1)
"""
JOIN = "import ray; ray.init(logging_level='ERROR'); print(len(ray.nodes()))"


def folders() -> set[Path]:
    return {*Path("/tmp").glob("posebed-*")}  # noqa: S108  # where the script puts Ray's files


def join(address: str, token: str) -> subprocess.CompletedProcess[str]:
    """Join the cluster as somebody who thinks that this is its token."""
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    return subprocess.run([sys.executable, "-c", JOIN], env=environment, capture_output=True, text=True, timeout=120)


def test_two_jobs_on_one_machine_have_a_cluster_each_which_others_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("meet.py").write_text(MEET)
    before = folders()
    numbers = [submitted("--nodes=1", f"--gpus-per-node={n}", "--", "python", "meet.py") for n in (0, 1)]
    waited(lambda: len([*Path().glob("here-*")]) == 2, *numbers)

    seen = [re.search(r"Ray runs at (\S+) on n[12]; .* lie in (\S+) there", log(number)) for number in numbers]
    addresses, places = zip(*(found.groups() for found in seen if found), strict=True)
    tokens = [(Path(place) / "token").read_text().strip() for place in places]
    assert len({*addresses}) == len({*tokens}) == 2
    assert folders() - before == {*map(Path, places)}
    for place in map(Path, places):
        assert place.stat().st_mode & 0o777 == 0o700 and (place / "token").stat().st_mode & 0o777 == 0o600
    words = [word for process in psutil.process_iter() for word in command_of(process)]
    assert not any(token in text for token in tokens for text in [*words, *map(log, numbers)])
    assert join(addresses[0], tokens[0]).stdout == "1\n"
    refused = join(addresses[0], tokens[1])
    assert refused.returncode and "authentication" in refused.stderr.lower(), refused.stderr

    Path("leave").touch()
    printed = [ended(number) for number in numbers]
    assert [re.search("mine: .*", text)[0] for text in printed] == [
        "mine: 1 node, 0 accelerators",
        "mine: 1 node, 1.0 accelerators",
    ]
    assert folders() <= before
    assert not [p for p in psutil.process_iter() if any(place in word for place in places for word in command_of(p))]


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def reached() -> int:
    """Epochs that the newest checkpoint of ``long`` in the storage holds."""
    curves = Path(".posebed/storage").glob("jobs/long-*/*/curve.json")
    try:
        return max((len(json.loads(curve.read_text())) for curve in curves), default=0)
    except (OSError, ValueError):
        return 0  # it is just being renamed


def test_a_job_that_is_preempted_and_then_requeued_ends_with_the_weights_of_an_undisturbed_one(runs: Path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "posestages.train_without_ray", "long"]
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE)
    undisturbed = weights("long")
    Path("runs/long").rename("undisturbed")
    shutil.rmtree(".posebed")

    number = submitted("--", "posebed", "run", "long")
    waited(lambda: reached() >= 2, number)
    urgent = submitted("--partition=urgent", "--gpus-per-node=1", "--exclusive", "--", "true")
    waited(lambda: job(number).restarts == 1, number)
    first = reached()
    assert first >= 2
    ended(urgent)

    waited(lambda: reached() >= first + 2, number)
    assert tell("scontrol", "requeue", number) == ""
    waited(lambda: job(number).restarts == 2, number)
    printed = ended(number)
    assert printed.count("keeping checkpoints") == printed.count("queued again") == 1
    assert printed.count("Ray runs at") == 3
    there = weights("long")
    assert there.keys() == undisturbed.keys()
    assert all(torch.equal(there[name], undisturbed[name]) for name in there)
    assert Path("runs/long/result.json").is_file()


def test_a_command_that_fails_ends_the_job_with_its_code_and_is_not_queued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    number = submitted("--nodes=1", "--", "sh", "-c", "exit 7")
    assert "the command ended with code 7" in ended(number, "FAILED")
    assert "ExitCode=7:0" in tell("scontrol", "show", "job", number) and job(number).restarts == 0
