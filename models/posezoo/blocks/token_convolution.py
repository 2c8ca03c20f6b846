"""A 3 x 3 convolution of a picture with one token behind each cell, for many tokens per picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class TokenConvolution(nn.Module):
    """The same numbers as convolving [picture, token at every cell], without bias, for each token by itself.

    A convolution is linear, so that its share of the picture is computed once for all tokens. A map that is the same
    everywhere gives, at each cell, the sum of those taps of the kernel that lie within the picture.
    """

    def __init__(self, picture_channels: int, token_channels: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, picture_channels + token_channels, 3, 3))
        nn.init.normal_(self.weight, std=0.001)
        self.picture_channels = picture_channels

    def forward(self, picture: Tensor, tokens: Tensor, of: Tensor) -> Tensor:
        """
        Args:
            picture: (B, picture channels, h, w).
            tokens: (N, token channels).
            of: (N,) int64, each token's picture.

        Returns:
            (N, channels, h, w)
        """
        picture_kernel, token_kernel = self.weight.tensor_split([self.picture_channels], 1)
        taps = torch.einsum("nc,ocyx->noyx", tokens, token_kernel).flatten(2)
        within = functional.unfold(picture.new_ones(1, 1, *picture.shape[2:]), 3, padding=1)[0]
        constant = (taps @ within.to(taps.dtype)).unflatten(2, picture.shape[2:])
        return constant + functional.conv2d(picture, picture_kernel, padding=1)[of]
