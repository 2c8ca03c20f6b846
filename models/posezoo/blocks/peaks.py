"""Places on maps: the likeliest cell of each keypoint, the second likeliest, and the mean near one.

Cells are numbered row by row. Positions are (x, y) in cells, of which whole numbers are centres.
"""

from __future__ import annotations

import torch
from torch import Tensor

# B batch, K keypoints, h w cells


def peak_of(maps: Tensor) -> Tensor:
    """(B, K), the cell with the highest value of each map (B, K, h, w), the first where several are as high."""
    return maps.flatten(2).argmax(2)


def position_of(cell: Tensor, width: int) -> Tensor:
    """(B, K, 2), the centre of each cell of maps that are so wide."""
    return torch.stack([cell % width, cell // width], -1)


def value_at(maps: Tensor, cell: Tensor) -> Tensor:
    """(B, K), the value of each map at its cell."""
    return maps.flatten(2).gather(2, cell[..., None])[..., 0]


def mean_near(weight: Tensor, cell: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """The mean position by weights (B, K, h, w) near a cell of each map, (B, K, 2), and the sum of those weights."""
    height, width = weight.shape[-2:]
    near_x, near_y = _near(cell % width, width, reach), _near(cell // width, height, reach)
    near = weight * near_y[..., :, None] * near_x[..., None, :]
    x, y = torch.arange(width, device=cell.device), torch.arange(height, device=cell.device)
    total = near.sum((2, 3))
    return torch.stack([(near.sum(2) * x).sum(2), (near.sum(3) * y).sum(2)], -1) / total[..., None], total


def _near(peak: Tensor, cells: int, reach: int) -> Tensor:
    """Cells no further from the peak than ``reach`` and the nearer border, which alone would pull the mean inwards."""
    reached = torch.minimum(peak, cells - 1 - peak).clamp(max=reach)[..., None]
    return (torch.arange(cells, device=peak.device) - peak[..., None]).abs() <= reached


def second_peak(maps: Tensor, first: Tensor, radius: float) -> Tensor:
    """(B, K), the highest cell of each map (B, K, h, w) further from its first peak than so many cells."""
    height, width = maps.shape[-2:]
    at = position_of(first, width)
    x, y = torch.arange(width, device=maps.device), torch.arange(height, device=maps.device)
    away = (x - at[..., 0, None])[..., None, :] ** 2 + (y - at[..., 1, None])[..., :, None] ** 2
    return peak_of(maps.masked_fill(away <= radius**2, float("-inf")))


def told_apart(maps: Tensor, partner: Tensor, shown: Tensor) -> Tensor:
    """(B, K), the peak of each keypoint, of which mirror partners that share a peak take two, where both have a second.

    Partners share a peak where theirs lie closer than 0.05 of the map's longer side. A second peak lies beyond 0.1 of
    it and is at most 0.05 lower. Of the ways to let one or both take their second peak, that with the larger sum is
    taken.

    Args:
        maps: (B, K, h, w), similarities.
        partner: (B, K), the number of each keypoint's mirror partner, its own where it has none.
        shown: (B, K), whether a support shows the keypoint.
    """
    width, side = maps.shape[-1], max(maps.shape[-2:])
    first = peak_of(maps)
    second = second_peak(maps, first, 0.1 * side)
    high, low = value_at(maps, first), value_at(maps, second)
    itself = torch.arange(maps.shape[1], device=maps.device)
    able = (low >= high - 0.05) & shown & (partner != itself)
    one, two = position_of(first, width), position_of(second, width)
    sharing = able & able.gather(1, partner) & ~_apart(one, _of(one, partner), side)
    # Of the keypoint and its partner, who takes the second peak: the keypoint, the partner, or both.
    ways = [(low, high, two, one), (high, low, one, two), (low, low, two, two)]
    sums = [
        (own + other.gather(1, partner)).masked_fill(~_apart(here, _of(there, partner), side), float("-inf"))
        for own, other, here, there in ways
    ]
    # In an order that is the same for both, so that they agree where sums are equal.
    leads = itself < partner
    ordered = torch.stack([torch.where(leads, sums[0], sums[1]), torch.where(leads, sums[1], sums[0]), sums[2]], -1)
    best, way = ordered.max(-1)
    moves = (way == 2) | (way == torch.where(leads, 0, 1))
    return torch.where(sharing & best.isfinite() & moves, second, first)


def _of(position: Tensor, partner: Tensor) -> Tensor:
    """(B, K, 2), the position of each keypoint's partner."""
    return position.gather(1, partner[..., None].expand_as(position))


def _apart(one: Tensor, other: Tensor, side: int) -> Tensor:
    return (one - other).square().sum(-1) >= (0.05 * side) ** 2
