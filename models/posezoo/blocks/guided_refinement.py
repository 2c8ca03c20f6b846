"""Keypoints that move stage by stage, guided by the graph and the supports' features.

From Ren et al. 2024 (SDPNet, equation 6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posezoo.blocks.coordinates import moved, offset_head
from posezoo.blocks.deformable import DeformableAttention
from posezoo.blocks.messages import Messages
from posezoo.blocks.precision import at_least_single
from posezoo.blocks.refinement import FeedForward, PositionHead

# B batch, K keypoints, C channels, T stages


@dataclass(frozen=True)
class Guide:
    """Inputs of the stages besides the query's tokens."""

    support: Tensor
    """(B, K, C), the supports' features of the keypoints."""
    graph: Tensor | None
    """(B, K, K), row i weighs the messages to keypoint i; None where stages have no messages."""
    maps: Tensor
    """(B, C, h, w), of the query."""
    hidden: Tensor
    """(B, K), True for keypoints that the others must not see."""


class OffsetCoefficient(nn.Module):
    """Factors between 0 and 2 from the support's token, or from its difference to the query's."""

    def __init__(self, width: int, difference: bool, heads: int = 1, points: int = 1) -> None:
        """One factor per keypoint, or one per offset where ``heads`` and ``points`` are those of the attention."""
        super().__init__()
        self.counts = (heads, 1, points, 1)
        self.query = nn.Linear(width, width) if difference else None
        self.support = nn.Linear(width, width, bias=False)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, heads * points))

    def forward(self, query: Tensor, support: Tensor) -> Tensor:
        """Tokens (B, K, C) to (B, K, heads, 1, points, 1)."""
        evidence = self.support(support)
        if self.query is not None:
            evidence = self.query(query) - evidence
        return 2 * at_least_single(self.layers(evidence)).sigmoid().unflatten(2, self.counts)


class Stage(nn.Module):
    """Messages along the graph, attention among the keypoints, and deformable attention to the map around them."""

    def __init__(
        self,
        width: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        points: int,
        messages: Messages | None,
        coefficient: OffsetCoefficient | None,
    ) -> None:
        """``points`` are those that each head of the deformable attention looks at."""
        super().__init__()
        self.messages, self.coefficient = messages, coefficient
        self.self_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.deformable = DeformableAttention(width, heads, 1, points)
        self.feed_forward = FeedForward(width, feed_forward, dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, points: Tensor, guide: Guide) -> Tensor:
        if self.messages is not None and guide.graph is not None:
            x = self.messages(x, guide.graph)
        placed = x + position
        seen, _ = self.self_attn(placed, placed, x, key_padding_mask=guide.hidden, need_weights=False)
        x = self.norm1(x + self.dropout(seen))
        factor = 1.0 if self.coefficient is None else self.coefficient(x, guide.support)
        x = self.norm2(x + self.dropout(self.deformable(x + position, points, [guide.maps], factor)))
        return self.norm3(x + self.dropout(self.feed_forward(x, None)))


class GuidedRefinement(nn.Module):
    """Each stage moves the points which the one before left; no gradient runs through those."""

    def __init__(self, width: int, stages: Iterable[Stage]) -> None:
        super().__init__()
        self.position = PositionHead(width)
        self.stages = nn.ModuleList(stages)
        self.offsets = nn.ModuleList(offset_head(width) for _ in self.stages)

    def forward(self, x: Tensor, start: Tensor, identifier: Tensor, guide: Guide) -> Tensor:
        """
        Args:
            x: (B, K, C), the query's tokens of the keypoints.
            start: (B, K, 2), shares of the crop.
            identifier: (K, C), distinguishes the keypoints.

        Returns:
            (T, B, K, 2), the points of each stage.
        """
        points, per_stage = start.detach(), []
        for stage, offset in zip(self.stages, self.offsets, strict=True):
            x = stage(x, self.position(points) + identifier, points, guide)
            per_stage.append(moved(points, offset(x)))
            points = per_stage[-1].detach()
        return torch.stack(per_stage)
