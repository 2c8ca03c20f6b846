"""Few places read from many cells: weighted sums of what maps hold between their cells.

Nothing is computed for cells that no place is near, neither here nor by layers that stand behind instead of in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from posebed.on_device import numbers

# N samples, G groups of queries, K queries, L levels, P points, C channels, T cells of all levels with their borders

Sizes = Sequence[tuple[int, int]]
"""Height and width of each level."""


def sides(sizes: Sizes, like: Tensor) -> Tensor:
    """(L, 2), width and height of each level, of the type and on the device of ``like``."""
    return numbers([side for height, width in sizes for side in (width, height)], like).unflatten(0, (-1, 2))


def bordered_rows(levels: Sequence[Tensor]) -> Tensor:
    """Maps (N, C, h, w), each with a border of zeros around it, as rows (N, T, C)."""
    rows = [functional.pad(level.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).flatten(1, 2) for level in levels]
    return torch.cat(rows, 1)


def read(
    cells: Tensor, sizes: Sizes, places: Tensor, weights: Tensor, of: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Bilinear values at places, 0 beyond the border, summed with weights over levels and points.

    Args:
        cells: (N, T, C), from ``bordered_rows``; or (N, T, G, C), where each group has channels of its own.
        places: (G, N, K, L, P, 2), x and y as shares of the maps.
        weights: (G, N, K, L, P).
        of: (N,) int64, the row of ``cells`` that a sample reads, where samples share them.

    Returns:
        (G, N, K, C), and (G, N, K), how much of the weights fell on the maps.
    """
    size = sides(sizes, places)[:, None]
    cell = (places * size - 0.5).clamp(min=torch.full_like(size, -1), max=size)
    first = torch.minimum(cell.detach().floor(), size - 1)
    # On the border of zeros, which lies at -1 and at the size, nothing is left.
    within_x, within_y = (1 - (-cell).relu() - (cell - size + 1).relu()).unbind(-1)
    samples = torch.arange(cells.shape[0], device=cells.device) if of is None else of
    index = _rows(first.int(), sizes, samples, cells.shape[1])
    if cells.dim() == 4:
        groups = torch.arange(cells.shape[2], dtype=index.dtype, device=index.device)
        index = index * len(groups) + groups.view(-1, 1, 1, 1, 1, 1)
    table = cells.flatten(0, -2).to(places.dtype)
    total = _sums(table, index.flatten(0, 2).flatten(1), _corners(cell - first, weights).flatten(0, 2).flatten(1))
    return total.unflatten(0, places.shape[:3]), (within_x * within_y * weights).sum((-2, -1))


def mean_of_maps(cells: Tensor, sizes: Sizes, points: Tensor) -> Tensor:
    """(N, K, C), the mean over maps at points (N, K, 2)."""
    weights = points.new_full((1, *points.shape[:2], len(sizes), 1), 1 / len(sizes))
    return read(cells, sizes, points[None, :, :, None, None].expand(*weights.shape, 2), weights)[0][0]


def _rows(first: Tensor, sizes: Sizes, samples: Tensor, rows: int) -> Tensor:
    """The numbers of the four cells from ``first`` (G, N, K, L, P, 2) on, (G, N, K, L, P, 4). Sample n has its ``rows``
    from ``samples[n]`` times as many on."""
    line = numbers([width + 2 for _, width in sizes], first)[:, None]
    start = numbers([sum((height + 2) * (width + 2) for height, width in sizes[:n]) for n in range(len(sizes))], first)
    step = torch.arange(1, 3, dtype=first.dtype, device=first.device)
    around = start[:, None] + ((line * step)[..., None] + step).flatten(1)
    sample = rows * samples.to(first.dtype)
    x, y = first.unbind(-1)
    corner = x + y * line + sample[:, None, None, None]
    return corner[..., None] + around[:, None]


def _corners(rest: Tensor, weights: Tensor) -> Tensor:
    """Bilinear shares of the four cells times weights, (..., 4), where ``rest`` (..., 2) leads on from the first."""
    x, y = rest.unbind(-1)
    lower = weights * y
    upper = weights - lower
    upper_right, lower_right = upper * x, lower * x
    return torch.stack([upper - upper_right, upper_right, lower - lower_right, lower_right], -1)


def _sums(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Rows of a table (T, C) summed with weights: index and weights (n, m) give (n, C)."""
    if torch.compiler.is_exporting():
        return _sum_by_column(table, index, weights)
    total = functional.embedding_bag(index, table.detach(), mode="sum", per_sample_weights=weights)
    return _GradientOfRows.apply(total, table, index, weights)  # pyright: ignore[reportReturnType]


def _sum_by_column(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """The same in operations that other runtimes have; column after column, as (n, m, C) would be large."""
    total = torch.zeros((), dtype=table.dtype, device=table.device)
    for rows, share in zip(index.unbind(1), weights.unbind(1), strict=True):
        total = total + table.index_select(0, rows) * share[:, None]
    return total


class _GradientOfRows(Function):
    """Hands sums on, and in the backward pass gives the table its gradient, which on a CPU is several times slower
    where torch's ``embedding_bag`` does it."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(index, weights)
        ctx.rows = len(table)
        return total.view_as(total)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """What a row gave to sums is itself a sum with weights: of the gradients of those sums."""
        (gradient,), (index, weights) = gradients, ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return gradient, None, None, None
        row, order = index.flatten().sort()
        starts = torch.searchsorted(row, torch.arange(ctx.rows, dtype=row.dtype, device=row.device), out_int32=True)
        to_table = functional.embedding_bag(
            order.to(row.dtype) // index.shape[1],
            gradient.contiguous(),
            starts,
            mode="sum",
            per_sample_weights=weights.flatten().index_select(0, order),
        )
        return gradient, to_table, None, None
