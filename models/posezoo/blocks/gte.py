"""gte-base-en-v1.5 (Zhang et al. 2024, arXiv 2407.19669), a language model: BERT with rotary positions, gated layers.

Parameters are named as in the released weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# N texts, T tokens, C channels

VOCABULARY = 30528
"""Uncased BERT's, with room for six more."""
THETA, SCALING = 500_000, 2.0
"""Base of the rotary frequencies, and the factor by which the model was stretched to longer texts (NTK)."""


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj, self.o_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, angles: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.qkv_proj(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = rotated(query, angles), rotated(key, angles)
        seen = functional.scaled_dot_product_attention(query, key, value, mask[:, None, None])
        return self.o_proj(seen.transpose(1, 2).flatten(2))


class GatedNetwork(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.up_gate_proj, self.down_proj = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        up, gate = self.up_gate_proj(x).chunk(2, 2)
        return self.down_proj(functional.gelu(gate) * up)


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(width, heads), GatedNetwork(width, inner)
        self.attn_ln, self.mlp_ln = (nn.LayerNorm(width, eps=1e-12) for _ in range(2))

    def forward(self, x: Tensor, angles: Tensor, mask: Tensor) -> Tensor:
        x = self.attn_ln(x + self.attention(x, angles, mask))
        return self.mlp_ln(x + self.mlp(x))


class Gte(nn.Module):
    """Without dropout."""

    frequencies: Tensor

    def __init__(self, width: int = 768, heads: int = 12, layers: int = 12, inner: int = 3072) -> None:
        super().__init__()
        words = nn.Embedding(VOCABULARY, width)
        self.embeddings = nn.ModuleDict({"word_embeddings": words, "LayerNorm": nn.LayerNorm(width, eps=1e-12)})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(width, heads, inner) for _ in range(layers))})
        self.register_buffer("frequencies", rotary_frequencies(width // heads), persistent=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(N, T, C) from tokens (N, T) and where there are any (N, T)."""
        x = self.embeddings["LayerNorm"](self.embeddings["word_embeddings"](ids))
        angles = torch.arange(ids.shape[1], device=ids.device)[:, None] * self.frequencies
        for layer in self.encoder.get_submodule("layer").children():
            x = layer(x, angles, mask)
        return x


def rotary_frequencies(channels: int) -> Tensor:
    """(channels / 2,), radians per token."""
    exponents = torch.arange(0, channels, 2, dtype=torch.get_default_dtype()) / channels
    return (THETA * SCALING) ** -exponents / SCALING ** (2 / channels)


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Channels (..., T, 2 c), each turned with the one c behind it by the angles (T, c)."""
    one, other = x.chunk(2, -1)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine], -1)
