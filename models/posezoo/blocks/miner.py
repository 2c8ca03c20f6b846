"""Feature mining: keypoints look at each other, then at a picture around themselves and around their neighbours.

From Chen et al. 2025 (FMMP); deformable attention is Zhu et al.'s (arXiv 2010.04159).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.deformable import compass
from posezoo.blocks.linear import Linear
from posezoo.blocks.refinement import FeedForward
from posezoo.blocks.sampling import read, sides

MANY = 2
"""Samples per row of cells from which on it is quicker to project the cells first."""

# N samples, K keypoints, C channels, M references of a keypoint, T cells of all maps with their borders


class SeparateLinear(nn.Module):
    """As many linear layers as there are groups, each for its own."""

    def __init__(self, groups: int, width: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, outputs, width))
        self.bias = nn.Parameter(torch.zeros(groups, outputs))

    def forward(self, x: Tensor, within: Tensor | float = 1.0) -> Tensor:
        """(groups, n, width) to (groups, n, outputs); ``within`` multiplies the bias."""
        return x @ self.weight.transpose(1, 2) + within * self.bias[:, None]


class StructureAttention(nn.Module):
    """One whole deformable attention around each reference of a keypoint, the keypoint itself being the first.

    What the others see is joined and added. Places are read before they are projected, for they are far fewer than
    what projecting all cells would come to; but where several samples share cells, these are projected once for all.
    """

    def __init__(self, width: int, heads: int, sizes: Sequence[tuple[int, int]], points: int, references: int) -> None:
        """``sizes`` are height and width of the maps.

        Raises:
            ValueError: the width is no multiple of the heads.
        """
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, but is {width} with {heads} heads")
        self.sizes, self.shape = tuple(sizes), (references, heads, len(sizes), points)
        self.sampling_offsets = Linear(width, 2 * math.prod(self.shape))
        self.attention_weights = Linear(width, math.prod(self.shape))
        self.value_proj = SeparateLinear(references * heads, width, width // heads)
        self.output_proj = SeparateLinear(references, width, width)
        self.projector = Linear((references - 1) * width, width) if references > 1 else None
        self.reset()

    def reset(self) -> None:
        """Offsets start as steps in as many directions as there are heads, all of them seen equally."""
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.sampling_offsets.bias.view(*self.shape, 2).copy_(compass(*self.shape[1:]))
        bound = math.sqrt(3 / self.output_proj.weight.shape[2])  # Xavier's, of square matrices
        for layer in (self.value_proj, self.output_proj):
            nn.init.uniform_(layer.weight, -bound, bound)

    def forward(self, query: Tensor, references: Tensor, cells: Tensor, of: Tensor | None = None) -> Tensor:
        """
        Args:
            query: (N, K, C).
            references: (N, K, M, 2), x and y as shares of the picture.
            cells: (N, T, C), from ``sampling.bordered_rows``.
            of: (N,) int64, the row of ``cells`` that a sample looks at, where samples share them.

        Returns:
            (N, K, C).
        """
        count, heads, levels, points = self.shape
        offsets = self.sampling_offsets(query).unflatten(2, (*self.shape, 2)).permute(2, 3, 0, 1, 4, 5, 6)
        weights = self.attention_weights(query).unflatten(2, (count * heads, -1)).permute(2, 0, 1, 3).softmax(3)
        # In the precision of the references: half of it would not separate neighbouring pixels.
        size = sides(self.sizes, references)[:, None]
        places = (references.permute(2, 0, 1, 3)[:, None, :, :, None, None] + offsets / size).flatten(0, 1)
        weights = weights.unflatten(3, (levels, points))
        if query.shape[0] < MANY * cells.shape[0]:
            seen, within = read(cells, self.sizes, places, weights, of)
            values = self.value_proj(seen.flatten(1, 2), within.flatten(1)[..., None])
        else:
            values = self._of_projected(cells, places, weights, of)
        joined = values.unflatten(0, (count, heads)).transpose(1, 2).flatten(2)
        outputs = self.output_proj(joined).unflatten(1, query.shape[:2])
        if self.projector is None:
            return outputs[0]
        return outputs[0] + self.projector(outputs[1:].permute(1, 2, 0, 3).flatten(2)).relu()

    def _of_projected(self, cells: Tensor, places: Tensor, weights: Tensor, of: Tensor | None) -> Tensor:
        """(M heads, N K, C / heads). One reference after the other, as all projections together would be large."""
        values: list[Tensor] = []
        heads = self.shape[1]
        each = (t.split(heads) for t in (self.value_proj.weight, self.value_proj.bias, places, weights))
        for weight, bias, around, shares in zip(*each, strict=True):
            projected = functional.linear(cells, weight.flatten(0, 1)).unflatten(2, (heads, -1))
            seen, within = read(projected, self.sizes, around, shares, of)
            values.append((seen + within[..., None] * bias[:, None, None]).flatten(1, 2))
        return torch.cat(values)


class Miner(nn.Module):
    """Self-attention over keypoints and structure-aware attention to a picture, each followed by a small network."""

    def __init__(
        self,
        width: int,
        heads: int,
        sizes: Sequence[tuple[int, int]],
        points: int,
        references: int,
        feed_forward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.deform_attn = StructureAttention(width, heads, sizes, points, references)
        self.self_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.self_network = FeedForward(width, feed_forward, dropout)
        self.network = FeedForward(width, feed_forward, dropout)
        self.self_norm1, self.self_norm2, self.norm1, self.norm2 = (nn.LayerNorm(width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        code: Tensor,
        references: Tensor,
        cells: Tensor,
        hidden: Tensor | None = None,
        of: Tensor | None = None,
    ) -> Tensor:
        """
        Args:
            x, code: (N, K, C), keypoints and where they are believed to be.
            references, cells, of: as in ``StructureAttention``.
            hidden: (N, K), true for keypoints that the others must not see.
        """
        placed = x + code
        seen, _ = self.self_attn(placed, placed, x, key_padding_mask=hidden, need_weights=False)
        x = self.self_norm1(x + self.dropout(seen))
        x = self.self_norm2(x + self.dropout(self.self_network(x, None)))
        x = self.norm1(x + self.dropout(self.deform_attn(x + code, references, cells, of)))
        return self.norm2(x + self.dropout(self.network(x, None)))
