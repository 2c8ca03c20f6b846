"""The first stage of regression: query and keypoints see each other, then every keypoint is matched with the picture.

From Shi et al. 2023 (CapeFormer, sections 3.2 and 3.3); parameters are named as in the released weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.precision import at_least_single

# B batch, K keypoints, C channels, h w cells of the picture

NEIGHBOURHOOD = 3
"""Cells along each side of the square around the best one in which a proposal is refined."""


def unseen(mask: Tensor) -> Tensor:
    """From masks (..., K) of 1 and 0: True for keypoints to look away from. The first one of a sample without any
    stays, for attention must rest on something."""
    hidden = mask == 0
    first = torch.arange(mask.shape[-1], device=mask.device) == 0
    return hidden & ~(first & hidden.all(-1, keepdim=True))


class FusionLayer(nn.Module):
    """Self-attention and a feed-forward network, each with a shortcut and normalised behind it."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, code: Tensor, hidden: Tensor) -> Tensor:
        """The positional ``code`` enters the tokens themselves: it is in the values and in the shortcut as well."""
        x = x + code
        seen, _ = self.self_attn(x, x, x, key_padding_mask=hidden, need_weights=False)
        x = self.norm1(x + self.dropout(seen))
        return self.norm2(x + self.dropout(self.linear2(self.dropout(self.linear1(x).relu()))))


class Fusion(nn.Module):
    """Layers over the cells of the query and the keypoints of the supports together."""

    def __init__(self, layers: int, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FusionLayer(width, heads, feed_forward, dropout) for _ in range(layers))

    def forward(
        self, cells: Tensor, keypoints: Tensor, cell_code: Tensor, keypoint_code: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """
        Args:
            cells: (B, h w, C).
            keypoints: (B, K, C).
            cell_code: (h w, C).
            keypoint_code: (K, C).
            hidden: (B, K), True for keypoints that the others must not see.

        Returns:
            Cells and keypoints, both refined.
        """
        count = cells.shape[1]
        x, code = torch.cat([cells, keypoints], 1), torch.cat([cell_code, keypoint_code])
        hidden = functional.pad(hidden, (count, 0))
        for layer in self.layers:
            x = layer(x, code, hidden)
        return x[:, :count], x[:, count:]


class Proposals(nn.Module):
    """Similarities of keypoints and cells, under a weighting of the channels that each keypoint chooses itself."""

    def __init__(self, width: int, channels: int | None = None, weighting: int | None = None) -> None:
        """``channels`` that are compared, ``width`` unless given; ``weighting`` hidden ones, half of ``width``."""
        super().__init__()
        channels, weighting = channels or width, weighting or width // 2
        self.support_proj, self.query_proj = nn.Linear(width, channels), nn.Linear(width, channels)
        self.dynamic_proj = nn.Sequential(nn.Linear(channels, weighting), nn.ReLU(), nn.Linear(weighting, channels))

    def scale_start(self) -> None:
        """Divide similarities by the root of the channels, as attention does, in the initial weights alone."""
        with torch.no_grad():
            for layer in (self.support_proj, self.query_proj):
                layer.weight.mul_(layer.out_features**-0.25)

    def forward(self, cells: Tensor, keypoints: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, h w, C) and (B, K, C) to similarities (B, K, h, w) of any range."""
        support = self.support_proj(keypoints)
        weighted = support * (1 + self.dynamic_proj(support).tanh())
        return at_least_single(weighted @ self.query_proj(cells).transpose(1, 2)).unflatten(2, grid)


def expectation(similarity: Tensor) -> Tensor:
    """The mean of the cells' centres under the softmax of the similarities, (B, K, 2), shares of the picture."""
    return _mean_position(similarity.flatten(2).softmax(2).view_as(similarity))


def expectation_near_peak(similarity: Tensor) -> Tensor:
    """The same within the neighbourhood of the best cell."""
    height, width = similarity.shape[2:]
    best = similarity.flatten(2).argmax(2)[..., None]
    near_y, near_x = (
        (torch.arange(n, device=best.device) - place).abs() <= NEIGHBOURHOOD // 2
        for n, place in ((height, best // width), (width, best % width))
    )
    near = near_y[..., :, None] & near_x[..., None, :]
    return expectation(similarity.masked_fill(~near, -torch.inf))


def _mean_position(share: Tensor) -> Tensor:
    y, x = ((torch.arange(n, device=share.device) + 0.5) / n for n in share.shape[2:])
    return torch.stack([(share.sum(2) * x).sum(2), (share.sum(3) * y).sum(2)], 2)


def heatmap_error(similarity: Tensor, target: Tensor) -> Tensor:
    """Squared error of the similarities' sigmoid, mean over cells, (B, K).

    ``target`` (B, K, H, W) is resized bilinearly to the map and scaled to a largest value of 1.
    """
    resized = functional.interpolate(target, similarity.shape[2:], mode="bilinear", align_corners=False)
    resized = resized / (resized.amax((2, 3), keepdim=True) + 1e-10)
    return (similarity.sigmoid() - resized).square().mean((2, 3))
