"""Machines that share nothing but the network and an object storage do what one machine does, to the last bit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import machines
import object_storage
from experiments import searched_experiment
from machines import Done, Machine
from posebed import provenance
from posebed.jobs.search import open_search
from posebed.params import read_params
from posebed.places import pack_folder, prepared_folder
from posebed.scoring.result import read_result
from posebed.scoring.search_result import read_search
from posebed.training.log import FolderLog
from posebed.training.loop import epochs
from posestages.pack import pack
from ray_machines import POSEBED, RayMachines, ray_machines
from waiting import waited_for

missing = machines.missing() or object_storage.missing()
pytestmark = [
    pytest.mark.slow(minutes=10),
    pytest.mark.faults,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(bool(missing), reason=missing or "there can be machines"),
]

PATIENCE = 900
Weights = dict[str, torch.Tensor]
FLOORS = ("first", "second", "third")
LONG = ("undisturbed", "killed", "cut", "lost", "noticed")
"""Equal but for their names."""
RUNS = f"""
  spread:
    model: simple_baseline
    split: quads
    pack: small
    train: {{workers: 2, epochs: 2, zero: 1, optimizer: sgd, lr: 0.01}}
{"".join(f"  {key}: {{model: mean_pose, split: quads, pack: large}}" + chr(10) for key in FLOORS)}
""" + "".join(
    f"""
  {key}:
    model: simple_baseline
    split: quads
    pack: small
    train: {{epochs: 12, checkpoint_every: 1, draws: 160}}
"""
    for key in LONG
)
SEARCH = """
searches:
  rates:
    model: simple_baseline
    split: quads
    pack: small
    budget: {trials: 4}
    sampler: random
    scheduler: none
    only: [train.lr]
    train: {epochs: 2, checkpoint_every: 1, draws: 64, engine: torch}
"""


@pytest.fixture(scope="module")
def cluster(prepared_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayMachines]:
    """A head without processors, which alone has the project, and two machines of one each; they reach a storage."""
    folder = tmp_path_factory.mktemp("apart")
    project = folder / "project"
    shutil.copytree(prepared_project, project)
    written = (project / "params.yaml").read_text() + RUNS
    written = written.replace("searches: {}\n", SEARCH.lstrip()).replace(
        "  small: {", "  large: {data: quads, crop_size: [192, 192]}\n  small: {"
    )
    (project / "params.yaml").write_text(written)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        pack(read_params(project / "params.yaml"), "large", prepared_folder("quads"), pack_folder("large"))
    with ray_machines((0, 1, 1), folder, project, s3="posebed") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def project(cluster: RayMachines, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The head's project, as the working directory of the test."""
    assert cluster.head.project
    monkeypatch.chdir(cluster.head.project)
    return cluster.head.project


def ran(cluster: RayMachines, *words: str) -> Done:
    done = cluster.run(*POSEBED, "run", *words, cwd=Path.cwd(), seconds=PATIENCE)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def weights(key: str) -> Weights:
    return load_file(Path(f"runs/{key}/seed-0/train/last.safetensors"))


def in_one_process(key: str) -> Weights:
    """Weights of the run, trained by one process on this machine."""
    command = [sys.executable, "-m", "posestages.train_without_ray", key]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=PATIENCE)
    return weights(key)


def assert_equal(one: Weights, other: Weights, atol: float = 0) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=atol, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def holds(machine: Machine) -> list[str]:
    """Files below the homes and temporary folders of a machine that are named as those of a project."""
    names = ["-name", "params.yaml", "-o", "-name", "dvc.yaml", "-o", "-name", "mlflow.db"]
    outside = ["-not", "-path", "*/site-packages/*"]
    return machine.run("find", "/root", "/tmp", "(", *names, ")", *outside).stdout.split()  # noqa: S108


@pytest.fixture(scope="module")
def done(cluster: RayMachines) -> None:
    """Two runs, a training with two workers and a search, by one command."""
    assert cluster.head.project
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cluster.head.project)
        ran(cluster, "baseline", "floor", "spread", "search@rates")


def test_the_graph_gives_what_one_process_gives(cluster: RayMachines, done: None):
    there = weights("baseline")
    for key in ("baseline", "floor"):
        origin = provenance.origin(prepared_folder("quads"))
        told = read_result(Path(f"runs/{key}/result.json")).provenance
        assert (told.commit, told.dirty, told.data_hash) == (origin.commit, origin.dirty, origin.data_hash)
    assert_equal(there, in_one_process("baseline"))
    for machine in cluster.others:
        assert not holds(machine)
    assert holds(cluster.head)


def test_each_pack_crosses_the_network_once_per_machine(cluster: RayMachines, done: None):
    """Of three runs, each with two tasks that read it. The machines have our code before."""
    size = sum(path.stat().st_size for path in pack_folder("large").rglob("*") if path.is_file())
    before = [machine.received_bytes() for machine in cluster.others]
    ran(cluster, *FLOORS)
    received = [machine.received_bytes() - b for machine, b in zip(cluster.others, before, strict=True)]
    print(f"a pack of {size} bytes; received {received}")
    assert sum(received) > size
    assert all(each < 1.5 * size for each in received), (received, size)


