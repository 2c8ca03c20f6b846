"""The loop: what is killed and resumed, or spread over workers, ends where an undisturbed run ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from experiments import experiment_of
from posebed.catalog import installed
from posebed.experiment import Experiment
from posebed.places import LOCAL_JOBS
from posebed.scoring.result import Epoch, read_curve
from posebed.training.log import FolderLog, Reached, Tick
from posebed.training.loop import train


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint" / "last.safetensors")


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], atol: float = 0.0) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=atol, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def changed(experiment: Experiment, **train: object) -> Experiment:
    return experiment.with_overrides({f"train.{name}": value for name, value in train.items()})


class Killed(BaseException):
    """Stands for a kill: nothing in the loop may catch it."""


class DyingLog(FolderLog):
    """Dies at its n-th word."""

    def __init__(self, folder: Path, words: int) -> None:
        super().__init__(folder, "dying")
        self._left = words

    def _say(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed

    def tick(self, tick: Tick) -> None:
        self._say()

    def keep(self, checkpoint, epoch) -> None:
        self._say()
        super().keep(checkpoint, epoch)
        self._say()


@pytest.mark.parametrize("key", ["baseline", "prototypes"])
def test_the_same_seed_gives_the_same_weights(project: Path, key: str):
    experiment = changed(experiment_of(key), epochs=2, checkpoint_every=1)
    for name in ("one", "other"):
        train(experiment, FolderLog(project / name, key))
    assert_equal(weights(project / "one"), weights(project / "other"))
    train(replace(experiment, seed=1), FolderLog(project / "seed", key))
    first = next(iter(weights(project / "one")))
    assert any((weights(project / "one")[n] != v).any() for n, v in weights(project / "seed").items()), first


@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
@pytest.mark.parametrize("words", range(0, 9, 2))
def test_a_run_killed_at_any_point_resumes_to_the_same_weights(project: Path, engine: str, words: int):
    experiment = changed(experiment_of("baseline"), epochs=4, checkpoint_every=1, engine=engine)
    curve = train(experiment, FolderLog(project / "whole", "whole"))
    with pytest.raises(Killed):
        train(experiment, DyingLog(project / "killed", words))
    resumed = train(experiment, FolderLog(project / "killed", "killed"))
    assert_equal(weights(project / "whole"), weights(project / "killed"))
    assert [line.loss for line in resumed] == [line.loss for line in curve]


class MachineLeaves(Exception):
    pass


class LeavingLog(FolderLog):
    """Its machine will be taken away at its n-th look, which comes after every step and at the end of every epoch."""

    def __init__(self, folder: Path, looks: int) -> None:
        super().__init__(folder, "leaving")
        self._left = looks
        self.kept: list[Reached] = []

    def leaving(self) -> bool:
        self._left -= 1
        return self._left < 0

    def left(self) -> None:
        raise MachineLeaves

    def keep(self, checkpoint: Path, reached: Reached) -> None:
        super().keep(checkpoint, reached)
        self.kept.append(reached)


@pytest.fixture
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posebed.training.looks.LOOK_SECONDS", 0.0)


def assert_as_undisturbed(project: Path, left: list[Epoch], whole: list[Epoch]) -> None:
    for file in ("last", "best"):
        assert_equal(*(load_file(project / run / f"checkpoint/{file}.safetensors") for run in ("whole", "left")))
    told = ("loss", "losses", "validation", "learning_rate")
    assert [[getattr(line, name) for name in told] for line in left] == [
        [getattr(line, name) for name in told] for line in whole
    ]


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("baseline", {"engine": "torch"}),
        ("baseline", {"engine": "deepspeed", "micro_batch": 2}),
        ("baseline", {"engine": "deepspeed", "zero": 2}),
        ("prototypes", {"engine": "torch", "micro_batch": 2, "augment": {"rotation": 40, "flip": 0.5}}),
        ("masked", {"engine": "torch"}),
    ],
)
def test_a_run_that_leaves_its_machine_at_any_step_ends_in_the_same_weights(
    project: Path, always_looking: None, key: str, settings: dict[str, object]
):
    """Every second epoch is validated, and so has a chance to be the best; the others are not. The model ``masked``
    draws from torch's generator in every step."""
    if key == "masked":
        file = project / "params.yaml"
        masked = {"model": "sdpnet", "split": "held-out", "pack": "small", "train": {"batch_size": 4, "draws": 16}}
        masked["config"] = {**installed().model("sdpnet").small, "slots": 17}
        known = file.read_text().replace("models:\n", "models:\n  sdpnet: {}\n")
        file.write_text(known + f"  masked: {json.dumps(masked)}\n")
    experiment = changed(experiment_of(key), epochs=3, checkpoint_every=2, **settings)
    whole = train(experiment, FolderLog(project / "whole", "whole"))
    looks, places = 0, set[str]()
    while looks < 40:
        shutil.rmtree(project / "left", ignore_errors=True)
        log = LeavingLog(project / "left", looks)
        try:
            train(experiment, log)
        except MachineLeaves:
            pass
        else:
            break
        places.add(str(log.kept[-1]))
        resumed = train(experiment, LeavingLog(project / "left", 99))
        assert_as_undisturbed(project, resumed, whole)
        looks += 1 if looks < 4 else 3
    assert {"within epoch 1", "of epoch 1", "within epoch 3"} <= places


