"""Deformable attention (Zhu et al. 2021, arXiv 2010.04159, section 4.1) over any number of maps, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.sampling import sides

# B batch, Q queries, M heads, L levels, P points, C channels


class DeformableAttention(nn.Module):
    """Each query looks at a few points around its reference, on every map. Parameters have their usual names."""

    def __init__(self, width: int = 256, heads: int = 8, levels: int = 1, points: int = 4) -> None:
        """Offsets start as ``points`` steps in ``heads`` directions, all of them seen equally.

        Raises:
            ValueError: the width is no multiple of the heads.
        """
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, but is {width} with {heads} heads")
        self.shape = (heads, levels, points)
        self.sampling_offsets = nn.Linear(width, heads * levels * points * 2)
        self.attention_weights = nn.Linear(width, heads * levels * points)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.attention_weights, self.value_proj, self.output_proj):
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(compass(*self.shape).flatten())

    def forward(
        self, query: Tensor, references: Tensor, maps: Sequence[Tensor], factor: Tensor | float = 1.0
    ) -> Tensor:
        """
        Args:
            query: (B, Q, C).
            references: (B, Q, 2), or (B, Q, M, 2) for one per head; x and y as shares of the maps.
            maps: one (B, C, h, w) per level.
            factor: of the offsets, broadcast to (B, Q, M, L, P, 2).

        Returns:
            (B, Q, C).
        """
        heads, levels, points = self.shape
        values = [_project(self.value_proj, level, heads) for level in maps]
        offsets = self.sampling_offsets(query).unflatten(2, (heads, levels, points, 2))
        weights = self.attention_weights(query).unflatten(2, (heads, levels * points)).softmax(3)
        places = locations(references, factor * offsets, maps)
        return self.output_proj(attend(values, places, weights.unflatten(3, (levels, points))))


def locations(references: Tensor, offsets: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Where to look, (B, Q, M, L, P, 2) as shares of the maps.

    Args:
        references: (B, Q, 2) or (B, Q, M, 2).
        offsets: (B, Q, M, L, P, 2), in cells of each map.
        maps: (..., h, w), one per level.
    """
    # In the precision of the references: half of it would not tell neighbouring pixels apart.
    cells = sides([(level.shape[-2], level.shape[-1]) for level in maps], references)
    if references.dim() == 3:
        references = references[:, :, None]
    return references[:, :, :, None, None] + offsets / cells[:, None]


def attend(values: Sequence[Tensor], places: Tensor, weights: Tensor) -> Tensor:
    """Values read at places between the cells, 0 beyond the border, and summed with weights.

    Args:
        values: one (B, M, c, h, w) per level.
        places: (B, Q, M, L, P, 2), shares of the maps.
        weights: (B, Q, M, L, P).

    Returns:
        (B, Q, M c).
    """
    batch, queries, heads = places.shape[:3]
    # Heads are folded into the batch: one reading of each map serves them all.
    grids = (2 * places - 1).transpose(1, 2).flatten(0, 1).unbind(2)
    shares = weights.transpose(1, 2).flatten(0, 1).unbind(2)
    total = torch.zeros((), device=places.device)
    for value, grid, share in zip(values, grids, shares, strict=True):
        read = functional.grid_sample(value.flatten(0, 1).to(grid.dtype), grid, align_corners=False)
        total = total + (read * share[:, None]).sum(3)
    return total.unflatten(0, (batch, heads)).permute(0, 3, 1, 2).reshape(batch, queries, -1)


def compass(heads: int, levels: int, points: int) -> Tensor:
    """(M, L, P, 2) in cells: each head looks in its own direction, each point one step further."""
    angle = torch.arange(heads) * (2 * math.pi / heads)
    direction = torch.stack([angle.cos(), angle.sin()], -1)
    direction = direction / direction.abs().amax(1, keepdim=True)
    step = torch.arange(1, points + 1)[:, None]
    return (direction[:, None, None] * step).expand(-1, levels, -1, -1)


def _project(layer: nn.Linear, level: Tensor, heads: int) -> Tensor:
    """(B, C, h, w) to (B, M, c, h, w)."""
    value = layer(level.flatten(2).transpose(1, 2)).transpose(1, 2)
    return value.unflatten(1, (heads, -1)).unflatten(3, level.shape[2:])
