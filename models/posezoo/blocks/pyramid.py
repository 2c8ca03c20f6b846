"""Maps of several strides, brought to one width and told what the coarser ones see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Pyramid(nn.Module):
    """Each map is projected, then the coarser one, enlarged by repetition, is added; nothing is smoothed behind."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(number, width, 1) for number in channels)
        for layer in self.laterals:
            nn.init.xavier_uniform_(layer.get_parameter("weight"))
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(N, C, h, w) each, from coarse to fine, to as many of the common width."""
        found: list[Tensor] = []
        for lateral, finer in zip(self.laterals, maps, strict=True):
            projected = lateral(finer)
            above = functional.interpolate(found[-1], projected.shape[2:]) if found else torch.zeros_like(projected)
            found.append(projected + above)
        return found
