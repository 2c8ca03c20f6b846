"""1 x 1 convolutions on CPUs by the kernels that serve larger ones.

On a single thread torch takes small batches to a plain matrix product, which may need twice the time, unless the kernel
is dilated; and that means nothing to a kernel of one cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Pointwise(nn.Conv2d):
    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, 1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        plain = input.device.type != "cpu" or torch.compiler.is_exporting()  # programs may run elsewhere
        dilation = 1 if plain else 2
        return functional.conv2d(input, self.weight, self.bias, dilation=dilation)


def quicken_pointwise(trunk: nn.Module) -> None:
    """Take all plain 1 x 1 convolutions of a trunk to these kernels; names and numbers stay."""
    for module in trunk.modules():
        if type(module) is nn.Conv2d and _is_pointwise(module):
            module.__class__ = Pointwise


def _is_pointwise(conv: nn.Conv2d) -> bool:
    within = conv.padding in ((0, 0), "valid", "same") and conv.dilation == (1, 1)
    return conv.kernel_size == conv.stride == (1, 1) and within and conv.groups == 1
