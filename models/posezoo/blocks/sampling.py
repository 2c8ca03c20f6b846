"""Few points read from many cells: weighted sums of features between the cells of maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

# N samples, T cells of all levels, C channels, L levels, P points


def read(
    cells: Tensor, sizes: Sequence[tuple[int, int]], places: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Bilinear values at places, 0 beyond the border, summed with weights over levels and points.

    Nothing is computed for cells that no place is near.

    Args:
        cells: (N, T, C), of one map after the other.
        sizes: height and width of each map.
        places: (N, ..., L, P, 2), x and y as shares of the maps.
        weights: (N, ..., L, P).

    Returns:
        (N, ..., C), and (N, ...), how much of the weights fell on cells.
    """
    index, share = _corners(sizes, places)
    share = share * weights[..., None]
    bags, within = share.flatten(-3), share.sum((-3, -2, -1))
    start = torch.arange(len(cells), device=cells.device).view(-1, *[1] * (index.dim() - 1)) * cells.shape[1]
    table = cells.flatten(0, 1).to(share.dtype)
    total = functional.embedding_bag(
        (index + start).view(-1, bags.shape[-1]), table, mode="sum", per_sample_weights=bags.flatten(0, -2)
    )
    return total.view(*within.shape, -1), within


def _corners(sizes: Sequence[tuple[int, int]], places: Tensor) -> tuple[Tensor, Tensor]:
    """(..., L, P, 4) both: the numbers of the cells around each place and their shares, 0 for those beyond."""
    size = places.new_tensor([(width, height) for height, width in sizes])[:, None]
    before = places * size - 0.5
    first = before.floor()
    rest = before - first
    ends = torch.stack([first, first + 1], -1)
    share = torch.stack([1 - rest, rest], -1) * ((ends >= 0) & (ends < size[..., None]))
    x, y = ends.clamp(min=0).minimum(size[..., None] - 1).long().unbind(-2)
    counts = [height * width for height, width in sizes]
    level = torch.tensor([(sum(counts[:n]), width) for n, (_, width) in enumerate(sizes)], device=places.device)
    start, width = level.view(-1, 1, 1, 2).unbind(-1)
    index = start[..., None] + y[..., :, None] * width[..., None] + x[..., None, :]
    share_x, share_y = share.unbind(-2)
    return index.flatten(-2), (share_y[..., :, None] * share_x[..., None, :]).flatten(-2)
