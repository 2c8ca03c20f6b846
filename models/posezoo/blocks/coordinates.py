"""Coordinates as models regress them: shares of the crop from 0 to 1, their sine codes, and heads that move them.

The loss on them stands here as well, because its unit is theirs; what a keypoint is attended to by is left to others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from posebed.on_device import numbers
from posezoo.blocks.precision import at_least_single

FREQUENCIES = 128
"""Numbers per axis in a sine code."""
TEMPERATURE = 10000.0


def to_shares(xy: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop pixels (..., 2) to shares of the crop's width and height; ``size`` is height and width."""
    return xy / numbers(size[::-1], xy)


def to_pixels(shares: Tensor, size: tuple[int, int]) -> Tensor:
    """The way back from ``to_shares``, in single precision at least."""
    points = at_least_single(shares)
    return points * numbers(size[::-1], points)


def inverse_sigmoid(x: Tensor, margin: float = 1e-3) -> Tensor:
    """The number whose sigmoid is ``x``, finite everywhere: ``x`` and 1 - ``x`` count as ``margin`` at least."""
    x = x.clamp(0, 1)
    return (x.clamp(min=margin) / (1 - x).clamp(min=margin)).log()


def moved(points: Tensor, offset: Tensor) -> Tensor:
    """Shares moved by an offset that is added in front of the sigmoid."""
    return (inverse_sigmoid(points) + at_least_single(offset)).sigmoid()


def offset_head(width: int) -> nn.Sequential:
    """Three linear layers with GELU and a last one, which starts from 0, to two numbers."""
    hidden = [layer for _ in range(3) for layer in (nn.Linear(width, width), nn.GELU())]
    final = nn.Linear(width, 2)
    nn.init.zeros_(final.weight)
    nn.init.zeros_(final.bias)
    return nn.Sequential(*hidden, final)


def sine_code(points: Tensor, frequencies: int = FREQUENCIES) -> Tensor:
    """Shares (..., 2) to (..., 2 ``frequencies``): first of y, then of x, sine and cosine in turn."""
    exponent = torch.arange(frequencies // 2, device=points.device) * (2 / frequencies)
    angle = 2 * math.pi * at_least_single(points).flip(-1)[..., None] / TEMPERATURE**exponent
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-3)


def grid_code(height: int, width: int, frequencies: int = FREQUENCIES, device: torch.device | None = None) -> Tensor:
    """(height * width, 2 ``frequencies``), the sine codes of a grid's cells, counted from 1 as shares of the last.

    A grid of one row is a code of indices, by which keypoints are told apart.
    """
    y, x = (torch.arange(1, n + 1, device=device) / (n + 1e-6) for n in (height, width))
    return sine_code(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1), frequencies)


def distance(points: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The sum of both axes' absolute errors, mean over each sample's keypoints, then over the batch.

    A sample without keypoints counts as 0.

    Args:
        points: (..., B, K, 2), such as one set of points per layer.
        target: (B, K, 2).
        weight: (B, K).

    Returns:
        (...), such as one number per layer.
    """
    return over_keypoints((points - target).abs().sum(-1), weight)


def over_keypoints(error: Tensor, weight: Tensor) -> Tensor:
    """The mean of (..., B, K) over each sample's keypoints of some weight, then over the batch."""
    count = (weight > 0).sum(-1).clamp(min=1)
    return ((error * weight).sum(-1) / count).mean(-1)