@pytest.mark.parametrize("words", [1, 2, 5, 8, 12])
def test_a_run_that_keeps_a_checkpoint_after_every_step_and_is_killed_goes_on_from_the_last_one(
    project: Path, always_looking: None, words: int
):
    experiment = changed(experiment_of("baseline"), epochs=2, checkpoint_every=2)
    whole = train(experiment, FolderLog(project / "whole", "whole"))
    often = changed(experiment, checkpoint_seconds=1e-9)
    with pytest.raises(Killed):
        train(often, DyingLog(project / "left", words))
    assert_as_undisturbed(project, train(often, FolderLog(project / "left", "left")), whole)


def test_seconds_between_checkpoints_decide_how_many_are_kept(project: Path, always_looking: None):
    def kept(seconds: float | None) -> list[str]:
        log = LeavingLog(project / str(seconds), 99)
        train(changed(experiment_of("baseline"), epochs=2, checkpoint_every=2, checkpoint_seconds=seconds), log)
        return [str(reached) for reached in log.kept]

    assert kept(None) == kept(1e9) == ["of epoch 2"]
    often = kept(1e-9)
    assert often[-1] == "of epoch 2" and {"within epoch 1", "of epoch 1", "within epoch 2"} <= {*often}


def test_the_best_weights_are_those_of_the_highest_validation(project: Path):
    experiment = changed(experiment_of("baseline"), epochs=3, checkpoint_every=1)
    kept: list[dict[str, torch.Tensor]] = []

    class KeepingLog(FolderLog):
        def keep(self, checkpoint, epoch) -> None:
            kept.append(load_file(checkpoint / "last.safetensors"))
            super().keep(checkpoint, epoch)

    curve = train(experiment, KeepingLog(project / "run", "run"))
    measured = [line.validation for line in curve if line.validation is not None]
    assert len(measured) == len(kept) == 3
    assert_equal(load_file(project / "run/checkpoint/best.safetensors"), kept[measured.index(max(measured))])


def test_a_loss_that_is_no_number_is_refused_with_advice(project: Path):
    experiment = changed(experiment_of("baseline"), lr=1e37, epochs=2, optimizer="sgd", precision="bfloat16")
    with pytest.raises(ValueError, match=r"must be finite.* is the first layer.*; train.precision: float32, a lower"):
        train(experiment, FolderLog(project / "run", "run"))


@pytest.mark.services
@pytest.mark.parametrize("zero", [0, 2])
def test_two_workers_end_where_one_with_the_doubled_batch_does(project: Path, zero: int):
    text = (project / "params.yaml").read_text()
    sgd = "optimizer: sgd, lr: 0.01, augment: {flip: 0.5, rotation: 20}"

    def trained(workers: int) -> dict[str, torch.Tensor]:
        settings = f"train: {{workers: {workers}, zero: {zero}, epochs: 2, {sgd}}}"
        run = f"{{model: simple_baseline, split: quads, pack: small, {settings}}}"
        (project / "params.yaml").write_text(f"{text}  spread{workers}: {run}\n")
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(workers), "--standalone"]
        command += ["-m", "posestages.train_without_ray", f"spread{workers}"]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return load_file(project / f"runs/spread{workers}/seed-0/train/last.safetensors")

    assert_equal(trained(1), trained(2), atol=2e-5)


@pytest.mark.services
@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
@pytest.mark.parametrize("looks", [1, 3])
def test_a_run_goes_on_with_another_number_of_workers_from_within_an_epoch(
    project: Path, monkeypatch: pytest.MonkeyPatch, engine: str, looks: int
):
    """To the same parameters: each worker normalises its own micro batch, which is as large for any number of them."""
    sgd = "optimizer: sgd, lr: 0.01, sync_batchnorm: false, checkpoint_every: 1, augment: {flip: 0.5, rotation: 20}"
    settings = f"train: {{workers: {{min: 1, max: 2}}, engine: {engine}, epochs: 2, {sgd}}}"
    run = f"{{model: simple_baseline, split: quads, pack: small, {settings}}}"
    (project / "params.yaml").write_text(f"{(project / 'params.yaml').read_text()}  changing: {run}\n")
    experiment = experiment_of("changing")
    whole = train(experiment, FolderLog(project / "whole", "whole"))
    monkeypatch.setattr("posebed.training.looks.LOOK_SECONDS", 0.0)
    with pytest.raises(MachineLeaves):
        train(experiment, LeavingLog(LOCAL_JOBS / experiment.job, looks))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "posestages.train_without_ray", "changing"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    folder = project / "runs/changing/seed-0/train"
    learnt = load_file(folder / "last.safetensors")
    names = [name for name in learnt if "running" not in name and "num_batches" not in name]
    former = weights(project / "whole")
    assert_equal({name: learnt[name] for name in names}, {name: former[name] for name in names}, atol=2e-5)
    curve = read_curve(folder / "curve.json")
    assert [line.loss for line in curve] == pytest.approx([line.loss for line in whole], rel=1e-4)
    assert curve[-1].device == "2 x cpu"
