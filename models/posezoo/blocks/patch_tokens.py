"""Features of DINOv2 as its authors compute them, at any size of crops.

Its table of positions is kept as it was trained, and resized as in the official code, which timm does otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from posezoo.blocks.features import Features

PATCH = 14
"""Side of a patch in pixels, which is the map's stride."""
MARGIN = 0.1
"""Added to the number of rows and columns before it is divided by the table's, against losing one by rounding."""


def has_official_positions(backbone: str) -> bool:
    """Whether the backbone is one of DINOv2's without registers; with them, the official code resizes otherwise."""
    name = backbone.partition(".")[0]
    return name.endswith("_dinov2") and "_reg" not in name


class PatchTokens(Features):
    """The patch tokens behind the last normalisation, as a map."""

    def __init__(self, backbone: str, weights: str) -> None:
        """As in ``Features``."""
        super().__init__(backbone, weights, (PATCH,), final_norm=True, dynamic_img_size=True)

    def forward(self, image: Tensor) -> list[Tensor]:
        trunk = self.trunk
        patches = trunk.patch_embed(image)
        grid = (patches.shape[1], patches.shape[2])
        first = trunk.cls_token.expand(len(image), -1, -1)
        tokens = torch.cat([first, patches.flatten(1, 2)], 1) + resized(trunk.pos_embed, grid)
        tokens = trunk.norm(trunk.blocks(tokens))
        return [tokens[:, 1:].mT.unflatten(2, grid)]


def resized(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """A table of positions (1, 1 + n n, C), the class token's first, for a grid of rows and columns.

    Bicubic without smoothing, by the factor (rows + 0.1) / n.
    """
    side = round((table.shape[1] - 1) ** 0.5)
    square = table[:, 1:].mT.unflatten(2, (side, side))
    factors = [(cells + MARGIN) / side for cells in grid]
    cells = functional.interpolate(square, scale_factor=factors, mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], cells.flatten(2).mT], 1)
