"""The learning rate over a run: a linear warm-up, then steps down."""

from __future__ import annotations

import torch

from posebed.config import TrainConfig


def rate_factor(step: int, steps: int, train: TrainConfig) -> float:
    """Share of the full learning rate in optimizer step ``step`` of ``steps``, counted from 0.

    The warm-up starts at a thousandth and takes a tenth of a short run at most, so that the same settings serve
    a laptop and a cluster.
    """
    warmup = min(train.warmup_steps, steps // 10)
    if step < warmup:
        return 0.001 + (1 - 0.001) * step / warmup
    return train.decay ** sum(step >= share * steps for share in train.decay_at)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Scale every group's full rate; returns the highest of them."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return max(group["lr"] for group in optimizer.param_groups)
