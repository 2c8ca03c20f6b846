"""The training loop, readable aloud. It runs alike under Ray Train, under torchrun and in one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
import torch
from safetensors import SafetensorError
from torch import Tensor

from posebed.data.pack import Pack
from posebed.data.splits import Split, read_split
from posebed.experiment import Experiment
from posebed.scoring.result import Epoch, read_curve, write_curve
from posebed.training.begun_epoch import BegunEpoch
from posebed.training.engine import Engine, open_engine
from posebed.training.log import Log, Reached, Tick
from posebed.training.looks import Looks, Wanted
from posebed.training.moving_averages import move_averages
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
    ``curve.json``; one that is kept within an epoch also what is done of it. Weights, order and augmentation follow
    from seed, epoch and step alone, so that a run that was killed and resumed ends in the same weights as one that was
    not.
    """
    group = join_process_group()
    pack, split = Pack.open(experiment.pack_folder), read_split(experiment.split_folder)
    spec, settings = experiment.spec, experiment.train
    # Where there is a checkpoint to resume, it replaces these weights.
    model, _ = initial_model(experiment, pack.setting())
    engine = open_engine(model, settings, spec.learning_rates(experiment.config), group)
    validation = Validation(experiment, pack, split)
    looks = Looks(log, group, settings.checkpoint_seconds)
    run = _Run(experiment=experiment, engine=engine, pack=pack, split=split, group=group, log=log, looks=looks)
    begun = _resume(run)
    yield from [*run.curve]
    for epoch in range(len(run.curve) + 1, settings.epochs + 1):
        line = _train_epoch(run, epoch, begun)
        begun = BegunEpoch()
        validated = epoch % settings.checkpoint_every == 0 or epoch == settings.epochs
        if validated:
            line = line.model_copy(update={"validation": validation(engine, group)})
        run.curve.append(line)
        if validated and _is_best(run.curve):
            run.best = engine.weights()
        if group.rank == 0:
            log.epoch(line)
        wanted = looks.now() if epoch < settings.epochs else Wanted.NOTHING
        if wanted or (validated and log.due()):
            _save(run, begun, wanted)
        yield line


Weights = dict[str, Tensor]


@dataclass
class _Run:
    """A training: what stays as it is from the first epoch to the last, and how far it is."""

    experiment: Experiment
    engine: Engine
    pack: Pack
    split: Split
    group: ProcessGroup
    log: Log
    looks: Looks
    curve: list[Epoch] = field(default_factory=list[Epoch])
    best: Weights | None = None
    """The weights with the highest validation so far, on rank 0."""


def _train_epoch(run: _Run, epoch: int, begun: BegunEpoch) -> Epoch:
    """Train an epoch, from where it is begun, to its end."""
    experiment, engine, group = run.experiment, run.engine, run.group
    settings = experiment.train
    # Layers such as dropout draw from torch's global generator and from no other.
    torch.manual_seed((experiment.seed * 100_003 + epoch) * 1_009 + group.rank)  # pyright: ignore[reportUnknownMemberType]
    begun.set_generators(group)
    accumulation = settings.accumulation(group.size)
    stream = training_stream(experiment, run.pack, run.split, group, epoch, first_step=begun.steps)
    micro_steps = begun.steps * accumulation + len(stream)
    steps = micro_steps // accumulation * settings.epochs
    waited, rate, started, ticked = begun.waited, 0.0, time.perf_counter() - begun.seconds, 0.0
    engine.module.train()
    for index, batch in enumerate(stream, begun.steps * accumulation):
        step = ((epoch - 1) * micro_steps + index) // accumulation
        rate = set_rate(engine.optimizer, rate_factor(step, steps, settings))
        prediction = engine(batch)
        losses = losses_of(engine.module, prediction, batch)
        loss = sum(losses.values(), torch.zeros((), device=group.device))
        engine.backward(loss)
        engine.step()
        move_averages(engine.module, prediction, batch, group)
        for name, value in losses.items():
            begun.add(name, value.detach())
        now = time.perf_counter()
        begun.seconds, begun.waited = now - started, waited + stream.waited
        if group.rank == 0 and now - ticked > TICK_SECONDS:
            ticked, speed = now, (index + 1) * len(batch) * group.size / begun.seconds
            done, total = (epoch - 1) * micro_steps + index + 1, micro_steps * settings.epochs
            run.log.tick(Tick(epoch, settings.epochs, done, total, loss=loss.item(), images_per_second=speed))
        if (index + 1) % accumulation == 0:
            begun.steps += 1
            if index + 1 < micro_steps and (wanted := run.looks.after_step()):
                _save(run, begun, wanted, part=(index + 1) / micro_steps)
    mean = summed(torch.stack([v.double() for v in begun.sums.values()]), group) / (micro_steps * group.size)
    means = {name: value.item() for name, value in zip(begun.sums, mean, strict=True)}
    seconds = time.perf_counter() - started
    return Epoch(
        epoch=epoch,
        loss=_finite(experiment, epoch, means),
        losses=means,
        learning_rate=rate,
        judged_by=settings.judged_by,
        seconds=seconds,
        images_per_second=micro_steps // accumulation * settings.batch_size / seconds,
        waiting=min(1.0, begun.waited / seconds),
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


def _resume(run: _Run) -> BegunEpoch:
    """Go back to the newest checkpoint, if there is one; returns what is done of the epoch that it was kept in."""
    with run.log.latest() as folder:
        if folder is None:
            return BegunEpoch()
        run.engine.load(folder)
        run.curve = read_curve(folder / "curve.json")
        run.best = read_weights(folder / "best.safetensors") if run.group.rank == 0 else None
        return BegunEpoch.read(folder, run.group)


def _save(run: _Run, begun: BegunEpoch, wanted: Wanted, part: float = 0.0) -> None:
    """Keep a checkpoint; where the training is to leave, end it then.

    One that cannot be written, as on a full disk, costs nothing but itself: the next is tried in its turn. Several
    workers would wait for one another, and a last one is the outcome, so there the error stands.

    Args:
        part: of the begun epoch that is done.
    """
    log, group = run.log, run.group
    reached = Reached(len(run.curve), part, validation=None if part else run.curve[-1].validation)
    weights = run.engine.weights()
    try:
        with log.fresh() as folder:
            run.engine.save(folder)
            if part:
                begun.write(folder, group)
            if weights is not None:
                write_weights(weights, folder / "last.safetensors")
                write_weights(run.best or weights, folder / "best.safetensors")
                write_curve(run.curve, folder / "curve.json")
            log.keep(folder, reached)
    except (OSError, RuntimeError, SafetensorError) as error:
        if group.size > 1 or reached.epochs == run.experiment.train.epochs:
            raise
        log.warn(f"{run.experiment.key}: the checkpoint {reached} could not be written: {error}")
        return
    finally:
        run.looks.kept()
    if wanted is Wanted.LEAVE:
        log.left()


def _is_best(curve: list[Epoch]) -> bool:
    """Whether the last epoch was validated and did better than all before it."""
    *former, last = [line.validation for line in curve]
    return last is not None and last > max((v for v in former if v is not None), default=-1.0)
