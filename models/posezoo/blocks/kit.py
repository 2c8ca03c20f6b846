"""The keypoint-interactive transformer: keypoints, one token each, exchange what they know (arXiv 2502.18214).

Names of inner layers are ours; the model maps the released ones to them.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.linear import Linear

# B batch, K keypoints, P body parts, N keypoint or spatial tokens, L numbers that a token is made from, D its width
# h w cells

Tokens = Literal["keypoint", "spatial"]
PATCHES = 4
"""Along each axis that spatial tokens are cut from: 16 of them are as long as the slices of 16 keypoints."""


class Encoded(NamedTuple):
    tokens: Tensor
    """(B, P + N, D)"""
    prompts: Tensor | None
    """(B, P, h, w) body-part prompts before they become tokens."""
    attention: list[Tensor]
    """(B, P + N, P + N) per layer; rows look at columns."""


class KIT(nn.Module):
    """Feature slices, one per keypoint, to heatmaps."""

    position: Tensor

    def __init__(
        self,
        channels: int,
        keypoints: int,
        size: tuple[int, int],
        dim: int,
        layers: int,
        ratio: int,
        parts: int,
        tokens: Tokens,
    ) -> None:
        """``channels`` of the features that body-part prompts see; ``size`` of the slices."""
        super().__init__()
        spatial = tokens == "spatial"
        self.parts, self.size, self.spatial = parts, size, spatial
        cells = math.prod(size)
        count, length = (PATCHES**2, keypoints * cells // PATCHES**2) if spatial else (keypoints, cells)
        self.embed = Linear(length, dim)
        self.prompts = Prompts(channels, parts, cells, dim) if parts else None
        self.layers = nn.ModuleList(Layer(dim, ratio) for _ in range(layers))
        self.head = nn.Sequential(nn.LayerNorm(dim), Linear(dim, length))
        self.register_buffer("position", sine(count, dim), persistent=False)
        self.apply(_initialise)

    def forward(self, features: Tensor, slices: Tensor, group: Tensor | None) -> Tensor:
        """(B, C, h, w), (B, K, h, w) and the body part of every keypoint (B, K) to heatmaps (B, K, h, w)."""
        tokens = self.encode(features, slices, group).tokens[:, self.parts :]
        return self._whole(self.head(tokens))

    def encode(self, features: Tensor, slices: Tensor, group: Tensor | None) -> Encoded:
        tokens, prompts, attention = self.embed(self._cut(slices)), None, []
        if self.prompts is not None and group is not None:
            prompts = self.prompts(features, slices, group)
            tokens = torch.cat([self.prompts.project(prompts.flatten(2)), tokens], 1)
        position = functional.pad(self.position, (0, 0, self.parts, 0))
        for layer in self.layers:
            tokens, matrix = layer(tokens + position)
            attention.append(matrix)
        return Encoded(tokens, prompts, attention)

    def part_maps(self, tokens: Tensor) -> Tensor:
        """(B, P, h, w) what the head makes of the body parts, which no loss asks for; of keypoint tokens alone."""
        return self.head(tokens[:, : self.parts]).unflatten(2, self.size)

    def _cut(self, slices: Tensor) -> Tensor:
        """(B, K, h, w) to (B, N, L)."""
        if not self.spatial:
            return slices.flatten(2)
        height, width = (side // PATCHES for side in self.size)
        patches = slices.unflatten(3, (PATCHES, width)).unflatten(2, (PATCHES, height))
        return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def _whole(self, tokens: Tensor) -> Tensor:
        """(B, N, L) to (B, K, h, w)."""
        if not self.spatial:
            return tokens.unflatten(2, self.size)
        height, width = (side // PATCHES for side in self.size)
        patches = tokens.unflatten(2, (-1, height, width)).unflatten(1, (PATCHES, PATCHES))
        return patches.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


class Layer(nn.Module):
    """Attention and a feed-forward network, each after a layer norm and beside a shortcut."""

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim)
        self.ffn = nn.Sequential(Linear(dim, ratio * dim), nn.GELU(), Linear(ratio * dim, dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) to the same, and the attention (B, T, T)."""
        seen, matrix = self.attention(self.norm1(x))
        x = x + seen
        return x + self.ffn(self.norm2(x)), matrix


class Attention(nn.Module):
    """One head over all channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv, self.out = Linear(dim, 3 * dim), Linear(dim, dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = self.qkv(x).chunk(3, 2)
        matrix = (query @ key.mT * x.shape[2] ** -0.5).softmax(2)
        return self.out(matrix @ value), matrix


class Prompts(nn.Module):
    """Body parts: the mean slice of each group of keypoints, and beside it what convolutions see in the features."""

    def __init__(self, channels: int, parts: int, cells: int, dim: int) -> None:
        super().__init__()
        self.parts = parts
        self.context = nn.Sequential(*_convolution(channels, parts), *_convolution(parts, parts))
        self.project = nn.Sequential(
            nn.LayerNorm(cells), Linear(cells, cells // 2), nn.LayerNorm(cells // 2), Linear(cells // 2, dim)
        )

    def forward(self, features: Tensor, slices: Tensor, group: Tensor) -> Tensor:
        """(B, P, h, w); ``group`` (B, K) counts from 0."""
        members = functional.one_hot(group, self.parts).to(slices.dtype)
        share = members / members.sum(1, keepdim=True).clamp(min=1)
        return torch.einsum("bkp,bkhw->bphw", share, slices) + self.context(features)


def _convolution(channels_in: int, channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def sine(count: int, dim: int) -> Tensor:
    """(count, dim) sines and cosines by turns of 2 pi j / count, j from 1, at falling frequencies."""
    angle = 2 * math.pi * torch.arange(1, count + 1, dtype=torch.float64) / count
    frequency = 10000.0 ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    wave = angle[:, None] * frequency
    return torch.stack([wave.sin(), wave.cos()], 2).flatten(1)[:, :dim].to(torch.get_default_dtype())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
