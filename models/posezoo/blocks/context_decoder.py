"""Prompts that look at the picture: the context decoder of DenseCLIP (Rao et al. 2022, arXiv 2112.01518)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# B batch, K prompts, N cells of the picture, D the joint space, C the decoder's width


class ContextDecoder(nn.Module):
    """Prompts attend to themselves and to the picture, in a narrow space of their own, and take on a share of what
    comes of it."""

    def __init__(
        self, joint: int, layers: int, gamma: float, width: int = 256, heads: int = 4, dropout: float = 0.1
    ) -> None:
        """``gamma``: the share in each channel to start with."""
        super().__init__()
        self.memory_proj = nn.Sequential(nn.LayerNorm(joint), nn.Linear(joint, width), nn.LayerNorm(width))
        self.text_proj = nn.Sequential(nn.LayerNorm(joint), nn.Linear(joint, width))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, dropout) for _ in range(layers))
        self.out_proj = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, joint))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.gamma = nn.Parameter(torch.full((joint,), gamma))

    def forward(self, prompts: Tensor, picture: Tensor) -> Tensor:
        """(B, K, D) and (B, N, D) to (B, K, D)."""
        memory = self.memory_proj(picture)
        queries = self.text_proj(prompts)
        for layer in self.decoder:
            queries = layer(queries, memory)
        return prompts + self.gamma * self.out_proj(queries)


class DecoderLayer(nn.Module):
    """Layer norms stand before self-attention, cross-attention and perceptron; the memory has none."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn, self.cross_attn = (Attention(width, heads, dropout) for _ in range(2))
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """(B, K, C) and (B, N, C) to (B, K, C)."""
        own = self.norm1(queries)
        queries = queries + self.self_attn(own, own)
        queries = queries + self.cross_attn(self.norm2(queries), memory)
        return queries + self.dropout(self.mlp(self.norm3(queries)))


class Attention(nn.Module):
    """Many-headed attention with queries, keys and values without bias."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """(B, K, C) and (B, N, C) to (B, K, C)."""
        query, key, value = (
            tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for tokens in (self.q_proj(queries), self.k_proj(memory), self.v_proj(memory))
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.dropout(self.proj(mixed.transpose(1, 2).flatten(2)))
