"""Trainings on real Ray clusters: killed and resumed, sent to a cluster of two nodes, and with several workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

import waiting
from clusters import add_node, cluster_of
from processes import family, gone, titled, without_agents

pytestmark = pytest.mark.slow(minutes=5)

LONG = """
  long:
    model: simple_baseline
    split: quads
    pack: small
    train: {epochs: 12, checkpoint_every: 1, draws: 160}
"""
PATIENCE = 300


def start(*words: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from posestages.cli import main; main()", "run", *words]
    return subprocess.Popen(command, env={**os.environ, **environment})


def finish(process: subprocess.Popen[bytes]) -> None:
    assert process.wait(PATIENCE) == 0


def without_ray(key: str, workers: int = 1) -> None:
    # As many threads as a task takes, since sums are rounded by how they are divided.
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(workers), "--standalone"]
    command = [sys.executable, *(torchrun if workers > 1 else []), "-m", "posestages.train_without_ray", key]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=PATIENCE)


def waited_for(condition: Callable[[], bool], what: str) -> None:
    waiting.waited_for(condition, PATIENCE, what)


def weights(key: str) -> dict[str, torch.Tensor]:
    return load_file(f"runs/{key}/seed-0/train/last.safetensors")


def epochs(key: str) -> list[int]:
    return [line["epoch"] for line in json.loads(Path(f"runs/{key}/seed-0/train/curve.json").read_text())]


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], atol: float = 0) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=atol, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture
def undisturbed(project: Path) -> dict[str, torch.Tensor]:
    """Weights of the run ``long``, trained without Ray and without a disturbance; the run itself is gone again."""
    with (project / "params.yaml").open("a") as file:
        file.write(LONG)
    without_ray("long")
    final = weights("long")
    (project / "runs/long").rename(project / "undisturbed")
    return final


def reached() -> int:
    """Epochs that the newest checkpoint of ``long`` holds."""
    curves = Path(".posebed/jobs").glob("long-*/checkpoint/curve.json")
    try:
        return max((len(json.loads(curve.read_text())) for curve in curves), default=0)
    except (OSError, ValueError):
        return 0  # it is just being renamed


def worker_of(driver: int) -> psutil.Process:
    """The process that does the driver's only task."""
    (worker,) = titled(family(driver), "Worker.do")
    return worker


@pytest.mark.faults
def test_a_run_whose_worker_and_then_whose_driver_is_killed_ends_as_an_undisturbed_one(undisturbed: dict):
    driver = start("long")
    waited_for(lambda: reached() >= 2, "two checkpoints")
    worker = worker_of(driver.pid)
    worker.send_signal(signal.SIGKILL)
    waited_for(lambda: gone([worker]), "an end of the worker")
    before = reached()
    waited_for(lambda: reached() >= before + 2, "two checkpoints of the worker's successor")

    house = without_agents(family(driver.pid))
    driver.kill()
    driver.wait()
    waited_for(lambda: gone(house), "an empty house")
    assert not Path("runs/long/seed-0/train").exists()

    finish(start("long"))
    assert epochs("long") == list(range(1, 13))
    assert_equal(weights("long"), undisturbed)
    assert not list(Path(".posebed/jobs").glob("long-*"))
    assert Path("runs/long/result.json").is_file()


@pytest.fixture
def two_nodes() -> Iterator[str]:
    """The address of a cluster of two raylets on this machine, which is sent our packages."""
    with cluster_of({"num_cpus": 1}, {"num_cpus": 1}) as cluster:
        yield str(cluster.address)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes beside the command's own, on which nothing runs: with that node, its command would be gone."""
    with cluster_of({"num_cpus": 0}, {"num_cpus": 1}, {"num_cpus": 1}) as cluster:
        yield cluster


CHANGING = """
  changing:
    model: simple_baseline
    split: quads
    pack: small
    train: {workers: {min: 1, max: 2}, engine: torch, epochs: 12, checkpoint_every: 1, draws: 160}
"""


@pytest.mark.faults
def test_a_run_that_may_do_with_fewer_workers_goes_on_when_a_machine_is_lost_and_not_replaced(
    project: Path, cluster: Any
):
    with (project / "params.yaml").open("a") as file:
        file.write(CHANGING)
    storage = project / "storage"
    driver = start("changing", RAY_ADDRESS=cluster.address, POSEBED_STORAGE=str(storage))
    waited_for(lambda: any(storage.rglob("curve.json")), "a checkpoint")
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in cluster.list_all_nodes()}
    workers = titled(family(os.getpid()), "RayTrainWorker")
    assert len(workers) == 2
    cluster.remove_node(raylets[workers[0].ppid()], allow_graceful=False)
    finish(driver)
    curve = json.loads(Path("runs/changing/seed-0/train/curve.json").read_text())
    assert [line["epoch"] for line in curve] == list(range(1, 13))
    assert curve[-1]["device"] == "1 x cpu"


SHARED = """
  shared:
    model: simple_baseline
    split: quads
    pack: small
    train: {workers: 2, engine: torch, epochs: 2, draws: 800}
"""


@pytest.mark.faults
def test_a_job_of_several_workers_leaves_a_machine_at_once_and_goes_on_from_within_its_epoch(
    project: Path, cluster: Any
):
    """Its first checkpoint would come after hundreds of steps; the machine leaves before, and another one comes."""
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    with (project / "params.yaml").open("a") as file:
        file.write(SHARED)
    storage = project / "storage"
    driver = start("shared", RAY_ADDRESS=cluster.address, POSEBED_STORAGE=str(storage))
    waited_for(lambda: len(titled(family(os.getpid()), "RayTrainWorker")) == 2, "workers")
    workers = titled(family(os.getpid()), "RayTrainWorker")
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in cluster.list_all_nodes()}
    add_node(cluster, {"num_cpus": 1})
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    at = int((time.time() + 600) * 1000)
    leaving = raylets[workers[0].ppid()]
    assert GcsClient(address=cluster.address).drain_node(leaving.node_id, reason, "spot", at)[0]
    waited_for(lambda: any(storage.rglob("begun-1.pt")), "a checkpoint within an epoch")
    waited_for(lambda: gone(workers), "an end of the workers")
    finish(driver)
    assert epochs("shared") == [1, 2]
    there = weights("shared")
    without_ray("shared", workers=2)
    assert_equal(there, weights("shared"))


def test_workers_of_a_foreign_cluster_run_the_code_that_was_shipped(project: Path, two_nodes: str):
    script = (
        "from posebed.jobs.cluster import connect\nimport ray\n"
        "connect(['posebed', 'posezoo', 'posestages'])\n"
        "def place():\n    import posebed, posezoo\n    return posebed.__file__, posezoo.__file__\n"
        "print(*ray.get(ray.remote(place).remote()))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "RAY_ADDRESS": two_nodes},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    for place in process.stdout.split():
        assert "runtime_resources/py_modules_files" in place
