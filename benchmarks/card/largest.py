"""The largest batch, of the powers of two, that a training step has memory for, and what a step of it takes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from card.calls import sentence
from card.steps import FORMS, Trainer, of_count
from card.world import World

MOST = 8192


def largest_batch(world: World, name: str, form: str, known: int = 0) -> Mapping[str, Any]:
    """By trying: upwards from the usual batch with a step as it is written, or downwards from the ``known`` batch that
    fits another form, since each size is compiled anew."""
    if known:
        batch, trainer = _downwards(world, name, form, known)
        return {"batch": batch, "ms": trainer.seconds(together=1) * 1000}
    trainer = Trainer.opened(world, name, FORMS[form])
    most = MOST if world.device.type == "cuda" else 2 * world.batch  # a CPU's memory is the whole machine's
    batch, why = upwards(partial(_tried, trainer), world.batch, most)
    if not batch:
        raise ValueError(f"a batch of {world.batch} must fit, but does not: {why}")
    _freed(trainer)
    timed = Trainer(world, name, trainer.engine, of_count(trainer.batch, batch))
    return {"batch": batch, "ended by": why, "ms": timed.seconds(together=1) * 1000}


def upwards(tried: Callable[[int], str], least: int, most: int) -> tuple[int, str]:
    """The last of ``least`` and its doubles for which ``tried`` gives no reason against it, and the reason against the
    next; 0 where not even the first does."""
    fitting, count = 0, least
    while count <= most:
        if why := tried(count):
            return fitting, why
        fitting, count = count, 2 * count
    return fitting, f"no more than {fitting} was tried"


def _tried(trainer: Trainer, count: int) -> str:
    """Why a step of so many samples cannot be taken; empty where it can."""
    _freed(trainer)
    why = ""
    try:
        trainer.on(of_count(trainer.batch, count))
        if trainer.world.device.type == "cuda":
            torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        why = "memory"
    except RuntimeError as error:  # kernels that know no tensors of more than 2^31 values
        why = sentence(error)
    return why


def _downwards(world: World, name: str, form: str, known: int) -> tuple[int, Trainer]:
    """Raises:
    RuntimeError: not even a quarter of the known batch fits.
    """
    for count in (known, known // 2, known // 4):
        gc.collect()
        if world.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            trainer = Trainer.opened(world, name, FORMS[form], count)
            trainer.step()
            return count, trainer
        except torch.OutOfMemoryError:
            pass
    raise RuntimeError(f"memory must hold a step of {known // 4}, but does not")


def _freed(trainer: Trainer) -> None:
    trainer.engine.step_module.zero_grad(set_to_none=True)
    gc.collect()
    if trainer.world.device.type == "cuda":
        torch.cuda.empty_cache()
