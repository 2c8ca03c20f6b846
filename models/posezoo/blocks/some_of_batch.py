"""Batch norm that sees some of a batch's maps, where shapes must not depend on which these are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from posezoo.blocks.precision import at_least_single

# N maps, C channels, h w cells


def through(layer: nn.Module, maps: Tensor, counts: Tensor) -> Tensor:
    """What a layer makes of maps (N, C, h, w), those of them that do not count (N,) without influence on the others.

    Batch norm in training is shown, in their place, maps with the mean and variance of those that count: whatever it
    does with its batch, over whatever workers, it finds these two.
    """
    batch_norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)
    return layer(_stood_in(maps, counts)) if batch_norm and layer.training else layer(maps)


def _stood_in(maps: Tensor, counts: Tensor) -> Tensor:
    cells, exact = maps.shape[2:].numel(), at_least_single(maps)
    share = counts.to(exact.dtype)[:, None, None, None] / (counts.sum().clamp(min=1) * cells)
    mean = (exact * share).sum((0, 2, 3), keepdim=True)
    variance = ((exact - mean).square() * share).sum((0, 2, 3), keepdim=True)
    # Over a map of any size its mean is 0 and its variance 1.
    ramp = torch.arange(cells, dtype=exact.dtype, device=maps.device) - (cells - 1) / 2
    ramp = (ramp / ramp.square().mean().sqrt().clamp(min=0.5)).view(maps.shape[2:])
    filling = mean + variance.clamp(min=1e-12).sqrt() * ramp
    return torch.where(counts[:, None, None, None], maps, filling.to(maps.dtype))
