"""PromptPose, published again as CLAMP: one query embedding per keypoint, from its name by a frozen language model.

A picture's cells and the keypoints' names are embedded into one space. Their cosine similarity is a score map per
keypoint, and the decoder sees the score maps beside the picture. The paper is PromptPose's; CLAMP's released code has
the same parts.

What the sources leave open, and how it is settled:

- The weights of the losses, the number and spread of the learnt vectors are the code's; the paper does not say.
- The contrast samples bilinearly at the true place, as in the paper; ``semantic_sampling: cell`` is the code's way.
  Keypoints outside the crop do not count. The paper knows no temperature; the code's learnt one is kept.
- Unlabelled keypoints take no part in the contrast; ``mask_unlabelled: false`` is the code's way.
- The code adds CLIP's class token to itself. Here it enters once, as CLIP was trained; ``released`` doubles it.
- Tables of positions are stretched to the crop once, when the model is built, and learn at that size.
- The score maps go to the decoder even where both of their losses are off. The paper's row without any part is
  ``simple_baseline`` with the same backbone.
- The prompt encoder sees no picture, and so it runs once per batch instead of once per picture.
- The start of the prompt encoder is PyTorch's, that of the context decoder N(0, 0.02) cut at 2.
- With a backbone of timm the joint space is the language model's, and the mean of the cells stands for the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, log2
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from posebed.config import Positive
from posebed.contracts import Inner, ModelSpec, Paper, Setting, Task
from posebed.data.codecs import HeatmapCodec
from posebed.pose import Batch, Keypoints
from posebed.space import Choice, Uniform
from posezoo.blocks.clip import CLIP_MODELS
from posezoo.blocks.context_decoder import ContextDecoder
from posezoo.blocks.contrast import at_cells, contrast, sampled
from posezoo.blocks.deconv import heatmap_head
from posezoo.blocks.heatmap import FlipTest, HeatmapConfig, decode, heatmap_loss
from posezoo.blocks.joint_space import ClipResNet, ClipTransformer, ImageTower, ProjectedFeatures
from posezoo.blocks.layout import channels_last
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.precision import at_least_single
from posezoo.blocks.prompts import PromptEncoder, Prompts, keypoint_names
from posezoo.blocks.recipes import ANIMALS
from posezoo.blocks.text import ClipText, MiniLM, TextEncoder

# B batch, K keypoints, h w the backbone's map, D the joint space of pictures and texts

NotNegative = Annotated[float, Field(ge=0)]

HEATMAP_STRIDE = 4
"""In pixels, which the decoder comes as near to as doublings do."""
CONTEXT_LENGTH = 77
"""Rows of CLIP's table of text positions."""


