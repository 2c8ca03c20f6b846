"""The training loop, readable aloud. It runs alike under Ray Train, under torchrun and in one process."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError
from torch import Tensor

from posebed.data.pack import Pack
from posebed.data.splits import Split, read_split
from posebed.experiment import Experiment
from posebed.files import is_full_disk_to_torch
from posebed.pose import Batch
from posebed.scoring.result import Epoch, read_curve, write_curve
from posebed.training.begun_epoch import BegunEpoch
from posebed.training.compiled_code import keep_on_this_machine, put_shared, take_shared
from posebed.training.engine import Engine, open_engine
from posebed.training.finite import first_not_finite
from posebed.training.log import Log, Reached, Tick
from posebed.training.looks import Looks, Wanted
from posebed.training.memory import too_large
from posebed.training.modes import Mode, chosen
from posebed.training.moving_averages import move_averages
from posebed.training.precision import computing
from posebed.training.process_group import ProcessGroup, device_name, join_process_group, summed
from posebed.training.run_folder import read_weights, write_weights
from posebed.training.schedule import rate_factor, set_rate
from posebed.training.training_step import Computed, compiler_fault, reason_against, total_loss
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
    validation = Validation(experiment, pack, split)
    looks = Looks(log, group, settings.checkpoint_seconds)
    with log.latest() as checkpoint:
        mode = Mode.read(checkpoint) if checkpoint else chosen(spec, settings, group)
        engine = open_engine(model, settings, spec.learning_rates(experiment.config), group, mode.precision)
        run = _Run(experiment, engine, pack, split, group, log, looks, mode)
        begun = _resumed(run, checkpoint) if checkpoint else BegunEpoch()
    if len(run.curve) < settings.epochs:
        _compile(run, begun)
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
    mode: Mode
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
    batch: Batch | None = None
    engine.step_module.train()
    for index, batch in enumerate(stream, begun.steps * accumulation):
        step = ((epoch - 1) * micro_steps + index) // accumulation
        rate = set_rate(engine.optimizer, rate_factor(step, steps, settings))
        prediction, losses = _stepped(run, epoch, batch)
        move_averages(engine.module, prediction, batch, group)
        for name, value in losses.items():
            begun.add(name, value.detach())
        now = time.perf_counter()
        begun.seconds, begun.waited = now - started, waited + stream.waited
        if group.rank == 0 and now - ticked > TICK_SECONDS:
            ticked, speed = now, (index + 1) * len(batch) * group.size / begun.seconds
            done, total = (epoch - 1) * micro_steps + index + 1, micro_steps * settings.epochs
            run.log.tick(
                Tick(epoch, settings.epochs, done, total, loss=total_loss(losses).item(), images_per_second=speed)
            )
        if (index + 1) % accumulation == 0:
            begun.steps += 1
            if index + 1 < micro_steps and (wanted := run.looks.after_step()):
                _save(run, begun, wanted, part=(index + 1) / micro_steps)
    mean = summed(torch.stack([v.double() for v in begun.sums.values()]), group) / (micro_steps * group.size)
    means = {name: value.item() for name, value in zip(begun.sums, mean, strict=True)}
    seconds = time.perf_counter() - started
    return Epoch(
        epoch=epoch,
        loss=_finite(run, epoch, means, batch),
        losses=means,
        learning_rate=rate,
        judged_by=settings.judged_by,
        seconds=seconds,
        images_per_second=micro_steps // accumulation * settings.batch_size / seconds,
        waiting=min(1.0, begun.waited / seconds),
        device=f"{group.size} x {device_name(group.device)}",
        mode=str(run.mode),
        system=_system(),
    )


def _stepped(run: _Run, epoch: int, batch: Batch) -> Computed:
    """Take a step.

    Raises:
        ValueError: the device's memory does not hold it, or its loss is seen not to be finite.
    """
    try:
        return _step(run, epoch, batch)
    except torch.OutOfMemoryError:
        pass  # what the error holds of the step is free once it is forgotten
    raise ValueError(too_large(run.experiment.key, run.engine.step_module, batch, run.group))


def _step(run: _Run, epoch: int, batch: Batch) -> Computed:
    prediction, losses = run.engine(batch)
    if run.group.size == 1 and run.group.device.type == "cpu":  # where looking costs nothing
        _finite(run, epoch, {name: value.item() for name, value in losses.items()}, batch)
    run.engine.backward(total_loss(losses))
    run.engine.step()
    return prediction, losses


def _finite(run: _Run, epoch: int, losses: dict[str, float], batch: Batch | None) -> float:
    """The sum of a step's or an epoch's losses, the last batch of which is given.

    Raises:
        ValueError: it is not finite.
    """
    loss = sum(losses.values())
    if not math.isfinite(loss):
        precision = run.mode.precision
        layer = batch and first_not_finite(run.engine.module, batch, computing(precision, run.group.device))
        where = f"; {layer} is the first layer whose output is not finite" if layer else ""
        wider = "train.precision: float32, " if precision == "bfloat16" else ""
        raise ValueError(
            f"the loss of {run.experiment.key} must be finite, but is {losses} in epoch {epoch}{where}; {wider}a lower "
            "train.lr or train.clip above 0 may help"
        )
    return loss


def _system() -> dict[str, float]:
    process = psutil.Process()
    used = {"cpu_percent": psutil.cpu_percent(), "memory_gb": process.memory_info().rss / 1e9}
    if torch.cuda.is_available():
        used["accelerator_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return used


def _resumed(run: _Run, checkpoint: Path) -> BegunEpoch:
    """Go back to a checkpoint; returns what is done of the epoch that it was kept in."""
    run.engine.load(checkpoint)
    run.curve = read_curve(checkpoint / "curve.json")
    run.best = read_weights(checkpoint / "best.safetensors") if run.group.rank == 0 else None
    return BegunEpoch.read(checkpoint, run.group)


def _compile(run: _Run, begun: BegunEpoch) -> None:
    """Compile the step, if the mode says so. One that does not compile is taken as it is written: on all workers, if
    it fails on one."""
    if run.mode.compile == "eager":
        return
    experiment, device = run.experiment, run.group.device
    reason = _reason_against(run, begun)
    if summed(torch.tensor(float(bool(reason)), device=device), run.group):
        run.engine.step_module.compile_training("eager")
        run.mode = replace(run.mode, compile="eager")
        if run.group.rank == 0:
            why = reason or "on another worker"
            run.log.warn(f"{experiment.key}: steps run as they are written, since compiling them fails: {why}")
    elif run.group.rank == 0:
        put_shared(experiment.job, device)


def _reason_against(run: _Run, begun: BegunEpoch) -> str:
    """Why this worker cannot take compiled steps; empty where it can.

    Raises:
        ValueError: the device's memory does not hold a step.
    """
    experiment, group, step = run.experiment, run.group, run.engine.step_module
    try:
        keep_on_this_machine()
        take_shared(experiment.job, group.device, run.log.warn)
    except (OSError, ValueError) as error:
        missing = str(error)
    else:
        missing = compiler_fault(group.device)
    # Workers exchange statistics within a step: none may begin one that another cannot.
    if summed(torch.tensor(float(bool(missing)), device=group.device), group):
        return missing
    stream = training_stream(experiment, run.pack, run.split, group, len(run.curve) + 1, begun.steps)
    batch = next(iter(stream))
    step.compile_training(run.mode.compile)
    try:
        return reason_against(step, batch)
    except torch.OutOfMemoryError:
        pass
    raise ValueError(too_large(experiment.key, step, batch, group))


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
                run.mode.write(folder)
            log.keep(folder, reached)
    except (OSError, RuntimeError, SafetensorError) as error:
        of_torch = is_full_disk_to_torch(error)
        what, reason = (
            f"{run.experiment.key}: the checkpoint {reached}",
            "its disk does not take it" if of_torch else str(error),
        )
        if group.size == 1 and reached.epochs < run.experiment.train.epochs:
            log.warn(f"{what} could not be written: {reason}")
            return
        if not of_torch:
            raise
        raise OSError(f"{what} must be written, but: {reason}; free space there and run the command again") from error
    finally:
        run.looks.kept()
    if wanted is Wanted.LEAVE:
        log.left()


def _is_best(curve: list[Epoch]) -> bool:
    """Whether the last epoch was validated and did better than all before it."""
    *former, last = [line.validation for line in curve]
    return last is not None and last > max((v for v in former if v is not None), default=-1.0)
