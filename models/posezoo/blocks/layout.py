"""How weights lie in memory."""

from __future__ import annotations

import torch
from torch import nn


def channels_last(module: nn.Module) -> None:
    """Lay the weights of convolutions out like the images, which avoids a relayout in every convolution."""
    module.to(memory_format=torch.channels_last)
