"""Maps of several strides, brought to one width, each with the coarser ones added."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.linear import Linear


class Pyramid(nn.Module):
    """Each map is projected, then the coarser one, enlarged by repetition, is added; nothing is smoothed behind."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(Linear(number, width) for number in channels)
        for layer in self.laterals:
            nn.init.xavier_uniform_(layer.get_parameter("weight"))
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(N, C, h, w) each, from coarse to fine, to as many of the common width, with channels innermost in memory."""
        merged: list[Tensor] = []
        for lateral, level in zip(self.laterals, maps, strict=True):
            projected = lateral(level.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            if merged:
                projected = projected + functional.interpolate(merged[-1], projected.shape[2:])
            merged.append(projected)
        return merged