def test_workers_of_one_training_are_on_several_machines(done: None):
    there = weights("spread")
    assert_equal(there, in_one_process("spread"), atol=2e-5)


def test_every_trial_of_a_search_is_what_one_process_gives(done: None):
    result = read_search(Path("runs/search@rates"))
    assert sorted(trial.number for trial in result.trials) == [0, 1, 2, 3]
    search = open_search(*searched_experiment("rates"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for trial in result.trials:
            log = FolderLog(Path("undisturbed") / str(trial.number), str(trial.number))
            curve = [line.validation or 0.0 for line in epochs(search.experiment.with_overrides(trial.params), log)]
            assert trial.curve[-1].validation == max(curve), trial.number
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def undisturbed(cluster: RayMachines) -> Weights:
    """Weights of the long runs, trained by one process."""
    assert cluster.head.project
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cluster.head.project)
        return in_one_process("undisturbed")


def test_a_training_whose_machine_loses_its_power_ends_as_an_undisturbed_one(
    cluster: RayMachines, undisturbed: Weights
):
    cluster.add(cpus=1)  # the place of the one that goes
    driver, log = started(cluster, "killed")
    reached(driver, log, 3)
    place_of_training(cluster).kill()
    finished(driver, log)
    assert "lost its process and starts again" in log.read_text()
    assert_equal(weights("killed"), undisturbed)
    assert checkpoints(cluster, "killed") == 0


def test_a_training_whose_cable_is_pulled_for_seconds_ends_as_an_undisturbed_one(
    cluster: RayMachines, undisturbed: Weights
):
    driver, log = started(cluster, "cut")
    reached(driver, log, 2)
    machine = place_of_training(cluster)
    machine.cut()
    time.sleep(5)
    machine.heal()
    finished(driver, log)
    assert_equal(weights("cut"), undisturbed)


def test_a_training_whose_cable_is_pulled_for_good_goes_on_elsewhere(cluster: RayMachines, undisturbed: Weights):
    """The machine goes on training unheard, and its checkpoints never mix with those of the other."""
    cluster.add(cpus=1)
    driver, log = started(cluster, "lost")
    reached(driver, log, 3)
    machine = place_of_training(cluster)
    machine.cut()
    finished(driver, log)
    assert "lost its process and starts again" in log.read_text()
    assert_equal(weights("lost"), undisturbed)
    machine.heal()


# A machine sees what is installed, and no tests.
NOTICE = f"""{(Path(__file__).parents[1] / "cloud_notices.py").read_text()}
from posestages import leave
with service("gcp", (200, "TRUE")) as address:
    leave.main(["--notice", "gcp", "--service", address])
"""


def test_a_training_leaves_a_machine_to_which_its_cloud_gives_notice(cluster: RayMachines, undisturbed: Weights):
    cluster.add(cpus=1)
    driver, log = started(cluster, "noticed")
    reached(driver, log, 2)
    machine = place_of_training(cluster)
    variables = {**cluster.variables, "RAY_ADDRESS": cluster.address}
    ended = machine.run(sys.executable, "-c", NOTICE, cwd=Path("/"), seconds=60, **variables)
    assert ended.stdout == "told Ray that 1 of its nodes will be gone in 30 seconds\n", ended.stderr
    waited_for(lambda: machine not in (places_of_training(cluster) or [machine]), PATIENCE, "another machine")
    finished(driver, log)
    assert "lost its process" not in log.read_text()
    assert_equal(weights("noticed"), undisturbed)


def started(cluster: RayMachines, key: str) -> tuple[subprocess.Popen[str], Path]:
    log = cluster.folder / f"{key}.log"
    return cluster.start(*POSEBED, "run", key, cwd=Path.cwd(), log=log), log


def finished(driver: subprocess.Popen[str], log: Path) -> None:
    assert driver.wait(PATIENCE) == 0, log.read_text()


def reached(driver: subprocess.Popen[str], log: Path, epoch: int) -> None:
    """Wait until the command tells of the epoch; the checkpoint of the one before is in the storage then."""
    waited_for(lambda: driver.poll() is not None or f": epoch {epoch}, " in log.read_text(), PATIENCE, f"epoch {epoch}")
    assert driver.poll() is None, log.read_text()


def checkpoints(cluster: RayMachines, key: str) -> int:
    """The number of the newest checkpoint that the storage has of a run, from 1; 0 where it has none."""
    assert cluster.storage
    found = cluster.storage.called("print(*system.find('posebed/jobs'))").split()
    numbers = [re.search(rf"/{key}-[^/]*/(?:.*/)?(\d{{6}})-[0-9a-f]+/", path) for path in found]
    return max((int(number[1]) + 1 for number in numbers if number), default=0)


def place_of_training(cluster: RayMachines) -> Machine:
    """The machine whose worker does a task."""
    (machine,) = places_of_training(cluster)
    return machine


def places_of_training(cluster: RayMachines) -> list[Machine]:
    return [m for m in cluster.others if any("ray::Worker.do" in line for line in m.processes())]
