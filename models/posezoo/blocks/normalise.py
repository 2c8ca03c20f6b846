"""From pictures as batches hold them to what a backbone was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from posezoo.blocks.precision import at_least_single

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """RGB in 0..255 to zero mean and unit deviation per channel, in the precision of the model.

    Mean and deviation belong to the pretrained weights and are saved with those that they become.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        """``mean`` and ``std`` of pictures in 0..1."""
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W), uint8 or float, to the same shape in the dtype of the buffers.

        Channels lie innermost in memory, which convolutions keep and run faster on: on CPUs by more than half.
        """
        normalised = (at_least_single(image) - self.mean) / self.std
        return normalised.to(self.mean.dtype).contiguous(memory_format=torch.channels_last)