class Config(HeatmapConfig):
    backbone: str = "clip_resnet50"
    """``clip_resnet50``, ``clip_vit_b16``, ``clip_vit_l14``, or a model of timm, whose map is projected into the
    joint space of pictures and texts by a learnt layer."""
    weights: str = "openai"
    """Weights of the backbone. CLIP's towers: a tag of open_clip's, the path of a file, or ``none``. timm's models:
    ``timm``, another of timm's tags, ``builtin`` (for ``tf_efficientnet_lite0``), the path of a file, or ``none``."""
    stride: Literal[4, 8, 16, 32] = 32
    """Stride of the map of a timm backbone; CLIP's towers have one of their own."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Rate at which the last block of a CLIP transformer is skipped in training, rising from 0 at the first. By
    default 0.4 with these backbones."""
    backbone_rate: NotNegative = 1.0
    """Factor of the backbone's learning rate. By default 0.1 for CLIP's transformers."""
    channels: Positive = 256
    """Channels of the decoder."""
    text_encoder: Literal["clip", "minilm"] = "clip"
    """The frozen language model: CLIP's own, or all-MiniLM-L6-v2, which needs no hub."""
    text_weights: str = "published"
    """Weights of the language model: ``published`` for OpenAI's of CLIP, or those in the package of MiniLM; ``builtin``
    for the latter; a tag of open_clip's or the path of a file for CLIP; or ``none``."""
    template: Literal["learnt", "clip"] = "learnt"
    """Words before a keypoint's name: learned vectors, or CLIP's "a photo of a"."""
    template_length: Positive = 8
    """Number of learned vectors, k."""
    template_std: NotNegative = 1.0
    """Standard deviation with which learned vectors start. The released code takes 1, CoOp 0.02."""
    prompt_layers: Annotated[int, Field(ge=0)] = 1
    """Layers of the prompt encoder, in which keypoints attend to one another; 0 for none."""
    decoder_layers: Annotated[int, Field(ge=0)] = 3
    """Layers of the cross-attention from prompts to the picture; 0 for none."""
    gamma: NotNegative = 1e-3
    """Initial weight of the cross-attention's result in the prompts."""
    pixel_weight: NotNegative = 0.4
    """Weight of the loss on score maps, alpha 2; 0 switches it off. By default 2.0 with CLIP's transformers."""
    semantic_weight: NotNegative = 5e-4
    """Weight of the contrast between local features and prompts, alpha 1; 0 switches it off."""
    semantic_sampling: Literal["bilinear", "cell"] = "bilinear"
    """Place at which a keypoint's local feature is taken: its own, interpolated (bilinear), as in the paper, or its
    rounded cell, as in the released code."""
    mask_unlabelled: bool = True
    """Leave unlabelled keypoints out of the contrast; the released code keeps them, as features of 0."""
    temperature: Literal["learnt", "fixed"] = "learnt"
    """Temperature of the contrast: learnt from 0.07 on, or fixed there."""

    @model_validator(mode="before")
    @classmethod
    def _published(cls, given: Any) -> Any:
        """The published values of the backbone under what is given."""
        transformer = isinstance(given, Mapping) and _is_transformer(str(given.get("backbone")))
        return {**TRANSFORMERS, **given} if transformer else given


TRANSFORMERS = {"drop_path": 0.4, "backbone_rate": 0.1, "pixel_weight": 2.0}
"""Defaults that CLIP's transformers have instead."""


def _is_transformer(backbone: str) -> bool:
    return backbone.startswith("clip_vit")


class Sight(NamedTuple):
    """What a picture shows before it is decoded."""

    origin: Tensor
    """The backbone's map, (B, C, h, w)."""
    cells: Tensor
    """The same in the joint space, (B, h w, D)."""
    prompts: Tensor
    """(B, K, D)"""
    scores: Tensor
    """Cosines of cells and prompts, (B, K, h, w)."""


class Contrasted(NamedTuple):
    seen: Tensor
    """The picture in the joint space, (B, D, h, w)."""
    prompts: Tensor
    """(B, K, D)"""
    scale: Tensor
    """Of their cosines."""


class Prediction(NamedTuple):
    heatmaps: Tensor
    """(B, K, H, W)"""
    enlarged: Tensor | None = None
    """Score maps at the heatmaps' size, (B, K, H, W); in training where they have a loss."""
    contrasted: Contrasted | None = None
    """In training where the contrast is on."""


