"""Where a pose that was shown would have its keypoints in another picture: a similarity transform, fitted robustly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# B batch, S shots, K keypoints

FEWEST = 4
"""Keypoints that a support must show to be fitted."""
SCALE = (0.5, 2.0)
"""How much smaller or larger than in the support the pose may be."""
ANGLE = math.radians(45)
"""How far it may be rotated either way."""
SPREAD = 0.15
"""Standard deviation, in sides of the crop, of the distances by which keypoints are weighted anew."""
ROUNDS = 3


def prior(layout: Tensor, shown: Tensor, found: Tensor, trust: Tensor, side: float) -> tuple[Tensor, Tensor]:
    """Where the layout of the support that fits best has each keypoint, (B, K, 2), and whether it tells, (B, K).

    Every support is fitted by itself, as poses differ: their mean would be a pose that none has.

    Args:
        layout: (B, S, K, 2), of the supports, in pixels.
        shown: (B, S, K), 1 where a support shows the keypoint, else 0.
        found: (B, K, 2), where the keypoints of the query seem to be.
        trust: (B, K), how much each of these counts, 0 or more.
        side: of the crop.
    """
    enough = (shown > 0) & (shown.sum(2, keepdim=True) >= FEWEST)
    target, first = found[:, None], trust[:, None] * enough
    first = first / first.amax(2, keepdim=True).clamp(min=1e-12)
    placed = fitted(layout, target, first)
    for _ in range(ROUNDS):
        away = (placed - target).square().sum(-1)
        placed = fitted(layout, target, first * torch.exp(-away / (2 * (SPREAD * side) ** 2)))
    away = (placed - target).square().sum(-1)
    agreement = (trust[:, None] * enough * torch.exp(-away / (2 * (SPREAD * side) ** 2))).sum(2)
    best = agreement.argmax(1)[:, None, None].expand(-1, 1, layout.shape[2])
    return placed.gather(1, best[..., None].expand(-1, -1, -1, 2))[:, 0], enough.gather(1, best)[:, 0]


def fitted(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Points (..., K, 2) under the similarity transform within ``SCALE`` and ``ANGLE`` that brings them nearest to
    their targets: least squares weighted by (..., K)."""
    share = (weight / weight.sum(-1, keepdim=True).clamp(min=1e-30))[..., None]
    middle = (share * target).sum(-2, keepdim=True)
    x, y = (source - (share * source).sum(-2, keepdim=True)).unbind(-1)
    to_x, to_y = (target - middle).unbind(-1)
    share = share[..., 0]
    spread = (share * (x**2 + y**2)).sum(-1).clamp(min=1e-30)
    along = (share * (x * to_x + y * to_y)).sum(-1) / spread
    across = (share * (x * to_y - y * to_x)).sum(-1) / spread
    # Seen as complex numbers, the error grows with the distance from (along, across): the nearest allowed is the best.
    angle = torch.atan2(across, along).clamp(-ANGLE, ANGLE)[..., None]
    cos, sin = torch.cos(angle), torch.sin(angle)
    scale = (along[..., None] * cos + across[..., None] * sin).clamp(*SCALE)
    return torch.stack([scale * (cos * x - sin * y), scale * (sin * x + cos * y)], -1) + middle
