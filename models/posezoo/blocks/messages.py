"""Messages along the links of a graph, and a pose completed by them.

From Ren et al. 2024 (SDPNet, equation 7).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from posezoo.blocks.precision import at_least_single

# B batch, S shots, K keypoints, C channels


class SelfModulation(nn.Module):
    """Factors in 0..1 that each keypoint's token chooses itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).sigmoid()


class FixedModulation(nn.Module):
    """Factors that are learned for each index of a keypoint, at first all 1."""

    def __init__(self, width: int, slots: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(slots, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.factors[: x.shape[1]]


class Messages(nn.Module):
    """Layers of graph convolution within one shortcut, normalised behind it."""

    def __init__(self, layers: int, width: int, modulation: nn.Module | None = None) -> None:
        """``modulation`` makes, from the tokens, factors of each keypoint's messages, the same in all layers."""
        super().__init__()
        self.modulation = modulation
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        """Tokens (..., K, C), and a graph (..., K, K) whose row i weighs the messages to keypoint i."""
        factors = 1.0 if self.modulation is None else self.modulation(x)
        message = x
        for layer in self.layers:
            message = (graph @ (factors * layer(message))).relu()
        return self.norm(x + message)


class PoseCompletion(nn.Module):
    """Coordinates of all keypoints from those of some, by messages along a graph."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.known, self.coordinates = nn.Linear(2, width), nn.Linear(width, 2)
        self.unknown = nn.Parameter(torch.zeros(width))
        self.messages = Messages(layers, width)

    def forward(self, points: Tensor, known: Tensor, graph: Tensor) -> Tensor:
        """
        Args:
            points: (B, S, K, 2), shares of the crop.
            known: (B, S, K), True where the point may be looked at.
            graph: (B, K, K).

        Returns:
            (B, S, K, 2), single precision.
        """
        tokens = torch.where(known[..., None], self.known(points), self.unknown)
        return at_least_single(self.coordinates(self.messages(tokens, graph[:, None]))).sigmoid()
