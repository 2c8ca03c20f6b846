"""Training steps of a case as the training loop takes them: through the engine, with the fused optimizer."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from card.kernels import kernels_of
from card.same_draws import still
from card.speeds import finished
from card.traffic import bytes_of, operations_of
from card.world import World
from posebed.pose import Batch, taken
from posebed.training.engine import Engine, open_engine
from posebed.training.modes import Mode
from posebed.training.moving_averages import move_averages
from posebed.training.training_step import reason_against, total_loss
from posebed.training.training_stream import training_stream
from posebed.training.transfer import initial_model

FORMS: Mapping[str, Mode] = {
    "float32": Mode("eager", "float32"),
    "bfloat16": Mode("eager", "bfloat16"),
    "compiled": Mode("default", "bfloat16"),
    "graphs": Mode("reduce-overhead", "bfloat16"),
}
SECONDS = 2.0
"""For about so long steps are timed."""
FED, FIRST = 24, 4
"""Steps that take their batches from the pack, and how many of them do not count."""
COUNTED = (2, 4)
"""Batches whose operations and bytes are counted."""


@dataclass(frozen=True)
class Trainer:
    """An engine with what it is given."""

    world: World
    name: str
    engine: Engine
    batch: Batch

    @classmethod
    def opened(
        cls, world: World, name: str, mode: Mode, count: int = 0, unmoved: bool = False, **train: Any
    ) -> Trainer:
        """With the first batch of an epoch, cut to or repeated up to ``count``.

        Args:
            unmoved: without dropout.

        Raises:
            RuntimeError: its step does not compile.
        """
        experiment = world.experiment(name, precision=mode.precision, **train)
        pack, split = world.data(name)
        model, _ = initial_model(experiment, pack.setting())
        if unmoved:
            still(model)
        rates = experiment.spec.learning_rates(experiment.config)
        engine = open_engine(model, experiment.train, rates, world.group, mode.precision)
        batch = next(iter(training_stream(experiment, pack, split, world.group, epoch=1)))
        trainer = cls(world, name, engine, of_count(batch, count or world.batch))
        engine.step_module.train()
        if mode.compile != "eager":
            engine.step_module.compile_training(mode.compile)
            if reason := reason_against(engine.step_module, trainer.batch):
                raise RuntimeError(reason)
        return trainer

    def step(self) -> dict[str, Tensor]:
        return self.on(self.batch)

    def on(self, batch: Batch) -> dict[str, Tensor]:
        prediction, losses = self.engine(batch)
        self.engine.backward(total_loss(losses))
        self.engine.step()
        move_averages(self.engine.module, prediction, batch, self.world.group)
        return losses

    def seconds(self, together: int = 5) -> float:
        """Median time of a step: of so many that are waited for together, as in training nobody waits for one.

        Raises:
            ValueError: the loss is not finite in the end.
        """
        device, times = self.world.device, list[float]()
        for _ in range(together):
            self.step()
        finished(device)
        begun = time.perf_counter()
        while len(times) < 3 or time.perf_counter() - begun < SECONDS:
            started = time.perf_counter()
            for _ in range(together):
                self.step()
            finished(device)
            times.append((time.perf_counter() - started) / together)
        if not math.isfinite(loss := float(total_loss(self.step()).detach())):
            raise ValueError(f"the loss must stay finite, but is {loss} after {len(times) * together} steps")
        return statistics.median(times)


def of_count(batch: Batch, count: int) -> Batch:
    """A batch of so many samples, repeated as often as it takes."""
    rows = torch.arange(count, device=batch.row.device) % len(batch)
    return taken(batch, rows)


def step_time(world: World, name: str, form: str) -> Mapping[str, Any]:
    """What a training step in a form costs, and the rate from pack to optimizer."""
    device = world.device
    on_card = device.type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    trainer = Trainer.opened(world, name, FORMS[form])
    seconds = trainer.seconds() if on_card else trainer.seconds(together=1)
    memory = torch.cuda.max_memory_allocated() / 2**30 if on_card else None
    kernels, busy = kernels_of(trainer.step, device)
    return {
        "batch": world.batch,
        "ms": seconds * 1000,
        "kernels": kernels,
        "share in kernels": None if busy is None else min(1.0, busy / seconds),
        "peak GiB": memory,
        **fed(trainer, FED if on_card else FIRST + 2),
    }


def fed(trainer: Trainer, steps: int) -> Mapping[str, Any]:
    """Images per second from pack to optimizer, with augmentation, and the share of the time spent waiting for data."""
    world = trainer.world
    experiment = world.experiment(trainer.name, draws=steps * world.batch)
    pack, split = world.data(trainer.name)
    stream = training_stream(experiment, pack, split, world.group, epoch=2)
    started, before = time.perf_counter(), 0.0
    for index, batch in enumerate(stream):
        if index == FIRST:
            finished(world.device)
            started, before = time.perf_counter(), stream.waited
        trainer.on(batch)
    finished(world.device)
    seconds = time.perf_counter() - started
    images = (len(stream) - FIRST) * world.batch
    return {"images/s": images / seconds, "waiting": min(1.0, (stream.waited - before) / seconds)}


def counts(world: World, name: str) -> Mapping[str, Any]:
    """Operations and bytes of a step in bfloat16 as it is written, for two small batches."""
    found: dict[str, Any] = {"batches": list(COUNTED), "operations": [], "bytes": []}
    measures: dict[str, Callable[[Callable[[], object]], int]] = {"operations": operations_of, "bytes": bytes_of}
    for count in COUNTED:
        trainer = Trainer.opened(world, name, FORMS["bfloat16"], count)
        trainer.step()  # makes the optimizer's state
        for what, measure in measures.items():
            found[what].append(measure(trainer.step))
    return found
