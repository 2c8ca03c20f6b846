"""A step that the device's memory does not hold is told with the batch that fits."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from experiments import experiment_of
from posebed.config import TrainConfig
from posebed.pose import Batch, Keypoints
from posebed.training import loop, memory
from posebed.training.log import FolderLog
from posebed.training.loop import train
from posebed.training.memory import largest_fitting, too_large
from posebed.training.process_group import ProcessGroup
from posebed.training.training_step import TrainingStep


class Roomy(nn.Module):
    """Has memory for so many samples."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.scale, self._room = nn.Parameter(torch.ones(())), room

    def forward(self, batch: Batch) -> Tensor:
        if len(batch) > self._room:
            raise torch.OutOfMemoryError("no room")
        return batch.image * self.scale

    def losses(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"square": prediction.square().mean()}


def step_with(room: int, count: int) -> tuple[TrainingStep, Batch]:
    row = torch.zeros(count, dtype=torch.int64)
    batch = Batch(torch.ones(count, 3, 2, 2), Keypoints(torch.zeros(count, 1, 2), torch.zeros(count, 1)), row, row)
    model: Any = Roomy(room)
    return TrainingStep(model, "float32"), batch


@given(count=st.integers(1, 48), room=st.integers(0, 48))
def test_the_batch_that_fits_divides_the_whole_one_and_a_larger_does_not_fit(count: int, room: int):
    fitting = largest_fitting(*step_with(room, count))
    divisors = [n for n in range(1, count) if count % n == 0 and n <= room]
    assert fitting == max(divisors, default=0)


def test_the_sentence_says_what_to_set():
    alone, several = ProcessGroup(0, 1, torch.device("cpu")), ProcessGroup(0, 2, torch.device("cpu"))
    assert "train.micro_batch: 4, which fits" in too_large("run", *step_with(5, 8), alone)
    assert "train.micro_batch: 4, which may fit" in too_large("run", *step_with(5, 8), several)
    assert "choose smaller crops" in too_large("run", *step_with(0, 8), alone)


@pytest.mark.parametrize("mode", ["eager", "default"])
def test_a_training_without_memory_ends_in_that_sentence(project: Path, monkeypatch: pytest.MonkeyPatch, mode: str):
    experiment = experiment_of("baseline").with_overrides({"train.engine": "torch", "train.compile": mode})
    forward = TrainingStep.forward

    def narrow(self: TrainingStep, batch: Batch) -> Any:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("no room")
        return forward(self, batch)

    monkeypatch.setattr(TrainingStep, "forward", narrow)
    with pytest.raises(ValueError, match=r"samples at a time; set train.micro_batch: 2, which fits"):
        train(experiment, FolderLog(project / "run", "run"))


def pictures(count: int, seed: int = 0) -> Batch:
    row, image = (
        torch.zeros(count, dtype=torch.int64),
        torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)),
    )
    return Batch(image, Keypoints(torch.zeros(count, 1, 2), torch.zeros(count, 1)), row, row)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch) -> Tensor:
        return batch.image * self.scale

    def losses(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"mean": prediction.mean()}


def test_smaller_batches_are_tried_without_what_the_failed_step_holds(monkeypatch: pytest.MonkeyPatch):
    held: list[weakref.ref[Tensor]] = []

    class Full(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.kept = torch.ones(10)
            held.append(weakref.ref(ctx.kept))
            return x * 1

        @staticmethod
        def backward(ctx: Any, *_: Any) -> Any:
            raise torch.OutOfMemoryError("no room")

    model: Any = Scaled()
    model.forward = lambda batch: Full.apply(batch.image * model.scale)
    step = TrainingStep(model, "float32").train()

    class Stand(SimpleNamespace):
        def __call__(self, batch: Batch) -> Any:
            return step(batch)

    engine = Stand(step_module=step, module=model, backward=lambda loss: loss.backward())
    group = ProcessGroup(0, 1, torch.device("cpu"))
    run: Any = SimpleNamespace(engine=engine, group=group, experiment=SimpleNamespace(key="run"))

    def tried(*_: object) -> str:
        gc.collect()
        assert held[0]() is None
        return "told"

    monkeypatch.setattr(loop, "too_large", tried)
    with pytest.raises(ValueError, match="told"):
        loop._stepped(run, 1, pictures(4))


def test_a_compiled_step_is_tried_in_all_sizes(monkeypatch: pytest.MonkeyPatch):
    model: Any = Scaled()
    step = TrainingStep(model, "float32").train()
    step._in_training = torch.compile(step._computed, fullgraph=True, dynamic=False, backend="eager")
    step(pictures(48))
    taken = memory.gradients

    def narrow(step: TrainingStep, batch: Batch) -> Any:
        taken(step, batch)
        if len(batch) > 1:
            raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(memory, "gradients", narrow)
    assert memory.largest_fitting(step, pictures(48)) == 1


def test_what_several_workers_are_advised_to_set_is_taken():
    model: Any = Scaled()
    step = TrainingStep(model, "float32")
    advice = memory.too_large("run", step, pictures(9), ProcessGroup(0, 2, torch.device("cpu")))
    micro = int(advice.split("train.micro_batch: ")[1].split(",")[0])
    TrainConfig(batch_size=18, workers=2, micro_batch=micro)
