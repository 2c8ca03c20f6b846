"""POMNet: support keypoints and query attend to one another, then each keypoint is matched with the picture.

Only keypoints that every support shows are matched: all of a batch at once, against one map per picture; compiled or on
an accelerator the others are matched, too, and left out again, so that shapes are fixed. Evaluation gives the numbers
of the released code. In training, the code's batch norm sees one keypoint after the other, padded
ones too; here it sees all matched keypoints together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from posebed.config import Positive, Share
from posebed.contracts import Inner, ModelSpec, Paper, Setting, Task
from posebed.data.codecs import HeatmapCodec
from posebed.on_device import may_follow_data
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice
from posezoo.blocks.deconv import heatmap_head
from posezoo.blocks.features import BackboneConfig, Features, grid
from posezoo.blocks.heatmap import decode, heatmap_loss
from posezoo.blocks.keypoint_interaction import Interaction
from posezoo.blocks.layout import channels_last
from posezoo.blocks.matching import unseen
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.pooling import mean_over_shots
from posezoo.blocks.precision import at_least_single
from posezoo.blocks.slots import must_suffice
from posezoo.blocks.some_of_batch import through
from posezoo.blocks.token_convolution import TokenConvolution
from posezoo.blocks.two_stage import SMALL, Support

AT_ONCE = 256
"""Keypoints that are matched together in evaluation, where memory is bounded by it and nothing else changes."""

# B batch, K keypoints, N of them that exist, C channels, h w cells of the backbone's map


class Config(BackboneConfig):
    shared_backbone: bool = False
    """Use one backbone for supports and query, instead of one for each."""
    stride: Positive = 32
    """Stride of the backbone's map."""
    width: Annotated[int, Field(gt=0, multiple_of=4)] = 256
    """Channels of a token, and of the decoder."""
    transformer: bool = True
    """Let keypoints and query attend to one another. Without it, support features are matched as they are: the released
    code's matching baseline, which however trains on one keypoint of an episode, drawn at random."""
    heads: Positive = 8
    """Attention heads."""
    encoder_layers: Positive = 3
    """Layers in which cells of the query attend to one another."""
    decoder_layers: Positive = 3
    """Layers in which keypoints attend to one another and to the query."""
    feed_forward: Positive = 2048
    """Channels within a layer."""
    dropout: Share = 0.1
    """Dropout within the layers."""
    deconvs: Annotated[int, Field(ge=0)] = 3
    """Doublings of the resolution; the heatmaps have stride ``stride`` / 2^``deconvs``."""
    slots: Positive = 100
    """Number of keypoints that the loss is averaged over, where missing ones count as 0; no category may have more."""


@dataclass(frozen=True)
class Matched:
    heatmaps: Tensor
    """(B, K, h, w), 0 for keypoints that do not exist."""
    mask: Tensor
    """(B, K), 1 where every support shows it."""


class Matching(nn.Module):
    """One heatmap for a keypoint and a picture."""

    def __init__(self, channels: int, width: int, deconvs: int) -> None:
        super().__init__()
        self.relation = TokenConvolution(channels, channels, width)
        self.norm = nn.BatchNorm2d(width)
        self.head = heatmap_head(width, channels=width, deconvs=deconvs, keypoints=1)

    def forward(self, cells: Tensor, tokens: Tensor, exists: Tensor) -> Tensor:
        """Cells (B, C, h, w) and tokens (B, K, C) to heatmaps (B, K, H, W), 0 where none ``exists`` (B, K)."""
        if not may_follow_data(exists):
            return self._of_all(cells, tokens, exists) * exists[..., None, None]
        of, keypoint = exists.nonzero(as_tuple=True)
        relation = self.norm(self.relation(cells, tokens[of, keypoint], of)).relu()
        relation = relation.contiguous(memory_format=torch.channels_last)
        heatmaps = self._decoded([relation] if self.training else relation.split(AT_ONCE))
        return heatmaps.new_zeros(*exists.shape, *heatmaps.shape[1:]).index_put((of, keypoint), heatmaps)

    def _of_all(self, cells: Tensor, tokens: Tensor, exists: Tensor) -> Tensor:
        """Of keypoints that do not exist, too, which have no influence on the others."""
        batch, keypoints = tokens.shape[:2]
        of = torch.arange(batch, device=cells.device)[:, None].expand(-1, keypoints).flatten()
        maps = self.relation(cells, tokens.flatten(0, 1), of)
        if self.training:
            for layer in (self.norm, nn.ReLU(), *self.head[0].children(), self.head[1]):
                maps = through(layer, maps, exists.flatten())
            heatmaps = at_least_single(maps[:, 0])
        else:
            maps = self.norm(maps).relu()
            heatmaps = self._decoded([maps] if torch.compiler.is_exporting() else maps.split(AT_ONCE))
        return heatmaps.unflatten(0, (batch, keypoints))

    def _decoded(self, relations: Sequence[Tensor]) -> Tensor:
        return torch.cat([at_least_single(self.head(part)[:, 0]) for part in relations])


