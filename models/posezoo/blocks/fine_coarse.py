"""Maps of two resolutions from one backbone, and supports read from the finer one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.pooling import support_pooling

# B batch, K keypoints, C channels


class FineCoarse(nn.Module):
    """The coarse map is one of the backbone's; the fine one the sum of several, all enlarged to the first."""

    def __init__(
        self, backbone: nn.Module, channels: Sequence[int], coarse: int, fine: Sequence[int], width: int
    ) -> None:
        """
        Args:
            backbone: from normalised pictures to a list of maps with so many ``channels``.
            coarse, fine: positions in that list; ``fine`` from fine to coarse, and empty for none.
        """
        super().__init__()
        self.backbone = backbone
        self.at = (coarse, tuple(fine))
        # Linear layers as 1 x 1 convolutions, which serve pooled features as well.
        self.coarse = nn.Linear(channels[coarse], width)
        self.fine = nn.ModuleList(nn.Linear(channels[index], width) for index in fine)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """The coarse and the fine map, (B, C, h, w) each."""
        maps = self.backbone(image)
        coarse, fine = self.at
        total = None
        for layer, index in zip(self.fine, fine, strict=True):
            level = _projected(layer, maps[index])
            total = level if total is None else total + functional.interpolate(level, total.shape[2:], mode="bilinear")
        return _projected(self.coarse, maps[coarse]), total

    def pooled(self, image: Tensor, heatmaps: Tensor) -> Tensor:
        """The fine map, or where there is none the coarse one, averaged under heatmaps (B, K, H, W), to (B, K, C).

        Maps are pooled before they are projected: the same numbers from fewer channels.
        """
        maps = self.backbone(image)
        coarse, fine = self.at
        layers = self.fine if fine else [self.coarse]
        levels = zip(layers, fine or (coarse,), strict=True)
        parts = [layer(support_pooling(maps[index], heatmaps)) for layer, index in levels]
        return reduce(torch.add, parts)


def _projected(layer: nn.Module, maps: Tensor) -> Tensor:
    return layer(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
