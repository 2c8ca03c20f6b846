"""The second stage of regression: keypoints look at the picture again from where they are believed to be, and move.

From Shi et al. 2023 (CapeFormer, section 3.4); parameters are named as in the released weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from posezoo.blocks.coordinates import moved, offset_head, sine_code
from posezoo.blocks.layout import tokens_outermost

# B batch, K keypoints, C channels, h w cells of the picture


class FeedForward(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, links: Tensor | None) -> Tensor:
        return self.linear2(self.dropout(self.linear1(x).relu()))


class RefinementLayer(nn.Module):
    """Keypoints see each other, then the picture; content and position go side by side into the second look."""

    def __init__(self, width: int, heads: int, feed_forward: nn.Module, dropout: float) -> None:
        super().__init__()
        self.self_attn: nn.Module = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(2 * width, heads, dropout, vdim=width, batch_first=True)
        self.choker = nn.Linear(2 * width, width)
        self.feed_forward = feed_forward
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, cells: Tensor, keys: Tensor, hidden: Tensor, links: Any) -> Tensor:
        x = self.norm1(x + self.dropout(self.among_keypoints(x, position, hidden, links)))
        placed = map(tokens_outermost, (torch.cat([x, position], 2), keys, cells))
        seen, _ = self.multihead_attn(*placed, need_weights=False)
        x = self.norm2(x + self.dropout(self.choker(seen)))
        return self.norm3(x + self.dropout(self.feed_forward(x, links)))

    def among_keypoints(self, x: Tensor, position: Tensor, hidden: Tensor, links: Any) -> Tensor:
        """What each keypoint sees of the others."""
        placed = x + position
        seen, _ = self.self_attn(placed, placed, x, key_padding_mask=hidden, need_weights=False)
        return seen


class PositionHead(nn.Module):
    """The sine code of a point, then two linear layers with GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))

    def forward(self, points: Tensor) -> Tensor:
        first, second = self.layers
        return second(nn.functional.gelu(first(sine_code(points, self.width // 2))))


class Refinement(nn.Module):
    """Layers that each move the points which the one before left.

    As in the released code a layer's points pass their gradient to the next one's, not further, and the proposals get
    theirs through the code of the first positions alone.
    """

    def __init__(self, layers: int, width: int, layer: Callable[[], RefinementLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer() for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.ref_point_head = PositionHead(width)
        self.offsets = nn.ModuleList(offset_head(width) for _ in range(layers))

    def forward(
        self,
        cells: Tensor,
        keypoints: Tensor,
        cell_code: Tensor,
        keypoint_code: Tensor,
        hidden: Tensor,
        start: Tensor,
        links: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """
        Args:
            cells, keypoints, cell_code, keypoint_code, hidden: as in ``matching.Fusion``.
            start: (B, K, 2), shares of the picture.
            links: whatever the layers need to know of them.

        Returns:
            (layers, B, K, 2): the points of each layer, from normalised tokens. The next layer starts where the
            tokens lead that are not normalised; (B, K, 2): where one behind the last would start.
        """
        keys = torch.cat([cells, cell_code.to(cells.dtype).expand_as(cells)], 2)
        points, placed, per_layer = start.detach(), start, []
        for layer, offset in zip(self.layers, self.offsets, strict=True):
            position = self.ref_point_head(placed) + keypoint_code
            keypoints = layer(keypoints, position, cells, keys, hidden, links)
            per_layer.append(moved(points, offset(self.norm(keypoints))))
            points = moved(points.detach(), offset(keypoints))
            placed = points.detach()
        return torch.stack(per_layer), points