class PromptPose(nn.Module):
    def __init__(self, config: Config, setting: Setting, tower: ImageTower, text: TextEncoder) -> None:
        super().__init__()
        self.config, self.setting = config, setting
        keypoints, joint = setting.keypoints, tower.joint
        deconvs = round(log2(setting.size[0] / tower.grid[0] / HEATMAP_STRIDE))
        heatmap_size = (tower.grid[0] << deconvs, tower.grid[1] << deconvs)
        self.codec = HeatmapCodec(setting.size, heatmap_size, config.sigma, config.target)
        self.flip_test = FlipTest(config.flip_test, setting)
        self.normalise, self.backbone = Normalise(tower.mean, tower.std), tower
        self.text = Prompts(text, _learnt(config), config.template_std, joint)
        self.prompt_encoder = PromptEncoder(joint, config.prompt_layers) if config.prompt_layers else nn.Identity()
        self.context_decoder = (
            ContextDecoder(joint, config.decoder_layers, config.gamma) if config.decoder_layers else None
        )
        self.head = heatmap_head(tower.channels + keypoints, config.channels, deconvs, keypoints)
        # The released code narrows this one where the backbone is a transformer.
        channels = keypoints if _is_transformer(config.backbone) else config.channels
        self.upconv = heatmap_head(keypoints, channels, deconvs, keypoints) if config.pixel_weight else None
        # A scalar would be simpler, but engines that send parameters as bytes refuse those without an axis.
        scale = nn.Parameter(torch.tensor([log(1 / 0.07)]), requires_grad=config.temperature == "learnt")
        self.logit_scale = scale if config.semantic_weight else None
        channels_last(self)

    def sight(self, image: Tensor) -> Sight:
        """Of pictures (B, 3, H, W) in 0..255."""
        origin, tokens = self.backbone(self.normalise(image))
        prompts = self.prompt_encoder(self.text()).expand(image.shape[0], -1, -1)
        if self.context_decoder is not None:
            prompts = self.context_decoder(prompts, tokens)
        cells = tokens[:, 1:]
        scores = functional.normalize(cells, dim=2) @ functional.normalize(prompts, dim=2).mT
        return Sight(origin, cells, prompts, scores.mT.unflatten(2, self.backbone.grid))

    def fused(self, sight: Sight) -> Tensor:
        """Heatmaps from the picture beside its score maps."""
        return at_least_single(self.head(torch.cat([sight.origin, sight.scores], 1)))

    def heatmaps(self, image: Tensor) -> Tensor:
        return self.fused(self.sight(image))

    def forward(self, batch: Batch) -> Prediction:
        """In evaluation the heatmaps of the flip test alone."""
        if not self.training:
            return Prediction(self.flip_test(self.heatmaps, batch))
        sight = self.sight(batch.image)
        enlarged = None if self.upconv is None else at_least_single(self.upconv(sight.scores))
        contrasted = None
        if self.logit_scale is not None:
            seen = sight.cells.mT.unflatten(2, self.backbone.grid)
            contrasted = Contrasted(at_least_single(seen), at_least_single(sight.prompts), self.logit_scale.exp())
        return Prediction(self.fused(sight), enlarged, contrasted)

    def losses(self, prediction: Prediction, batch: Batch) -> Mapping[str, Tensor]:
        target, weight = self.codec.encode(batch.keypoints)
        losses = {"heatmap": heatmap_loss(prediction.heatmaps, target, weight)}
        if prediction.enlarged is not None:
            losses["pixel"] = self.config.pixel_weight * heatmap_loss(prediction.enlarged, target, weight)
        if prediction.contrasted is not None:
            losses["semantic"] = self.config.semantic_weight * self._contrast(prediction.contrasted, batch.keypoints)
        return losses

    def _contrast(self, given: Contrasted, keypoints: Keypoints) -> Tensor:
        sample = sampled if self.config.semantic_sampling == "bilinear" else at_cells
        features, counts = sample(given.seen, keypoints.xy, self.codec.size)
        weight = keypoints.weight * counts
        return contrast(features, given.prompts, weight, given.scale, self.config.mask_unlabelled)

    def decode(self, prediction: Prediction, batch: Batch) -> Keypoints:
        return decode(self.codec, prediction.heatmaps)

    @torch.no_grad()
    def inspect(self, batch: Batch) -> Mapping[str, Inner]:
        """Score maps as the backbone's map has them, and heatmaps, of the pictures as they are."""
        names = tuple(keypoint_names(self.setting))
        sight = self.sight(batch.image)
        return {"score maps": Inner(at_least_single(sight.scores), names), "heatmaps": Inner(self.fused(sight), names)}


def build(config: Config, setting: Setting) -> PromptPose:
    text = _text(config, keypoint_names(setting))
    return PromptPose(config, setting, _tower(config, setting, text.joint), text)


