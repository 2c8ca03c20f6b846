"""The training loop, readable aloud. It runs alike under Ray Train, under torchrun and in one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import torch
from safetensors import SafetensorError
from torch import Tensor

from posebed.data.pack import Pack
from posebed.data.splits import Split, read_split
from posebed.experiment import Experiment
from posebed.scoring.result import Epoch, read_curve, write_curve
from posebed.training.engine import Engine, open_engine
from posebed.training.log import Log, Tick
from posebed.training.pose_module import losses_of
from posebed.training.process_group import ProcessGroup, device_name, join_process_group, summed
from posebed.training.run_folder import read_weights, write_weights
from posebed.training.schedule import rate_factor, set_rate
from posebed.training.training_stream import training_stream
from posebed.training.transfer import initial_model
from posebed.training.validate import Validation

TICK_SECONDS = 0.5


def train(experiment: Experiment, log: Log) -> list[Epoch]:
    """Train one experiment to its end; returns the learning curve."""
    return list(epochs(experiment, log))


def epochs(experiment: Experiment, log: Log) -> Iterator[Epoch]:
    """Train one experiment, from its newest checkpoint if there is one, and yield every epoch once it is done; those
    of the checkpoint come at once. Stop iterating to stop training.

    A checkpoint holds the engine's state, ``last.safetensors``, ``best.safetensors`` (highest validation) and
    ``curve.json``. Weights, order and augmentation follow from the seed and the epoch alone, so that a run that
    was killed and resumed ends in the same weights as one that was not.
    """
    group = join_process_group()
    pack, split = Pack.open(experiment.pack_folder), read_split(experiment.split_folder)
    spec, settings = experiment.spec, experiment.train
    # Where there is a checkpoint to resume, it replaces these weights.
    model, _ = initial_model(experiment, pack.setting())
    engine = open_engine(model, settings, spec.learning_rates(experiment.config), group)
    validation = Validation(experiment, pack, split)
    run = _Run(experiment=experiment, engine=engine, pack=pack, split=split, group=group, log=log)
    curve, best = _resume(engine, log)
    yield from curve
    for epoch in range(len(curve) + 1, settings.epochs + 1):
        line = _train_epoch(run, epoch)
        checkpoint = epoch % settings.checkpoint_every == 0 or epoch == settings.epochs
        if checkpoint:
            line = line.model_copy(update={"validation": validation(engine, group)})
        curve.append(line)
        if group.rank == 0:
            log.epoch(line)
        leaving = epoch < settings.epochs and log.leaving()
        if leaving or (checkpoint and log.due()):
            best = _save(run, curve, best)
        yield line


@dataclass(frozen=True)
class _Run:
    """What stays as it is from the first epoch to the last."""

    experiment: Experiment
    engine: Engine
    pack: Pack
    split: Split
    group: ProcessGroup
    log: Log


def _train_epoch(run: _Run, epoch: int) -> Epoch:
    experiment, engine, group = run.experiment, run.engine, run.group
    settings = experiment.train
    # Layers such as dropout draw from torch's global generator and from no other.
    torch.manual_seed((experiment.seed * 100_003 + epoch) * 1_009 + group.rank)  # pyright: ignore[reportUnknownMemberType]
    stream = training_stream(experiment, run.pack, run.split, group, epoch)
    micro_steps, accumulation = len(stream), settings.accumulation()
    steps = micro_steps // accumulation * settings.epochs
    total: dict[str, Tensor] = {}
    images, rate, started, ticked = 0, 0.0, time.perf_counter(), 0.0
    engine.module.train()
    for index, batch in enumerate(stream):
        step = ((epoch - 1) * micro_steps + index) // accumulation
        rate = set_rate(engine.optimizer, rate_factor(step, steps, settings))
        losses = losses_of(engine.module, engine(batch), batch)
        loss = sum(losses.values(), torch.zeros((), device=group.device))
        engine.backward(loss)
        engine.step()
        for name, value in losses.items():
            total[name] = total.get(name, 0) + value.detach()
        images += len(batch) * group.size
        if group.rank == 0 and (now := time.perf_counter()) - ticked > TICK_SECONDS:
            ticked, done = now, (epoch - 1) * micro_steps + index + 1
            speed = images / (now - started)
            run.log.tick(
                Tick(
                    epoch=epoch,
                    epochs=settings.epochs,
                    step=done,
                    steps=micro_steps * settings.epochs,
                    loss=loss.item(),
                    images_per_second=speed,
                )
            )
    seconds = time.perf_counter() - started
    mean = summed(torch.stack([v.double() for v in total.values()]), group) / (micro_steps * group.size)
    means = {name: value.item() for name, value in zip(total, mean, strict=True)}
    return Epoch(
        epoch=epoch,
        loss=_finite(experiment, epoch, means),
        losses=means,
        learning_rate=rate,
        judged_by=run.experiment.train.judged_by,
        seconds=seconds,
        images_per_second=images / seconds,
        waiting=min(1.0, stream.waited / seconds),
        device=f"{group.size} x {device_name(group.device)}",
        system=_system(),
    )


def _finite(experiment: Experiment, epoch: int, losses: dict[str, float]) -> float:
    """The sum of an epoch's losses.

    Raises:
        ValueError: it is not finite.
    """
    loss = sum(losses.values())
    if loss != loss or loss == float("inf"):
        raise ValueError(
            f"the loss of {experiment.key} must be finite, but is {losses} in epoch {epoch}; a lower train.lr or "
            "train.clip above 0 may help"
        )
    return loss


def _system() -> dict[str, float]:
    process = psutil.Process()
    used = {"cpu_percent": psutil.cpu_percent(), "memory_gb": process.memory_info().rss / 1e9}
    if torch.cuda.is_available():
        used["accelerator_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return used


Weights = dict[str, Tensor]


def _resume(engine: Engine, log: Log) -> tuple[list[Epoch], Weights | None]:
    with log.latest() as folder:
        if folder is None:
            return [], None
        engine.load(folder)
        return read_curve(folder / "curve.json"), read_weights(folder / "best.safetensors")


def _save(run: _Run, curve: list[Epoch], best: Weights | None) -> Weights | None:
    """Keep a checkpoint and return the best weights so far (on rank 0).

    One that cannot be written, as on a full disk, costs nothing but itself: the next is tried in its turn. Several
    workers would wait for one another, and a last one is the outcome, so there the error stands.
    """
    experiment, engine, log, group = run.experiment, run.engine, run.log, run.group
    weights = engine.weights()
    if weights is not None and (best is None or _is_best(curve)):
        best = weights
    try:
        with log.fresh() as folder:
            engine.save(folder)
            if weights is not None and best is not None:
                write_weights(weights, folder / "last.safetensors")
                write_weights(best, folder / "best.safetensors")
                write_curve(curve, folder / "curve.json")
            log.keep(folder, curve[-1])
    except (OSError, RuntimeError, SafetensorError) as error:
        if group.size > 1 or curve[-1].epoch == experiment.train.epochs:
            raise
        log.warn(f"{experiment.key}: the checkpoint of epoch {curve[-1].epoch} could not be written: {error}")
    return best if group.rank == 0 else None


def _is_best(curve: list[Epoch]) -> bool:
    """Whether the last epoch was validated and did better than all before it."""
    *former, last = [line.validation for line in curve]
    return last is not None and last > max((v for v in former if v is not None), default=-1.0)
