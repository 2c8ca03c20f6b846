"""A plain vision transformer that carries prompts along: one token per keypoint, which reads the picture and is read by
nobody."""

from __future__ import annotations

from math import isqrt
from typing import Annotated, Any

import timm
import torch
from pydantic import Field
from timm.models import is_model_in_modules
from torch import Tensor, nn
from torch.nn import functional

from posebed.config import Positive, Share
from posebed.pose import Keypoints
from posebed.training.state_dict import State
from posezoo.blocks.features import BackboneConfig, Features, grid
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.precision import at_least_single
from posezoo.blocks.prompt_banks import features_at

STRIDE = 16
"""Pixels from patch to patch, whatever the backbone's own."""
TOKENS = ("cls_token", "reg_token", "register_tokens")
"""Tokens of a backbone that are left out."""

# B pictures, K keypoints, C channels, h w patches


class PromptedConfig(BackboneConfig):
    backbone: str = "vit_base_patch14_dinov2.lvd142m"
    """A plain vision transformer of timm. Its patches are resized to 16 x 16 pixels, and its positions to the crop; its
    class and register tokens are left out."""
    width: Positive = 768
    """Channels of tokens: those of ``backbone``."""
    depth: Positive = 12
    """Transformer blocks: those of ``backbone``."""
    heads: Positive = 12
    """Attention heads: those of ``backbone``."""
    patch_padding: Annotated[int, Field(ge=0, lt=STRIDE // 2)] = 2
    """Pixels around the crop from which patches are cut, too: with the released code's 2, patches lie two pixels off
    the grid; with 0 on it."""
    drop_path: Share = 0.3
    """Rate at which the last block is skipped in training and fine-tuning, rising from 0 at the first."""
    upsample: Positive = 4
    """Factor from the patches' map to the heatmaps."""


class PromptedViT(Features):
    def __init__(self, config: PromptedConfig, size: tuple[int, int]) -> None:
        """
        Raises:
            LookupError: no such backbone or weights, or a backbone of another kind.
        """
        if timm.is_model(config.backbone) and not is_model_in_modules(config.backbone, ["vision_transformer"]):
            raise LookupError(
                "backbone must be a plain vision transformer of timm with a table of positions, such as "
                f"vit_base_patch14_dinov2 or vit_small_patch16_224, but is {config.backbone!r}"
            )
        super().__init__(
            config.backbone,
            config.weights,
            (STRIDE,),
            size,
            final_norm=True,
            resized=resized_bilinearly,
            patch_size=STRIDE,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            drop_path_rate=config.drop_path,
            class_token=False,
            reg_tokens=0,
            global_pool="avg",
            fc_norm=False,
            dynamic_img_size=False,
        )
        self.grid = grid(size, STRIDE)
        self.trunk.patch_embed.proj.padding = (config.patch_padding, config.patch_padding)

    def forward(self, image: Tensor, prompts: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised (B, 3, H, W) and prompts (B, K, C) to the patches as a map (B, C, h, w) and the prompts (B, K, C),
        both behind the last normalisation."""
        trunk = self.trunk
        tokens = trunk.norm_pre(trunk.patch_embed(image) + trunk.pos_embed)
        patches = tokens.shape[1]
        if prompts is not None:
            tokens = torch.cat([tokens, prompts.to(tokens.dtype)], 1)
        is_patch = (torch.arange(tokens.shape[1], device=tokens.device) < patches)[None, None, None]
        for block in trunk.blocks:
            tokens = block(tokens, attn_mask=None if prompts is None else is_patch)
        tokens = trunk.norm(tokens)
        return tokens[:, :patches].mT.unflatten(2, self.grid), tokens[:, patches:]


class PromptedHeatmaps(nn.Module):
    """Pictures and prompts to heatmaps: behind the transformer there are ten numbers."""

    def __init__(self, config: PromptedConfig, size: tuple[int, int]) -> None:
        super().__init__()
        self.encoder, self.upsample = PromptedViT(config, size), config.upsample
        self.normalise = Normalise(self.encoder.mean, self.encoder.std)
        self.decoder = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) in 0..255 and (N, K, C) to heatmaps (N, K, h, w), and the patches' map (N, C, h, w)."""
        patches, tokens = self.encoder(self.normalise(image), prompts)
        # Products first: enlarging the patches' map gives the same, of hundreds of channels.
        scores = self.enlarged(torch.einsum("nkc, nchw -> nkhw", tokens, patches))
        deviation, mean = torch.std_mean(scores, (2, 3), keepdim=True, correction=0)
        scores = (scores - mean) / (deviation + 1e-8)
        return at_least_single(self.decoder(scores.flatten(0, 1)[:, None])).view_as(scores), patches.detach()

    def enlarged(self, maps: Tensor) -> Tensor:
        """In single precision."""
        return functional.interpolate(
            at_least_single(maps), scale_factor=self.upsample, mode="bilinear", align_corners=False
        )

    @torch.no_grad()
    def features_at(self, patches: Tensor, keypoints: Keypoints, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Features (N, K, C) of the enlarged maps, and which keypoints are seen (N, K); picture by picture, as enlarged
        maps are large."""
        of = [
            features_at(self.enlarged(patches[n : n + 1]), Keypoints(keypoints.xy[[n]], keypoints.weight[[n]]), size)
            for n in range(len(patches))
        ]
        features, seen = zip(*of, strict=True)
        return torch.cat(features), torch.cat(seen)


def resized_bilinearly(state: State, trunk: Any) -> State:
    """Weights of a transformer with other patches and positions, as the release takes DINOv2's: both are interpolated
    bilinearly, patches without rescaling; tokens are left out, with their positions."""
    state = {name: tensor for name, tensor in state.items() if name not in TOKENS}
    positions, patches = state.get("pos_embed"), state.get("patch_embed.proj.weight")
    if positions is not None:
        side = isqrt(positions.shape[1])
        table = positions[:, positions.shape[1] - side**2 :].mT.unflatten(2, (side, side))
        state["pos_embed"] = _interpolated(table, trunk.patch_embed.grid_size).flatten(2).mT
    if patches is not None:
        state["patch_embed.proj.weight"] = _interpolated(patches, (STRIDE, STRIDE))
    return state


def _interpolated(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