def _tower(config: Config, setting: Setting, joint: int) -> ImageTower:
    model = CLIP_MODELS.get(config.backbone)
    if model is None:
        return ProjectedFeatures(config.backbone, config.weights, setting.size, config.stride, joint)
    if _is_transformer(config.backbone):
        return ClipTransformer(model, config.weights, setting.size, config.drop_path)
    return ClipResNet(model, config.weights, setting.size)


def _text(config: Config, names: Sequence[str]) -> TextEncoder:
    learnt = _learnt(config)
    texts = names if learnt else [f"a photo of a {name}" for name in names]
    if config.text_encoder == "minilm":
        weights = "builtin" if config.text_weights == "published" else config.text_weights
        return MiniLM(weights, texts, learnt)
    weights = "openai" if config.text_weights == "published" else config.text_weights
    # A backbone of timm has no language model of its own.
    model = CLIP_MODELS.get(config.backbone, CLIP_MODELS["clip_vit_b16"])
    return ClipText(model, weights, texts, learnt)


def _learnt(config: Config) -> int:
    return config.template_length if config.template == "learnt" else 0


def learning_rates(config: Config) -> Mapping[str, float]:
    return {"backbone.trunk.": config.backbone_rate}


RELEASED = {
    "backbone.": "backbone.trunk.",
    "contexts": "text.contexts",
    "gamma": "context_decoder.gamma",
    "keypoint_head.": "head.",
    "text_encoder.": "text.encoder.",
    "upconv_head.": "upconv.",
}
"""Beginnings of names, CLAMP's and ours."""
UNUSED = ("text_projection", "prompt_encoder.positional_embedding", "prompt_encoder.text_projection")
"""Tensors that CLAMP holds and never reads, and that have no counterpart."""


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The names of CLAMP's fork of mmpose."""
    return {_renamed(name): _translated(name, tensor) for name, tensor in state.items() if name not in UNUSED}


def _renamed(name: str) -> str:
    for theirs, ours in RELEASED.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _translated(name: str, tensor: Tensor) -> Tensor:
    if name == "backbone.class_embedding":
        return 2 * tensor
    if name == "logit_scale":
        return tensor[None]
    if name == "text_encoder.positional_embedding":
        # The release keeps the first rows alone; its encoder refuses prompts that need others.
        missing = tensor.new_zeros(CONTEXT_LENGTH - len(tensor), tensor.shape[1])
        return torch.cat([tensor, missing])
    return tensor


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC,),
    config=Config,
    model=build,
    space={
        "model.semantic_weight": Choice(0.0, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2),
        "model.pixel_weight": Choice(0.0, 0.1, 0.4, 1.0, 2.0, 4.0),
        "model.template_length": Choice(4, 8, 16, 32),
        "model.template_std": Choice(0.02, 1.0),
        "model.prompt_layers": Choice(0, 1, 2),
        "model.decoder_layers": Choice(1, 3),
        "model.gamma": Choice(1e-4, 1e-3, 1e-2, 1.0),
        "model.temperature": Choice("learnt", "fixed"),
        "model.backbone_rate": Choice(0.05, 0.1, 0.3, 1.0),
        "model.drop_path": Uniform(0.1, 0.4),
        "train.lr": Choice(1e-4, 2.5e-4, 5e-4),
    },
    paper=Paper(
        "PromptPose: Language Prompt Helps Animal Pose Estimation",
        2022,
        "arXiv:2206.11752",
        name="PromptPose",
    ),
    answering=("target", "flip_test", "backbone", "weights", "text_encoder", "text_weights"),
    train={
        **ANIMALS,
        "batch_size": 128,
        "optimizer": "adamw",
        "weight_decay": 1e-4,
        "undecayed": ("norm", "bias"),
    },
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    learning_rates=learning_rates,
    released=released,
    small={
        "weights": "none",
        "backbone": "test_resnet",
        "stride": 16,
        "channels": 32,
        "text_encoder": "minilm",
        "text_weights": "none",
        "decoder_layers": 1,
    },
)
