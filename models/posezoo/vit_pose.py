"""ViTPose: a plain vision transformer whose patch tokens become heatmaps by a decoder of two layers or of none.

Paper and released code, where they differ or leave something open:

- The code has no class token but keeps its position embedding, which is added to that of every patch.
- Patches are cut from a picture padded by two pixels, so that they lie two pixels off the grid.
- The code excludes position embeddings from weight decay; here they decay, as ``undecayed`` covers normalisation and
  biases alone.
- Weights by masked autoencoding come from timm for widths 768 and 1024. ViTPose-S (width 384, 12 heads) started from
  weights that were not released in timm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from posebed.config import Positive, Share
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.data.codecs import Kind
from posebed.space import Choice, LogUniform, Uniform
from posezoo.blocks.deconv import enlarging_head, heatmap_head
from posezoo.blocks.features import Features, grid
from posezoo.blocks.heatmap import FlipMode, HeatmapConfig, HeatmapModel
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.recipes import ANIMALS

STRIDE = 16


class Config(HeatmapConfig):
    target: Kind = "udp"
    """Codec between keypoints and heatmaps."""
    flip_test: FlipMode = "plain"
    """Average with the heatmaps of the mirrored picture: off, plain, or moved by one cell to the right before
    (shifted)."""
    width: Positive = 768
    """Channels of tokens: 384, 768 and 1024 in ViTPose-S, B and L."""
    depth: Positive = 12
    """Transformer blocks: 12, 12 and 24 in ViTPose-S, B and L."""
    heads: Positive = 12
    """Attention heads: 12, 12 and 16 in ViTPose-S, B and L."""
    weights: str = "timm"
    """Weights by masked autoencoding on ImageNet: ``timm``; another tag of timm's for the same architecture; the path
    of a file; or ``none``."""
    head: Literal["classic", "simple"] = "classic"
    """Decoder: two transposed convolutions (classic), or bilinear enlargement alone (simple)."""
    channels: Positive = 256
    """Channels of the classic decoder."""
    drop_path: Share = 0.3
    """Rate at which the last block is skipped in training, rising from 0 at the first; 0.1, 0.3 and 0.5 in ViTPose-S, B
    and L."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Factor of the learning rate from each block to the one before; 0.8, 0.75 and 0.8 in ViTPose-S, B and L."""


class PatchTokens(Features):
    """The transformer's patches as a map of stride 16."""

    def __init__(self, config: Config, size: tuple[int, int]) -> None:
        architecture = "vit_large_patch16_224" if config.width == 1024 else "vit_base_patch16_224"
        super().__init__(
            architecture,
            f"{architecture}.mae" if config.weights == "timm" else config.weights,
            (STRIDE,),
            size,
            final_norm=True,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            drop_path_rate=config.drop_path,
        )
        self.grid = grid(size, STRIDE)
        self.trunk.patch_embed.proj.padding = (2, 2)
        self.trunk.cls_token = None

    def forward(self, image: Tensor) -> list[Tensor]:
        trunk = self.trunk
        tokens = trunk.patch_embed(image) + trunk.pos_embed[:, 1:] + trunk.pos_embed[:, :1]
        tokens = trunk.norm(trunk.blocks(tokens))
        return [tokens.mT.unflatten(2, self.grid)]


def build(config: Config, setting: Setting) -> HeatmapModel:
    height, width = grid(setting.size, STRIDE)
    if config.head == "classic":
        head = heatmap_head(config.width, config.channels, deconvs=2, keypoints=setting.keypoints)
    else:
        head = enlarging_head(config.width, setting.keypoints)
    backbone = PatchTokens(config, setting.size)
    return HeatmapModel(Normalise(), backbone, head, (4 * height, 4 * width), config, setting)


def learning_rates(config: Config) -> Mapping[str, float]:
    """The head and the last normalisation at the full rate, each block slower than the next, the patches slowest."""
    blocks = {f"backbone.trunk.blocks.{i}.": config.layer_decay ** (config.depth - i) for i in range(config.depth)}
    slowest = config.layer_decay ** (config.depth + 1)
    return {"backbone.trunk.patch_embed.": slowest, "backbone.trunk.pos_embed": slowest, **blocks}


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The names of the authors' code."""

    def ours(name: str) -> str:
        name = name.replace("keypoint_head.", "head.").replace("backbone.", "backbone.trunk.")
        return name.replace(".last_norm.", ".norm.")

    return {ours(name): tensor for name, tensor in state.items()}


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC,),
    config=Config,
    model=build,
    space={
        "model.head": Choice("classic", "simple"),
        "model.layer_decay": Uniform(0.65, 0.9),
        "model.drop_path": Uniform(0.1, 0.4),
        "model.target": Choice("msra", "udp", "dark"),
        "train.lr": LogUniform(1e-4, 1e-3),
    },
    paper=Paper(
        "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation",
        2022,
        "arXiv:2204.12484",
    ),
    answering=("target", "flip_test", "width", "weights"),
    widths={"vit_pose": "width"},
    train={
        **ANIMALS,
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "undecayed": ("norm", "bias"),
        "clip": 1.0,
    },
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    learning_rates=learning_rates,
    released=released,
    small={"weights": "none", "width": 64, "depth": 2, "heads": 2, "channels": 32, "drop_path": 0.0},
)
