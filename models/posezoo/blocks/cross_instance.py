"""Supports that see each other, and what they tell of each keypoint together.

From Ren et al. 2024 (SDPNet).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from posezoo.blocks.matching import unseen
from posezoo.blocks.precision import at_least_single
from posezoo.blocks.refinement import FeedForward

# B batch, S shots, K keypoints, C channels

How = Literal["average", "weighted", "cross_instance"]


class InteractionLayer(nn.Module):
    """Keypoints see those of their own support, then those of all supports."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.within = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.across = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.feed_forward = FeedForward(width, feed_forward, dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, code: Tensor, visible: Tensor) -> Tensor:
        """Tokens (B, S, K, C), of which those not ``visible`` (B, S, K) are seen by none; ``code`` is (S, K, C)."""
        each = x.flatten(0, 1)
        seen, _ = self.within(each, each, each, key_padding_mask=unseen(visible).flatten(0, 1), need_weights=False)
        together = self.norm1(each + self.dropout(seen)).view_as(x).flatten(1, 2)
        placed = together + code.flatten(0, 1)
        hidden = unseen(visible.flatten(1))
        seen, _ = self.across(placed, placed, together, key_padding_mask=hidden, need_weights=False)
        together = self.norm2(together + self.dropout(seen))
        return self.norm3(together + self.dropout(self.feed_forward(together, None))).view_as(x)


class CrossInstance(nn.Module):
    """Layers of interaction, in which codes tell which shot and which keypoint a token is of."""

    def __init__(
        self, layers: int, width: int, heads: int, feed_forward: int, dropout: float, order_codes: int
    ) -> None:
        """``order_codes`` is the number of shots with a code of their own; those beyond start over. Without any, the
        order of the shots means nothing."""
        super().__init__()
        self.layers = nn.ModuleList(InteractionLayer(width, heads, feed_forward, dropout) for _ in range(layers))
        self.order = nn.Embedding(order_codes, width) if order_codes else None

    def forward(self, x: Tensor, visible: Tensor, identifier: Tensor) -> Tensor:
        code = identifier.expand(x.shape[1:])
        if self.order is not None:
            code = code + self.order(torch.arange(code.shape[0], device=x.device) % self.order.num_embeddings)[:, None]
        for layer in self.layers:
            x = layer(x, code, visible)
        return x


class Aggregation(nn.Module):
    """One token per keypoint from those of all shots: their average, or weighted by a quality that each token is given,
    after interaction or without."""

    def __init__(
        self, how: How, layers: int, width: int, heads: int, feed_forward: int, dropout: float, order_codes: int
    ) -> None:
        super().__init__()
        self.interaction = None
        if how == "cross_instance":
            self.interaction = CrossInstance(layers, width, heads, feed_forward, dropout, order_codes)
        # A constant would change no share.
        self.quality = None if how == "average" else nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, visible: Tensor, identifier: Tensor) -> Tensor:
        """
        Args:
            x: (B, S, K, C).
            visible: (B, S, K), 1 or 0.
            identifier: (K, C), what tells keypoints apart.

        Returns:
            (B, K, C), 0 where no shot shows the keypoint.
        """
        if self.interaction is not None:
            x = self.interaction(x, visible, identifier)
        quality = torch.zeros_like(visible) if self.quality is None else at_least_single(self.quality(x)[..., 0])
        share = quality.masked_fill(visible == 0, torch.finfo(quality.dtype).min).softmax(1) * visible
        return (x * share[..., None]).sum(1)
