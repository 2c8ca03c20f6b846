"""A depth-wise convolution with a kernel of each sample's own (Ren et al. 2024, SDPNet)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# B batch, C channels, S side of the kernel


class DynamicConvolution(nn.Module):
    """Batch norm and ReLU stand behind it. Kernels start as those that leave a map as it is."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.kernel = nn.Linear(width, width * side * side)
        self.norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.kernel.weight)
        nn.init.dirac_(self.kernel.bias.data.view(width, 1, side, side), width)

    def kernels(self, features: Tensor) -> Tensor:
        """(B, C) to (B, C, S, S)."""
        return self.kernel(features).unflatten(1, (-1, self.side, self.side))

    def forward(self, maps: Tensor, kernels: Tensor) -> Tensor:
        """(B, C, h, w), convolved in one call with every channel of every sample as a group."""
        if torch.compiler.is_exporting():
            return self.norm(_tap_by_tap(maps, kernels)).relu()
        together = functional.conv2d(
            maps.flatten(0, 1)[None],
            kernels.flatten(0, 1)[:, None],
            padding=self.side // 2,
            groups=kernels[..., 0, 0].numel(),
        )
        return self.norm(together.view(maps.shape)).relu()


def _tap_by_tap(maps: Tensor, kernels: Tensor) -> Tensor:
    """The same convolution in an exported program, where the number of groups must not depend on the batch."""
    side = kernels.shape[2]
    height, width = maps.shape[2:]
    padded = functional.pad(maps, (side // 2,) * 4)
    total = torch.zeros((), dtype=maps.dtype, device=maps.device)
    for y in range(side):
        for x in range(side):
            total = total + padded[:, :, y : y + height, x : x + width] * kernels[:, :, y, x, None, None]
    return total