class POMNet(nn.Module):
    def __init__(self, config: Config, setting: Setting) -> None:
        """
        Raises:
            ValueError: a category has more keypoints than slots, or the crop is no multiple of the stride.
        """
        super().__init__()
        must_suffice(config.slots, setting)
        self.slots, self.names = config.slots, tuple(category.keypoints for category in setting.categories)
        cells = grid(setting.size, config.stride)
        self.codec = HeatmapCodec(setting.size, (cells[0] << config.deconvs, cells[1] << config.deconvs), sigma=2.0)
        backbone = partial(Features, config.backbone, config.weights, (config.stride,), setting.size)
        self.backbone = backbone()
        self.support_backbone = None if config.shared_backbone else backbone()
        self.normalise = Normalise(self.backbone.mean, self.backbone.std)
        channels = self.backbone.channels[0]
        self.interaction = None
        if config.transformer:
            self.interaction = Interaction(
                channels,
                cells,
                width=config.width,
                heads=config.heads,
                cell_layers=config.encoder_layers,
                keypoint_layers=config.decoder_layers,
                feed_forward=config.feed_forward,
                dropout=config.dropout,
            )
        self.matching = Matching(config.width if self.interaction else channels, config.width, config.deconvs)
        channels_last(self)

    def forward(self, batch: EpisodeBatch) -> Matched:
        return self.locate(batch, self.encode_support(batch))

    def encode_support(self, batch: EpisodeBatch) -> Support:
        (maps,) = (self.support_backbone or self.backbone)(self.normalise(batch.support_image.flatten(0, 1)))
        heatmaps, weight = self.codec.encode(batch.support)
        return Support(*mean_over_shots(maps, heatmaps, weight))

    def locate(self, batch: EpisodeBatch, support: Support) -> Matched:
        """The query's side, from its picture."""
        (cells,) = self.backbone(self.normalise(batch.image))
        keypoints, hidden = support.tokens, unseen(support.mask)
        if self.interaction:
            cells, keypoints = self.interaction(cells, keypoints, hidden)
        return Matched(self.matching(cells, keypoints, ~hidden), support.mask)

    def losses(self, prediction: Matched, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        target, weight = self.codec.encode(batch.keypoints)
        padding = self.slots / weight.shape[1]
        return {"heatmap": heatmap_loss(prediction.heatmaps, target, weight * prediction.mask) / padding}

    def decode(self, prediction: Matched, batch: EpisodeBatch) -> Keypoints:
        """The heatmaps' peaks; the confidence is 0 where a support does not show the keypoint."""
        points = decode(self.codec, prediction.heatmaps)
        return Keypoints(points.xy, points.weight * prediction.mask)

    def inspect(self, batch: EpisodeBatch) -> Mapping[str, Inner]:
        """The heatmaps of the first query's category."""
        names = self.names[int(batch.category[0])]
        return {"heatmaps": Inner(self(batch).heatmaps[:, : len(names)], names)}


_RELEASED = (
    (r"^encoder_query\.", "backbone.trunk."),
    (r"^encoder_sample\.", "support_backbone.trunk."),
    (r"^keypoint_head\.(input_proj|query_proj)", r"interaction.\1"),
    (r"^keypoint_head\.relation_model\.conv\.conv\.", "matching.relation."),
    (r"^keypoint_head\.relation_model\.conv\.bn\.", "matching.norm."),
    (r"^keypoint_head\.(deconv_layers|final_layer)\.", r"matching.head.\1."),
    (r"^keypoint_head\.transformer\.decoder\.post_norm\.", "interaction.norm."),
    (r"^keypoint_head\.transformer\.encoder\.layers\.", "interaction.cells."),
    (r"^keypoint_head\.transformer\.decoder\.layers\.", "interaction.keypoints."),
    (r"\.attentions\.0\.attn\.", ".own.attention."),
    (r"\.attentions\.1\.attn\.", ".picture.attention."),
    (r"\.ffns\.0\.layers\.0\.0\.", ".feed_forward.linear1."),
    (r"\.ffns\.0\.layers\.1\.", ".feed_forward.linear2."),
    (r"\.norms\.0\.", ".own.norm."),
    (r"^(interaction\.cells\.\d+)\.norms\.1\.", r"\1.feed_forward.norm."),
    (r"\.norms\.1\.", ".picture.norm."),
    (r"\.norms\.2\.", ".feed_forward.norm."),
)
"""Patterns of official names and what stands for them, one after the other."""


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The official names."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for pattern, ours in _RELEASED:
            name = re.sub(pattern, ours, name)
        renamed[name] = tensor
    return renamed


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=POMNet,
    space={
        "model.shared_backbone": Choice(False, True),
        "model.encoder_layers": Choice(1, 3, 6),
        "model.decoder_layers": Choice(1, 3, 6),
        "train.lr": Choice(5e-5, 1e-4, 5e-4),
    },
    paper=Paper(
        "Pose for Everything: Towards Category-Agnostic Pose Estimation",
        2022,
        "arXiv:2207.10387",
    ),
    answering=("backbone", "weights", "width"),
    train={
        "epochs": 210,
        "batch_size": 256,
        "optimizer": "adam",
        "lr": 5e-4,
        "warmup_steps": 500,
        "decay_at": (170 / 210, 200 / 210),
        "augment": {"scale": 0.15, "rotation": 15.0},
    },
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    released=released,
    small={**SMALL, "decoder_layers": 1, "deconvs": 1},
)
