"""How weights and tokens lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def channels_last(module: nn.Module) -> None:
    """Lay the weights of convolutions out like the images, which avoids a relayout in every convolution."""
    module.to(memory_format=torch.channels_last)


def tokens_outermost(x: Tensor) -> Tensor:
    """(B, N, C) as it is, laid out token by token, as torch's attention takes it: what lies otherwise it may multiply
    with a copy of the weights for each token."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)
