"""The learning rate over a run: a linear warm-up, then steps down; and what a run is too short for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import nn

from posebed.config import TrainConfig
from posebed.training.batchnorm import BATCH_NORMS

STALE = 0.05
"""Share of their initial values that running statistics may keep without a word."""


class Rated(Protocol):
    """As much of an optimizer as the learning rate needs."""

    param_groups: list[dict[str, Any]]  # as torch types it


def rate_factor(step: int, steps: int, train: TrainConfig) -> float:
    """Share of the full learning rate in optimizer step ``step`` of ``steps``, counted from 0.

    The warm-up starts at a thousandth and takes a tenth of a short run at most, so that the same settings serve
    a laptop and a cluster.
    """
    warmup = _warmup(steps, train)
    if step < warmup:
        return 0.001 + (1 - 0.001) * step / warmup
    return train.decay ** _decays(step, steps, train)


def _warmup(steps: int, train: TrainConfig) -> int:
    return min(train.warmup_steps, steps // 10)


def shortfalls(model: nn.Module, steps: int, train: TrainConfig) -> Iterator[str]:
    """A sentence for everything in the settings that ``steps`` optimizer steps are too few for.

    Args:
        model: built as for training; its batch-norm momenta count.
    """
    warmup = _warmup(steps, train)
    if warmup < train.warmup_steps:
        yield f"warm-up takes {warmup} steps instead of {train.warmup_steps}, a tenth of the run's {steps}"
    wanted, decays = len({*train.decay_at}), len({_decays(step, steps, train) for step in range(steps)}) - 1
    if decays < wanted:
        yield f"the learning rate decays {decays} times instead of {wanted}, as the run has {steps} steps"
    kept = _kept_statistics(model, steps * train.accumulation())
    if kept > STALE:
        yield f"running statistics of batch norm keep {kept:.0%} of their initial values after {steps} steps"


def _decays(step: int, steps: int, train: TrainConfig) -> int:
    """How often the learning rate has been lowered before a step."""
    return sum(step >= share * steps for share in train.decay_at)


def _kept_statistics(model: nn.Module, updates: int) -> float:
    """The largest share of a running statistic that is still its initial value after so many batches."""
    model.train()
    norms = [m for m in model.modules() if isinstance(m, BATCH_NORMS) and m.training]
    momenta = [norm.momentum for norm in norms if norm.track_running_stats and norm.momentum is not None]
    return max(((1 - momentum) ** updates for momentum in momenta), default=0.0)


def set_rate(optimizer: Rated, factor: float) -> float:
    """Scale every group's full rate; returns the highest of them."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return max(group["lr"] for group in optimizer.param_groups)
