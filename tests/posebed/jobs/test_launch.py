"""Jobs on real Ray clusters: launched, killed and resumed, refused, and sent to a cluster of two nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

LONG = """
  long:
    model: simple_baseline
    split: quads
    pack: small
    train: {epochs: 16, checkpoint_every: 1, draws: 160}
"""
PATIENCE = 600


RUN = ("-c", "from posestages.cli import main; main()", "run")
WITHOUT_RAY = ("-m", "posestages.train_without_ray")


def start(*words: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *words], env={**os.environ, **environment})


def finish(process: subprocess.Popen[bytes]) -> None:
    assert process.wait(PATIENCE) == 0


def waited_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.2)


def weights(key: str) -> dict[str, torch.Tensor]:
    return load_file(f"runs/{key}/seed-0/train/last.safetensors")


def epochs(key: str) -> list[int]:
    return [line["epoch"] for line in json.loads(Path(f"runs/{key}/seed-0/train/curve.json").read_text())]


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=0, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture
def undisturbed(project: Path) -> dict[str, torch.Tensor]:
    """Weights of the run ``long``, trained without Ray and without a disturbance; the run itself is gone again."""
    with (project / "params.yaml").open("a") as file:
        file.write(LONG)
    # As many threads as a worker takes, since sums are rounded by how they are divided.
    finish(start(*WITHOUT_RAY, "long", OMP_NUM_THREADS="1"))
    final = weights("long")
    (project / "runs/long").rename(project / "undisturbed")
    return final


def epochs_kept() -> int:
    """As many as the newest checkpoint holds."""
    kept = [json.loads(path.read_text()) for path in Path(".posebed/jobs").glob("long-0-*/checkpoint/curve.json")]
    return max(map(len, kept), default=0)


def workers_of(driver: int) -> list[psutil.Process]:
    """The workers among a driver's descendants that do a task."""
    workers = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if "ray::Worker.do" in " ".join(process.cmdline()):
                workers.append(process)
        except psutil.Error:
            continue
    return workers


@pytest.mark.faults
def test_a_run_whose_worker_and_then_whose_driver_is_killed_ends_as_an_undisturbed_one(undisturbed: dict):
    driver = start(*RUN, "long")
    waited_for(lambda: epochs_kept() >= 2, "two epochs")
    (worker,) = workers_of(driver.pid)
    worker.send_signal(signal.SIGKILL)
    seen = epochs_kept()
    waited_for(lambda: epochs_kept() >= seen + 2, "two epochs of the worker's successor")
    assert worker.pid not in {process.pid for process in workers_of(driver.pid)}

    family = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    waited_for(lambda: not any(p.is_running() and p.status() != "zombie" for p in family), "an empty house")
    assert not Path("runs/long/seed-0/train").exists()

    finish(start(*RUN, "long"))
    assert epochs("long") == list(range(1, 17))
    assert_equal(weights("long"), undisturbed)
    assert not epochs_kept()


def test_a_task_that_the_cluster_cannot_hold_fails_in_one_sentence(project: Path):
    with (project / "params.yaml").open("a") as file:
        file.write(
            "  wide: {model: simple_baseline, split: quads, pack: small, train: {workers: 4096, batch_size: 4096}}\n"
        )
    refused = subprocess.run([sys.executable, *RUN, "wide"], capture_output=True, text=True, timeout=PATIENCE)
    assert refused.returncode == 1
    printed = refused.stdout + refused.stderr
    assert "must fit into the cluster, which has" in printed and "but needs 4096 processors" in printed
    assert "skipped, since it needs train wide seed 0" in printed
    assert "Traceback" not in printed


@pytest.fixture
def two_nodes() -> Iterator[str]:
    """The address of a cluster of two raylets on this machine, whose processes know no package of ours."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_AUTH_MODE"] = "disabled"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 * 2**20})
    cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.mark.faults
def test_a_cluster_of_two_nodes_trains_with_the_code_it_is_sent(project: Path, two_nodes: str):
    """The command is given in a folder that is not the checkout; the workers report where their code came from."""
    with (project / "params.yaml").open("a") as file:
        file.write(
            "  spread:\n    model: simple_baseline\n    split: quads\n    pack: small\n"
            "    train: {workers: 2, epochs: 2, zero: 1, optimizer: sgd, lr: 0.01}\n"
        )
    finish(start(*RUN, "spread", RAY_ADDRESS=two_nodes, POSEBED_STORAGE=str(project / "storage")))
    there = weights("spread")
    finish(start(*WITHOUT_RAY, "spread"))
    here = weights("spread")
    for name in here:
        torch.testing.assert_close(there[name], here[name], atol=2e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


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
