"""A linear layer for few rows and many weights, as transformers with few tokens have them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """``nn.Linear`` that a CPU trains through oneDNN, as it does convolutions.

    torch gives matrices of float32 to MKL, which takes twice as long on AMD's processors. Evaluation stays with it, as
    torch's counter of FLOPs does not know oneDNN's linear layer.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and _suits_onednn(input):
            return torch.ops.aten.mkldnn_linear(input.to_mkldnn(), self.weight, self.bias).to_dense()
        return super().forward(input)


def _suits_onednn(x: Tensor) -> bool:
    # A compiler chooses for itself.
    if torch.compiler.is_compiling():
        return False
    exact = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return exact and torch.backends.mkldnn.is_available()
