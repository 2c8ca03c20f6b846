"""EdgeCape: GraphCape on frozen features, whose links get weights predicted from the supports, and whose keypoints
attend to one another with a bias for their distance in that graph.

Left open by the sources and settled here: the scale of predicted edges starts from 0, as the paper is said to have it,
where the released configurations start it at random; the picture in the edge predictor does not see keypoints that no
support shows, so that padding changes nothing, where the released code lets it (``edge_slots``); and all parts may
train at once (``stage``), where the released code trains them in three stages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from posebed.config import Positive, Share
from posebed.contracts import Inner, ModelSpec, Paper, Setting, Task
from posebed.data.codecs import HeatmapCodec
from posebed.pose import EpisodeBatch
from posebed.space import Choice
from posezoo.blocks.coordinates import distance, to_shares
from posezoo.blocks.edges import (
    EdgeFeedForward,
    EdgePredictor,
    Edges,
    EdgeScale,
    StructuralAttention,
    StructuralLayer,
    walks,
)
from posezoo.blocks.features import Features, grid
from posezoo.blocks.graph import given_links, linked_pairs, pairs_of, with_loops
from posezoo.blocks.matching import expectation_near_peak, unseen
from posezoo.blocks.patch_tokens import PATCH, PatchTokens, has_official_positions
from posezoo.blocks.recipes import EPISODES
from posezoo.blocks.slots import must_suffice
from posezoo.blocks.two_stage import LEARNING_RATES, SMALL, Located, Matched, Support, TwoStage, TwoStageConfig

# B batch, S shots, K keypoints, C channels, h w cells of the map

Weight = Annotated[float, Field(ge=0)]
Stage = Literal["joint", "base", "skeleton", "bias"]


class Config(TwoStageConfig):
    backbone: str = "vit_small_patch14_dinov2.lvd142m"
    """A model of timm; the published one is DINOv2's ViT-S/14."""
    stride: Positive = 14
    """Stride of the backbone's map that is used."""
    map_stride: Positive | None = None
    """Stride of the map that keypoints are matched on, to which the backbone's is resized; the same unless given."""
    frozen_backbone: bool = True
    """Keep the backbone as it is, its running statistics too."""
    feed_forward: Positive = 384
    """Channels within a layer."""
    heatmap_weight: Weight = 0.0
    """Weight of the loss on similarity maps, which the released configurations do without; proposals and layers have
    weight 1."""
    heatmap_size: Positive = 64
    """Cells along each side of the heatmaps under which the supports' features are averaged."""
    sigma: Annotated[float, Field(gt=0)] = 1.0
    """Of those heatmaps' peaks, in cells."""
    stage: Stage = "joint"
    """What trains: everything that is not frozen, at once (joint), or in three runs, each of which starts from the one
    before: all but the edge predictor, on the given links (base); that too (skeleton); all but the edge predictor and
    the projections in front of it, with the structural bias (bias)."""
    predicted_edges: bool = True
    """Predict weights of links; otherwise they are the given ones, all alike."""
    edge_layers: Positive = 3
    """Layers of the edge predictor."""
    edge_feed_forward: Positive = 384
    """Channels within such a layer."""
    edge_scale_start: EdgeScale = "zero"
    """Scale of what is added to the given links, at first: 0; 0.1 (positive), with which all keypoints are joined and
    the predictor learns from the first step; or uniform within 1.73 of 0 (random), as in the released
    configurations."""
    edge_slots: Annotated[int, Field(ge=0)] = 0
    """With 0, the picture in the edge predictor does not see keypoints that no support shows. Otherwise, as in the
    released code with 100, it sees them and padding up to so many keypoints: weights depend a little on both."""
    structural_bias: bool = True
    """Bias attention between keypoints by their distance in the graph."""
    hops: Annotated[int, Field(ge=0)] = 4
    """Steps along links up to which that distance is known."""
    reconstruction_weight: Weight = 1.0
    """Weight of the loss on poses that are reconstructed along the edges from some of the keypoints."""
    mask_share: Share = 0.3
    """Share of the keypoints that such a pose lacks."""

    @property
    def trains_edges(self) -> bool:
        return self.predicted_edges and self.stage != "base"

    @property
    def uses_bias(self) -> bool:
        return self.structural_bias and self.stage in ("joint", "bias")

    @property
    def reconstructs(self) -> bool:
        return self.reconstruction_weight > 0 and self.stage != "base"


