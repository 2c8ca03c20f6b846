"""A 3 x 3 convolution of a picture with one token beside each cell, for many tokens per picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class TokenConvolution(nn.Module):
    """The same numbers as convolving [token at every cell, picture], without bias, for each token by itself.

    A convolution is linear, so that its share of the picture is computed once for all tokens. A map that is the same
    everywhere gives, at each cell, the sum of those taps of the kernel that lie within the picture.
    """

    def __init__(self, token_channels: int, picture_channels: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, token_channels + picture_channels, 3, 3))
        nn.init.normal_(self.weight, std=0.001)
        self.token_channels = token_channels

    def forward(self, tokens: Tensor, picture: Tensor, of: Tensor) -> Tensor:
        """
        Args:
            tokens: (N, token channels).
            picture: (B, picture channels, h, w).
            of: (N,) int64, each token's picture.

        Returns:
            (N, channels, h, w)
        """
        token_kernel, picture_kernel = self.weight.tensor_split([self.token_channels], 1)
        taps = torch.einsum("nc,ocyx->noyx", tokens, token_kernel).flatten(2)
        within = functional.unfold(picture.new_ones(1, 1, *picture.shape[2:]), 3, padding=1)[0]
        constant = (taps @ within.to(taps.dtype)).unflatten(2, picture.shape[2:])
        return constant + functional.conv2d(picture, picture_kernel, padding=1)[of]
