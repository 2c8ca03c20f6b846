"""KITPose: keypoint features from a backbone, turned into heatmaps by a transformer whose tokens are whole keypoints.

Names as published: KITPose-E2C4 has 2 transformer ``layers`` and 4 body ``parts``; ``published`` gives the settings.

Paper and released code, where they differ or leave something open:

- The code's weighting of the heatmap loss is the error itself, not a learned weight per keypoint, and takes part in the
  gradient; the heatmap loss here is that (``adaptive_beta``).
- The GHRL knows no visibility and needs none: where a target is empty it asks for nothing.
- CutMix: the code tests keypoints against the box with rows and columns exchanged, and takes their positions from the
  peaks of maps that are partly mixed already. Here their true positions are tested; ``cutmix_axes: released`` does as
  the code does.
- k-medoids starts from the slice of largest norm. The code takes norms after dividing by them, so that rounding
  decides; here it is the norm itself, which is the same in exact arithmetic. The code stops a chunk of 8 pictures when
  their mean shift vanishes; here the batch stops when no medoid moves, which gives the same groups.
- A position is the sine of the keypoint's index, so that reordered keypoints are another model. Body parts have none.
- Declared but never used in the code, and left out here: learned part embeddings, a second linear layer for body parts,
  a second form of the head for narrow tokens, a loss that keeps body parts apart.
- The published W48 model at 384 x 384 has tokens of 2048, by its number of parameters; the released settings say 1024.
- The published GFLOPs come out to the last digit if 2^30 multiply-adds are one, and a linear layer costs its outputs
  times the number of tokens rather than of inputs: 9.51 for W32 at 256 x 256, where there are 10.8 billion.
- What E2 without C and with 3.1 M more parameters is (a row marked with a dagger) was not published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from posebed.config import Positive, Share
from posebed.contracts import Inner, ModelSpec, Paper, Setting, Task
from posebed.data.codecs import HeatmapCodec, Kind
from posebed.pose import Batch, Keypoints
from posebed.space import Choice, When
from posezoo.blocks.cutmix import CutMix
from posezoo.blocks.deconv import deconvolutions
from posezoo.blocks.features import BackboneConfig, Features, grid
from posezoo.blocks.heatmap import FlipMode, FlipTest, HeatmapConfig, decode
from posezoo.blocks.hrnet import HRNet
from posezoo.blocks.keypoint_groups import Clustering, KeypointGroups
from posezoo.blocks.kit import KIT, PATCHES, Tokens
from posezoo.blocks.kit_losses import adaptive_loss, ghrl
from posezoo.blocks.layout import channels_last
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.precision import at_least_single

# B batch, K keypoints, P body parts, C channels, h w cells of slices and heatmaps

Count = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]


class Config(BackboneConfig, HeatmapConfig):
    target: Kind = "aligned"
    """Codec between keypoints and heatmaps; ``aligned`` goes with packs of ``convention: aligned``."""
    flip_test: FlipMode = "plain"
    """Average with the heatmaps of the mirrored picture: off, plain, or moved by one cell to the right before
    (shifted)."""
    backbone: str = "hrnet"
    """``hrnet``, or a model of timm, whose map at ``stride`` is doubled ``deconvs`` times."""
    width: Positive = 32
    """HRNet's channels of the finest maps; the paper takes 32 and 48."""
    blocks: Positive = 4
    """HRNet's residual blocks per module and branch."""
    modules: tuple[Positive, Positive, Positive] = (1, 4, 3)
    """HRNet's modules of exchange in stages 2, 3 and 4."""
    stride: Positive = 32
    """Stride of the map of a timm backbone."""
    deconvs: Count = 3
    """Doublings of that map's resolution."""
    channels: Positive = 256
    """Channels of the layers that double the resolution."""
    kit: bool = True
    """Use the keypoint-interactive transformer; without it the feature slices are the heatmaps."""
    layers: Positive = 2
    """Layers of the transformer, E in KITPose-E2C4."""
    parts: Count = 4
    """Groups of keypoints that become body-part prompts, C in KITPose-E2C4; 0 does without prompts."""
    dim: Positive = 1024
    """Channels of a token; the function ``published`` gives those of the published models."""
    ratio: Positive = 3
    """Widening of the transformer's feed-forward layers, as a factor."""
    tokens: Tokens = "keypoint"
    """What a token is: the whole slice of one keypoint (keypoint), or one of 4 x 4 patches of all slices (spatial)."""
    clustering: Clustering = "k-medoids"
    """Source of the groups: a clustering of each picture's slices (k-medoids, k-means), or the links of the skeleton,
    alike for all pictures."""
    ghrl_weight: Weight = 1.0
    """Weight of the generalised heatmap regression loss of the slices; 0 switches it off."""
    ghrl_beta: Annotated[float, Field(ge=1)] = 2.0
    """Power of the error by which that loss weighs each cell."""
    ghrl_sigma: Annotated[float, Field(gt=0)] = 4.0
    """Standard deviation of the blur that makes its smooth target, in cells."""
    ghrl_kernel: Literal[3, 5, 7] = 3
    """Side of the Laplacian kernel that makes its sharp target."""
    adaptive_beta: Weight = 1.0
    """Power of the error by which the heatmap loss weighs each cell; 0 is the plain squared error."""
    cutmix: Share = 1.0
    """Share of the training batches in which pictures get a box of another picture."""
    cutmix_axes: Literal["consistent", "released"] = "consistent"
    """``released`` tests keypoints against the box with rows and columns exchanged, as the published code does."""

    @model_validator(mode="after")
    def _cells_hold_pixels(self) -> Config:
        if 2**self.deconvs > self.stride:
            raise ValueError(f"2^deconvs must be at most stride, but is {2**self.deconvs} of {self.stride}")
        return self