@dataclass(frozen=True)
class EdgeSupport(Support):
    edges: Tensor
    """(B, K, K), weights of links, not shared out yet."""


@dataclass(frozen=True)
class Reconstructed(Located):
    reconstructed: Tensor
    """(B, K, 2), from some of the keypoints."""


class EdgeCape(TwoStage):
    linked: Tensor

    def __init__(self, config: Config, setting: Setting) -> None:
        """
        Raises:
            ValueError: a category has more keypoints than ``edge_slots``, or the crop is no multiple of the stride.
        """
        if config.edge_slots:
            must_suffice(config.edge_slots, setting, "edge_slots")
        width = config.width
        feed_forward = partial(EdgeFeedForward, width, config.feed_forward, config.dropout)
        layer = partial(StructuralLayer, hops=config.hops if config.structural_bias else None)
        backbone = _backbone(config, setting)
        super().__init__(config, setting, backbone, config.map_stride or config.stride, feed_forward, layer)
        self.config = config
        self.codec = HeatmapCodec(setting.size, (config.heatmap_size, config.heatmap_size), config.sigma)
        self.edge_predictor = _edge_predictor(config, backbone.channels[0]) if config.predicted_edges else None
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.register_buffer("linked", linked_pairs(setting), persistent=False)
        for attention in self.attentions:
            attention.scale_start()
        self._freeze()

    @property
    def attentions(self) -> list[StructuralAttention]:
        """Between keypoints, one per layer of the refinement."""
        return [module for module in self.decoder.modules() if isinstance(module, StructuralAttention)]

    def _freeze(self) -> None:
        """Only what the stage trains gets gradients."""
        config, predictor = self.config, self.edge_predictor
        still: list[nn.Module | nn.Parameter | None] = []
        if config.frozen_backbone:
            still.append(self.backbone)
        if not config.trains_edges or config.stage == "bias":
            still.append(predictor)
        if config.stage == "bias":
            still += [self.input_proj, self.query_proj]
        if not config.uses_bias:
            still += [attention.structural for attention in self.attentions]
        if not config.reconstructs:
            still.append(self.mask_token)
        for part in still:
            if part is not None:
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> EdgeCape:
        super().train(mode)
        if self.config.frozen_backbone:
            self.backbone.eval()
        return self

    def skeleton_buffers(self, count: int, links: Tensor) -> Mapping[str, Tensor]:
        """As in ``LinkedSkeletons``."""
        return pairs_of(count, links)

    def forward(self, batch: EpisodeBatch) -> Located:
        support = self.encode_support(batch)
        matched = self.matched(batch, support)
        located = self.refined(matched, batch, support)
        if not self.training or not self.config.reconstructs:
            return located
        kept = kept_keypoints(support.mask, self.mask_draws(support.mask), self.config.mask_share)
        points = self.reconstruction(matched, support, kept)
        more = batch.keypoints.weight.shape[1] - points.shape[1]
        return Reconstructed(**vars(located), reconstructed=functional.pad(points, (0, 0, 0, more)))

    def encode_support(self, batch: EpisodeBatch) -> EdgeSupport:
        maps = self.maps_of(batch.support_image.flatten(0, 1))
        support = self.described(maps, batch)
        count = support.mask.shape[1]
        edges = given_links(self.linked[batch.category, :count, :count], support.mask)
        if self.edge_predictor is not None and self.config.trains_edges:
            nobody = self.query_proj.bias  # of a keypoint whose pooled features are 0
            maps = maps.unflatten(0, batch.support.weight.shape[:2])
            edges = self.edge_predictor(support.tokens, maps, self.cell_code, edges, support.mask, nobody)
        return EdgeSupport(support.tokens, support.mask, edges)

    def links(self, category: Tensor, support: EdgeSupport) -> Edges:
        messages = with_loops(support.edges, support.mask)
        return Edges(messages, walks(messages[:, 1], self.config.hops) if self.config.uses_bias else None)

    def mask_draws(self, like: Tensor) -> Tensor:
        """Uniform numbers that decide which keypoints a pose is reconstructed without."""
        return torch.rand_like(like)

    def reconstruction(self, matched: Matched, support: EdgeSupport, kept: Tensor) -> Tensor:
        """(B, K, 2), shares of the crop: a second refinement, in which keypoints that are not ``kept`` (B, K) have one
        learned token in place of their own. It gives a gradient to the edges and to that token alone."""
        cells, keypoints, start = (
            part.detach() for part in (matched.cells, matched.keypoints, expectation_near_peak(matched.similarity))
        )
        replaced = torch.where(kept[..., None] > 0, keypoints, self.mask_token.to(keypoints.dtype))
        tokens = replaced * support.mask[..., None].to(replaced.dtype)
        codes = (self.cell_code, self.keypoint_code(tokens.shape[1]))
        links = self.links(support.mask, support)
        fixed = {name: parameter.detach() for name, parameter in self.decoder.named_parameters()}
        _, points = functional_call(self.decoder, fixed, (cells, tokens, *codes, unseen(support.mask), start, links))
        return points

    def losses(self, prediction: Located, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """As in ``TwoStage``, and of a training's predictions the distance of reconstructed poses."""
        losses = dict(super().losses(prediction, batch))
        if isinstance(prediction, Reconstructed):
            _, weight = self.codec.encode(batch.keypoints)
            truth = to_shares(batch.keypoints.xy, self.size)
            error = distance(prediction.reconstructed, truth, weight * prediction.mask)
            losses["reconstruction"] = self.config.reconstruction_weight * error
        return losses

    def inspect(self, batch: EpisodeBatch) -> Mapping[str, Inner]:
        """Of the first query's category, where each keypoint is proposed, the weights of its links, and whom (column) a
        keypoint (row) looks at in the last layer."""
        names = self.names[int(batch.category[0])]
        count = len(names)
        support = self.encode_support(batch)
        matched = self.matched(batch, support)
        looked: list[Tensor] = []
        last = self.attentions[-1]
        handle = last.register_forward_pre_hook(lambda _, given: looked.append(last.weights(*given)))
        self.refined(matched, batch, support)
        handle.remove()
        matrices = {"edges": support.edges, "attention": looked[-1]}
        return {
            "similarity": Inner(matched.similarity[:, :count].sigmoid(), names),
            **{n: Inner(m[:, None, :count, :count], names, over_picture=False) for n, m in matrices.items()},
        }


def kept_keypoints(mask: Tensor, draws: Tensor, share: float) -> Tensor:
    """The mask (B, K) without this share, rounded down, of its keypoints: those of the smallest draws (B, K)."""
    removed = (share * mask.sum(1)).floor()
    order = draws.masked_fill(mask == 0, torch.inf).argsort(1).argsort(1)
    return mask * (order >= removed[:, None])


def _backbone(config: Config, setting: Setting) -> Features:
    if has_official_positions(config.backbone):
        if config.stride != PATCH:
            raise ValueError(f"stride must be {PATCH}, the patch of {config.backbone}, but is {config.stride}")
        grid(setting.size, PATCH)
        return PatchTokens(config.backbone, config.weights)
    return Features(config.backbone, config.weights, (config.stride,), setting.size, final_norm=True)


def _edge_predictor(config: Config, channels: int) -> EdgePredictor:
    predictor = EdgePredictor(
        config.edge_layers,
        channels=channels,
        width=config.width,
        heads=config.heads,
        feed_forward=config.edge_feed_forward,
        dropout=config.dropout,
        slots=config.edge_slots,
        start=config.edge_scale_start,
    )
    for parameter in predictor.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    return predictor


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The official names. The backbone stands in a release twice; tensors that the official code never uses, and the
    edge predictor where the config does without, are left out.

    Raises:
        ValueError: a checkpoint of the first release, which is another network.
    """
    if any(".probe." in f".{name}" for name in state):
        raise ValueError(
            "a checkpoint of EdgeCape must be of the release of 2026, but this one has tensors named probe.*, as the "
            "first release, which had other features and another edge predictor"
        )
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not _UNUSED.search(name) and (config.predicted_edges or ".skeleton_head." not in f".{name}"):
            ours |= _own(name, tensor)
    return ours


_UNUSED = re.compile(r"^encoder_(sample|query)\.mask_token$|skeleton_head\.(k_proj|q_proj|mh_linear)\.")
_RENAMED = (
    (r"^keypoint_head(_module)?\.", ""),
    (r"^transformer\.", ""),
    (r"^encoder_(sample|query)\.", "backbone.trunk."),
    (r"^kpt_branch\.(\d+)\.mlp\.", r"decoder.offsets.\1."),
    (r"^skeleton_head\.skeleton_predictor\.", "edge_predictor.layers."),
    (r"^skeleton_head\.image_project\.", "edge_predictor.image_project."),
    (r"^skeleton_head\.zero_conv\.weight$", "edge_predictor.weights.scale"),
    (r"^skeleton_head\.zero_conv\.bias$", "edge_predictor.weights.offset"),
    (r"^(edge_predictor\.layers\.\d+)\.cross_attn_image_to_token(_choker)?\.", r"\1.looking_back\2."),
    (r"^(edge_predictor\.layers\.\d+)\.(?!refinement|looking_back|norm4)", r"\1.refinement."),
    (r"\.ffn([12])(\.conv)?\.", r".feed_forward.linear\1."),
    (r"\.markov_structural_mlp\.0\.", ".structural.0."),
    (r"\.markov_structural_mlp\.3\.", ".structural.2."),
)
_JOINT = re.compile(r"^(decoder\.layers\.\d+\.self_attn\.)in_proj_(weight|bias)$")


def _own(name: str, tensor: Tensor) -> Mapping[str, Tensor]:
    """A released tensor under our name; the three projections of an attention without bias, which are one there, as
    three."""
    convolution = ".ffn1.conv.weight" in name
    for pattern, own in _RENAMED:
        name = re.sub(pattern, own, name)
    if joint := _JOINT.match(name):
        parts = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{joint[1]}{letter}_proj.{joint[2]}": part for letter, part in parts}
    if name.startswith("edge_predictor.weights."):
        return {name: tensor.flatten()}
    return {name: tensor[..., 0] if convolution else tensor}


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=EdgeCape,
    space={
        "model.hops": Choice(0, 2, 4, 6),
        "model.mask_share": Choice(0.0, 0.3, 0.5),
        "model.edge_scale_start": Choice("zero", "positive", "random"),
        "model.edge_layers": Choice(1, 2, 3),
        "model.heatmap_weight": Choice(0.0, 2.0),
        "model.scaled_start": Choice(False, True),
        "train.lr": LEARNING_RATES,
    },
    paper=Paper(
        "Edge Weight Prediction For Category-Agnostic Pose Estimation",
        2024,
        "arXiv:2411.16665",
        name="EdgeCape",
    ),
    answering=("backbone", "weights", "width"),
    train={**EPISODES, "epochs": 100, "decay_at": ()},
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    # The reconstruction runs the refinement with copies of its weights, of which a machine must have all.
    max_zero=2,
    released=released,
    small={**SMALL, "frozen_backbone": False, "edge_layers": 1, "edge_feed_forward": 64},
    exceptions={
        "gradients_reach_every_trainable_parameter": "where no links are given, the rectifier on predicted edges "
        "passes no gradient unless their scale is positive"
    },
)
