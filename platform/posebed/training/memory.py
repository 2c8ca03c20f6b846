"""A step that the device's memory does not hold: which batch fits."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import torch

from posebed.pose import Batch, taken
from posebed.training.process_group import ProcessGroup, device_name
from posebed.training.training_step import TrainingStep, gradients


def too_large(key: str, step: TrainingStep, batch: Batch, group: ProcessGroup) -> str:
    """The sentence on a step that ran out of memory, with the number of crops or episodes that fit.

    Several workers would wait for one another while one tries: there it advises fewer.
    """
    sentence = (
        f"the memory of {device_name(group.device)} must hold a training step of {key}, but does not hold one of "
        f"{len(batch)} samples at a time; "
    )
    fitting = largest_fitting(step, batch) if group.size == 1 else next(_smaller(len(batch)), 0)
    if not fitting:
        return sentence + "not one fits: choose smaller crops or another model"
    tried = "which fits" if group.size == 1 else "which may fit"
    return sentence + f"set train.micro_batch: {fitting}, {tried}, and changes neither the batch nor the learning rate"


def _smaller(count: int) -> Iterator[int]:
    """Its proper divisors, the largest first."""
    return (size for size in range(count // 2, 0, -1) if count % size == 0)


def largest_fitting(step: TrainingStep, batch: Batch) -> int:
    """The largest number of samples below the batch's that divides it and that forward and backward pass have memory
    for; 0 where not even one fits."""
    step.zero_grad(set_to_none=True)
    step.compile_training("eager")  # compiling each size would take minutes
    for size in _smaller(len(batch)):
        gc.collect()
        if batch.image.device.type == "cuda":
            torch.cuda.empty_cache()
        if _fits(step, taken(batch, torch.arange(size, device=batch.image.device))):
            return size
    return 0


def _fits(step: TrainingStep, batch: Batch) -> bool:
    try:
        gradients(step, batch)
    except torch.OutOfMemoryError:
        return False
    return True