def published(width: int, size: tuple[int, int], parts: int) -> dict[str, Any]:
    """The config of a published KITPose-E2C``parts`` for crops of ``size`` (height and width)."""
    height, width_of_crop = size
    dim = height * width_of_crop // 64
    if size == (384, 384):
        dim = 1024 if width == 32 else 2048
    return {"width": width, "parts": parts, "dim": dim, "sigma": 3.0 if height == 384 else 2.0}


class Prediction(NamedTuple):
    slices: Tensor
    """(B, K, h, w), what the backbone alone makes of the keypoints."""
    heatmaps: Tensor
    """(B, K, h, w)"""
    mix: CutMix | None
    """What was done to the pictures in training."""


class KITPose(nn.Module):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.setting = config, setting
        grouped = config.kit and config.parts > 0
        self.groups = KeypointGroups(config.clustering, config.parts, setting) if grouped else None
        self.normalise, self.backbone, self.deconvs, channels, self.size = _backbone(config, setting)
        self.slices = nn.Conv2d(channels, setting.keypoints, 1)
        nn.init.normal_(self.slices.weight, std=0.001)
        nn.init.zeros_(self.slices.get_parameter("bias"))
        self.kit = _transformer(config, setting, channels, self.size) if config.kit else None
        self.codec = HeatmapCodec(setting.size, self.size, config.sigma, config.target)
        self.flip_test = FlipTest(config.flip_test, setting)
        channels_last(self)

    def forward(self, batch: Batch) -> Prediction:
        """In training of pictures that may be mixed; in evaluation with the means of the flip test."""
        if self.training:
            mix = self._drawn(batch)
            image = mix.mixed(batch.image, self._pixels) if mix else batch.image
            return Prediction(*self._maps(image, batch.category), mix)
        # Below one another both kinds of maps are turned over alike.
        both = self.flip_test(lambda image: torch.cat(self._maps(image, batch.category), 2), batch)
        slices, heatmaps = both.chunk(2, 2)
        return Prediction(slices, heatmaps, None)

    def _drawn(self, batch: Batch) -> CutMix | None:
        if not self.config.cutmix:
            return None
        return CutMix.draw(len(batch), self.size, self.config.cutmix, batch.image.device)

    @property
    def _pixels(self) -> int:
        """Along the side of a cell."""
        return self.setting.size[0] // self.size[0]

    def _maps(self, image: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        """Slices and heatmaps, (B, K, h, w) each."""
        features, slices = self._sliced(image)
        if not self.kit:
            return slices, slices
        return slices, at_least_single(self.kit(features, slices, self._group(slices, category)))

    def _sliced(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.deconvs(self.backbone(self.normalise(image))[0])
        return features, at_least_single(self.slices(features)).contiguous()

    def _group(self, slices: Tensor, category: Tensor) -> Tensor | None:
        return self.groups(slices, category) if self.groups else None

    def losses(self, prediction: Prediction, batch: Batch) -> Mapping[str, Tensor]:
        target, weight = self.codec.encode(batch.keypoints)
        if prediction.mix:
            cell = batch.keypoints.xy / self._pixels if self.config.cutmix_axes == "consistent" else None
            target, weight = prediction.mix.targets(target, weight, cell)
        return self.terms(prediction, target, weight)

    def terms(self, prediction: Prediction, target: Tensor, weight: Tensor) -> Mapping[str, Tensor]:
        """The losses against heatmaps (B, K, h, w) with weights (B, K)."""
        c = self.config
        terms = {"heatmap": adaptive_loss(prediction.heatmaps, target, weight, c.adaptive_beta)}
        if self.kit and c.ghrl_weight:
            terms["ghrl"] = c.ghrl_weight * ghrl(prediction.slices, target, c.ghrl_beta, c.ghrl_sigma, c.ghrl_kernel)
        return terms

    def decode(self, prediction: Prediction, batch: Batch) -> Keypoints:
        return decode(self.codec, prediction.heatmaps)

    @torch.no_grad()
    def inspect(self, batch: Batch) -> Mapping[str, Inner]:
        """Slices, body-part prompts, what the head makes of these, and each layer's attention (Figure 4 of the paper).

        Rows and columns of the attention start with the prompts, so that it has four quadrants.
        """
        names = self.setting.categories[int(batch.category[0])].keypoints
        names += tuple(f"padding {i}" for i in range(len(names), self.setting.keypoints))
        features, slices = self._sliced(batch.image)
        shown = {"slices": Inner(slices, names)}
        if self.kit is None:
            return shown
        encoded = self.kit.encode(features, slices, self._group(slices, batch.category))
        parts = tuple(f"part {i}" for i in range(self.kit.parts))
        if encoded.prompts is not None:
            shown["prompts"] = Inner(encoded.prompts, parts)
            if not self.kit.spatial:
                shown["part maps"] = Inner(self.kit.part_maps(encoded.tokens), parts)
        tokens = tuple(f"patch {i}" for i in range(PATCHES**2)) if self.kit.spatial else names
        for i, matrix in enumerate(encoded.attention):
            shown[f"attention {i}"] = Inner(
                matrix[:, None], (*parts, *tokens), over_picture=False, header_size=len(parts)
            )
        return shown


def _backbone(config: Config, setting: Setting) -> tuple[Normalise, nn.Module, nn.Sequential, int, tuple[int, int]]:
    """Normalisation, backbone, doublings of its map, and the channels and size of what they give."""
    if config.backbone == "hrnet":
        height, width = grid(setting.size, 32)
        hrnet = HRNet(config.width, config.weights, blocks=config.blocks, modules=config.modules)
        return Normalise(), hrnet, nn.Sequential(), config.width, (8 * height, 8 * width)
    height, width = grid(setting.size, config.stride)
    trunk = Features(config.backbone, config.weights, (config.stride,))
    deconvs = deconvolutions(trunk.channels[0], config.channels, config.deconvs)
    channels = config.channels if config.deconvs else trunk.channels[0]
    size = (height << config.deconvs, width << config.deconvs)
    return Normalise(trunk.mean, trunk.std), trunk, deconvs, channels, size


def _transformer(config: Config, setting: Setting, channels: int, size: tuple[int, int]) -> KIT:
    if config.tokens == "spatial":
        grid(setting.size, PATCHES * setting.size[0] // size[0])
    return KIT(
        channels,
        setting.keypoints,
        size,
        dim=config.dim,
        layers=config.layers,
        ratio=config.ratio,
        parts=config.parts,
        tokens=config.tokens,
    )


_NAMES = {
    "module.": "",
    "pre_feature.final_layer.": "slices.",
    "pre_feature.": "backbone.",
    "channelformer.kpt_to_embedding.": "kit.embed.",
    "channelformer.transformer.layers.": "kit.layers.",
    ".attn.to_qkv.": ".attention.qkv.",
    ".attn.to_out.0.": ".attention.out.",
    ".ffn.net.0.": ".ffn.0.",
    ".ffn.net.3.": ".ffn.2.",
    "channelformer.prompt_learner.meta_net.": "kit.prompts.context.",
    "channelformer.prompt_learner.prompt_head.": "kit.prompts.project.",
    "channelformer.mlp_head.": "kit.head.",
}
"""Parts of released names to parts of ours."""
_WITHOUT_USE = (
    "channelformer.pos_embedding",
    "channelformer.bp_embeddings",
    "channelformer.bp_to_embeddings.",
)
"""A fixed table, and tensors that the released model never reads."""


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The authors' names, with or without the prefix of their training checkpoints."""
    known = {
        name: tensor for name, tensor in state.items() if not name.removeprefix("module.").startswith(_WITHOUT_USE)
    }
    return {_renamed(name): tensor for name, tensor in known.items()}


def _renamed(name: str) -> str:
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC,),
    config=Config,
    model=KITPose,
    space={
        "model.parts": Choice(0, 2, 3, 4, 5, 6, 7, 8),
        "model.layers": Choice(1, 2, 3, 4),
        "model.dim": Choice(512, 768, 1024, 2048),
        "model.ratio": Choice(2, 3, 4),
        "model.clustering": When("model.parts", (2, 3, 4, 5, 6, 7, 8), Choice("k-medoids", "k-means", "skeleton")),
        "model.ghrl_weight": Choice(0.0, 0.1, 0.5, 1.0, 2.0, 5.0),
        "model.ghrl_beta": When("model.ghrl_weight", (0.1, 0.5, 1.0, 2.0, 5.0), Choice(1.0, 2.0)),
        "model.ghrl_sigma": When("model.ghrl_weight", (0.1, 0.5, 1.0, 2.0, 5.0), Choice(3.0, 4.0, 6.0)),
        "model.adaptive_beta": Choice(0.0, 0.5, 1.0, 2.0),
        "model.cutmix": Choice(0.0, 0.5, 1.0),
        "train.lr": Choice(2e-4, 5e-4, 1e-3),
        "train.weight_decay": Choice(0.0, 1e-4),
    },
    paper=Paper(
        "Learning Structure-Supporting Dependencies via Keypoint Interactive Transformer for General Mammal Pose "
        "Estimation",
        2025,
        "arXiv:2502.18214",
        name="KITPose",
    ),
    answering=("target", "flip_test", "backbone", "weights", "width"),
    widths={"hrnet": "width"},
    train={
        "epochs": 250,
        "batch_size": 64,
        "optimizer": "adam",
        "lr": 5e-4,
        "warmup_steps": 0,
        "decay_at": (200 / 250, 230 / 250),
        "augment": {"scale": 0.5, "rotation": 40.0, "flip": 0.5, "half_body": 0.3},
    },
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    released=released,
    small={"weights": "none", "width": 8, "blocks": 1, "modules": (1, 1, 1), "parts": 2, "dim": 64, "cutmix": 0.0},
)
