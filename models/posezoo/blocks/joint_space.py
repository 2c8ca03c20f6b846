"""Pictures as dense maps in the space that they share with texts: CLIP's image towers, or any backbone of timm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from posebed.on_device import may_follow_data
from posebed.training.state_dict import fill
from posezoo.blocks.clip import clip_settings, read_clip
from posezoo.blocks.features import Features, grid
from posezoo.blocks.normalise import IMAGENET_MEAN, IMAGENET_STD

# B batch, h w the map, C its channels, D the joint space

Size = tuple[int, int]


class ImageTower(nn.Module):
    """Gives the map that a decoder starts from, (B, C, h, w), and the same picture in the joint space,
    (B, 1 + h w, D): first the whole of it, then its cells row by row."""

    grid: Size
    """h and w."""
    channels: int
    """C"""
    joint: int
    """D"""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    """Of the pictures in 0..1. CLIP's towers get ImageNet's too, as in the code of CLAMP."""


class ClipResNet(ImageTower):
    """CLIP's ResNet. Its attention pool is applied to every cell instead of to the mean alone (Rao et al. 2022,
    arXiv 2112.01518)."""

    def __init__(self, model: str, weights: str, size: Size) -> None:
        """``model`` by open_clip's name, ``weights`` as in ``clip.read_clip``, ``size`` of the crop."""
        super().__init__()
        settings = clip_settings(model)
        vision = settings["vision_cfg"]
        width, pretrained = vision["width"], vision["image_size"]
        self.grid, self.channels, self.joint = grid(size, 32), 32 * width, settings["embed_dim"]
        self.trunk = ModifiedResNet(vision["layers"], self.joint, width * 32 // 64, pretrained, width)
        _fill(self.trunk, model, weights)
        pool = self.trunk.attnpool
        pool.positional_embedding = _resized(pool.positional_embedding, self.grid)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        trunk = self.trunk
        fine = trunk.layer2(trunk.layer1(trunk.stem(image)))
        coarse = trunk.layer4(trunk.layer3(fine))
        return coarse, self._pooled(coarse.flatten(2).mT)

    def _pooled(self, cells: Tensor) -> Tensor:
        pool = self.trunk.attnpool
        tokens = torch.cat([cells.mean(1, keepdim=True), cells], 1) + pool.positional_embedding
        query, key, value = (
            layer(tokens).unflatten(2, (pool.num_heads, -1)).transpose(1, 2)
            for layer in (pool.q_proj, pool.k_proj, pool.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return pool.c_proj(mixed.transpose(1, 2).flatten(2))


class ClipTransformer(ImageTower):
    """CLIP's vision transformer. Patches leave before the last layer norm for the decoder, behind it and the
    projection for the joint space."""

    def __init__(self, model: str, weights: str, size: Size, drop_path: float) -> None:
        """``drop_path`` rises from 0 at the first block to its value at the last; the others as in ClipResNet."""
        super().__init__()
        settings = clip_settings(model)
        vision = settings["vision_cfg"]
        width, patch = vision["width"], vision["patch_size"]
        self.grid, self.channels, self.joint = grid(size, patch), width, settings["embed_dim"]
        self.trunk = VisionTransformer(
            vision["image_size"], patch, width, layers=0, heads=width // 64, mlp_ratio=4, output_dim=self.joint
        )
        rates = np.linspace(0, drop_path, vision["layers"])
        self.trunk.transformer.resblocks.extend(SkippingBlock(width, width // 64, float(rate)) for rate in rates)
        _fill(self.trunk, model, weights)
        self.trunk.positional_embedding = _resized(self.trunk.positional_embedding, self.grid)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        trunk = self.trunk
        patches = trunk.conv1(image).flatten(2).mT
        whole = trunk.class_embedding.expand(patches.shape[0], 1, -1)
        tokens = trunk.ln_pre(torch.cat([whole, patches], 1) + trunk.positional_embedding)
        tokens = trunk.transformer(tokens)
        return tokens[:, 1:].mT.unflatten(2, self.grid), trunk.ln_post(tokens) @ trunk.proj


class SkippingBlock(ResidualAttentionBlock):
    """CLIP's block with stochastic depth (Huang et al. 2016, arXiv 1603.09382): in training each of its two branches
    is left out of a random share of the pictures, and on a CPU not computed there."""

    def __init__(self, width: int, heads: int, rate: float) -> None:
        super().__init__(width, heads, act_layer=QuickGELU)
        self.rate = rate

    def forward(
        self, q_x: Tensor, k_x: Tensor | None = None, v_x: Tensor | None = None, attn_mask: Tensor | None = None
    ) -> Tensor:
        """(B, 1 + h w, C); self-attention alone, without a mask."""
        tokens = self._added(q_x, lambda x: self.attention(self.ln_1(x)))
        return self._added(tokens, lambda x: self.mlp(self.ln_2(x)))

    def _added(self, tokens: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        if not self.training or not self.rate:
            return tokens + branch(tokens)
        keeps, share = torch.rand(len(tokens), device=tokens.device) >= self.rate, 1 / (1 - self.rate)
        if not may_follow_data(tokens):
            return tokens + branch(tokens) * (share * keeps)[:, None, None].to(tokens.dtype)
        (kept,) = keeps.nonzero(as_tuple=True)
        if not len(kept):
            # So that each parameter has a gradient, as training on many workers expects.
            kept, share = kept.new_zeros(1), 0.0
        added = branch(tokens[kept])
        return tokens.index_add(0, kept, added.to(tokens.dtype), alpha=share)


class ProjectedFeatures(ImageTower):
    """A model of timm. A learnt layer takes its cells into the joint space; their mean stands for the whole."""

    def __init__(self, backbone: str, weights: str, size: Size, stride: int, joint: int) -> None:
        """``backbone`` and ``weights`` as in ``features.Features``."""
        super().__init__()
        self.trunk = Features(backbone, weights, (stride,))
        self.mean, self.std = self.trunk.mean, self.trunk.std
        self.grid, self.channels, self.joint = grid(size, stride), self.trunk.channels[0], joint
        self.projection = nn.Linear(self.channels, joint)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        (cells,) = self.trunk(image)
        tokens = self.projection(cells.flatten(2).mT)
        return cells, torch.cat([tokens.mean(1, keepdim=True), tokens], 1)


def _fill(trunk: nn.Module, model: str, weights: str) -> None:
    state = read_clip(model, weights)
    if state is not None:
        own = {n.removeprefix("visual."): t for n, t in state.items() if n.startswith("visual.")}
        fill(trunk, own, (), weights)


def _resized(table: Tensor, size: Size) -> nn.Parameter:
    """A table of positions, first that of the whole and then a square's (1 + n n, C), stretched bilinearly."""
    side = round((len(table) - 1) ** 0.5)
    cells = table[1:].T.unflatten(1, (side, side))[None]
    stretched = functional.interpolate(cells, size, mode="bilinear", align_corners=False)
    return nn.Parameter(torch.cat([table[:1], stretched[0].flatten(1).T]).detach().contiguous())
