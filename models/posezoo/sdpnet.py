"""SDPNet: supports attend to one another; keypoint features and an inferred skeleton from them guide the query.

No code was released. What the paper leaves open is settled as in CapeFormer where possible:

- The loss of equation 8 cannot make the graph of equation 3 sparser, see ``blocks.structure``. By default links are
  sigmoid gates here, scaled by the root of an embedding's channels. K counts the keypoints that are shown.
- The graph's weight in the loss is 0.01, the pose's 1; poses are completed by three layers of messages, after hiding
  0.3 of the visible keypoints, and all visible ones are in the loss. Keypoints that a shot does not show are hidden.
- There are three stages, two layers of interaction, two of messages and four embedding spaces. The interaction of the
  structure has weights of its own; to its tokens the sine code of the coordinates is added, through two layers.
- Up to five shots have learned codes of their order, keypoints a fixed sine code of their index. Both enter queries and
  keys of the interaction between supports. The order of shots therefore matters, unless ``order_codes`` is 0.
- A keypoint needs one visible shot. The losses take those that every shot shows, as the evaluation does.
- Supports and query pass the backbone one after the other, and one projection of its maps serves both.
- The dynamic kernel is computed from the mean over keypoints that are shown, and starts as the identity.
- "K_str" of the query in equation 6 is read as the query's keypoint tokens.
- Without a high-resolution map, as with ResNet-50, keypoints are refined on the coarse map after the fusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from posebed.config import Positive, Share
from posebed.contracts import Inner, ModelSpec, Paper, Setting, Task
from posebed.data.codecs import HeatmapCodec
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice
from posezoo.blocks.coordinates import distance, grid_code, over_keypoints, to_pixels, to_shares
from posezoo.blocks.cross_instance import Aggregation, How
from posezoo.blocks.dynamic_convolution import DynamicConvolution
from posezoo.blocks.features import BackboneConfig, Features, grid
from posezoo.blocks.fine_coarse import FineCoarse
from posezoo.blocks.guided_refinement import Guide, GuidedRefinement, OffsetCoefficient, Stage
from posezoo.blocks.hrnet import HRNet
from posezoo.blocks.layout import channels_last
from posezoo.blocks.matching import Fusion, Proposals, expectation, expectation_near_peak, heatmap_error, unseen
from posezoo.blocks.messages import FixedModulation, Messages, PoseCompletion, SelfModulation
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.recipes import EPISODES
from posezoo.blocks.refinement import PositionHead
from posezoo.blocks.slots import must_suffice
from posezoo.blocks.structure import (
    AttentionScores,
    ConcatenationScores,
    GlobalScores,
    Sparsity,
    Structure,
    mean_over_keypoints,
)
from posezoo.blocks.two_stage import LEARNING_RATES, SMALL_LAYERS

# B batch, S shots, K keypoints, C channels, h w cells of the coarse map, T stages

Weight = Annotated[float, Field(ge=0)]


class Config(BackboneConfig):
    backbone: str = "hrnet"
    """``hrnet``, or a model of timm, with or without the tag of its weights."""
    hrnet_width: Positive = 32
    """Channels of the finest maps of HRNet, as in the model ``hrnet``."""
    hrnet_blocks: Positive = 4
    """Residual blocks per module and branch of HRNet."""
    hrnet_modules: tuple[Positive, Positive, Positive] = (1, 4, 3)
    """Modules of exchange of HRNet in stages 2, 3 and 4."""
    stride: Positive = 32
    """Stride of the map on which keypoints are matched."""
    fine_strides: tuple[Positive, ...] | None = None
    """Strides of the maps that add up to the high-resolution map, from fine to coarse; empty for no such map. By
    default, as in the paper, 4 alone with HRNet, whose finest map has seen all others, and empty with other
    backbones."""
    dynamic_convolution: bool = True
    """Convolve the high-resolution map with kernels that are computed from the supports."""
    kernel: Literal[3, 5, 7, 9] = 7
    """Side of those kernels, in cells."""
    width: Annotated[int, Field(gt=0, multiple_of=4)] = 256
    """Channels of a token."""
    heads: Positive = 8
    """Attention heads."""
    feed_forward: Positive = 2048
    """Channels within a layer."""
    dropout: Share = 0.1
    """Dropout within the layers."""
    encoder_layers: Positive = 3
    """Layers of the fusion of query and supports."""
    stages: Positive = 3
    """Stages of the refinement."""
    points: Positive = 4
    """Sampling points per head of the deformable attention."""
    slots: Positive = 100
    """Keypoints for which there are identifier codes; no category may have more."""
    identifier: bool = True
    """Add a code of its index to each keypoint. Without it, the order of keypoints has no meaning."""
    aggregation: How = "cross_instance"
    """Aggregation of several supports: their average, or weighted by a learned quality, before or after they attended
    to one another."""
    interaction_layers: Positive = 2
    """Layers in which supports attend to one another."""
    order_codes: Annotated[int, Field(ge=0)] = 5
    """Number of shots with a learned code of their order; further ones start over. With 0, their order has
    no meaning."""
    graph: Literal["none", "global", "concatenation", "attention"] = "attention"
    """How links are inferred: not at all (none); from the mean of all keypoints (global), from each pair
    (concatenation), or by multi-head attention."""
    graph_spaces: Positive = 4
    """Embedding spaces of that attention."""
    sparsity: Sparsity = "gates"
    """How scores become links, and which term keeps links few."""
    structure_weight: Weight = 0.01
    """Weight of the density of links in the loss; 0 for no sparsity constraint."""
    graph_layers: Positive = 2
    """Layers of message passing in each stage."""
    modulation: Literal["shared", "fixed", "self"] = "self"
    """Modulation of messages: one matrix for all keypoints (shared), also factors per index (fixed), or factors from
    each token (self)."""
    offset_coefficient: Literal["none", "support", "difference"] = "difference"
    """Coefficient of the deformable attention's offsets: none, computed from the support's token, or from its
    difference to the query's."""
    coefficient_per: Literal["keypoint", "offset"] = "keypoint"
    """Whether a keypoint has one such coefficient, or one for each of its offsets."""
    pose_weight: Weight = 1.0
    """Weight of the loss on completed support poses; 0 to complete none."""
    pose_layers: Positive = 3
    """Layers of message passing that complete poses."""
    mask_ratio: Share = 0.3
    """Share of the visible support keypoints that are hidden to be completed."""
    heatmap_weight: Weight = 2.0
    """Weight of the loss on similarity maps; proposals and stages have weight 1."""
    scaled_start: bool = False
    """Divide the first similarities by the square root of the channels, as in ``TwoStageConfig``."""

    @model_validator(mode="after")
    def _width_divides(self) -> Config:
        for name in ("heads", "graph_spaces"):
            if self.width % getattr(self, name):
                raise ValueError(f"width must be a multiple of {name}, but is {self.width} with {getattr(self, name)}")
        return self

    @property
    def fine(self) -> tuple[int, ...]:
        """``fine_strides`` with its default."""
        if self.fine_strides is None:
            return (4,) if self.backbone == "hrnet" else ()
        return self.fine_strides


@dataclass(frozen=True)
class Support:
    """What the supports tell: computed once, it serves every query of the episode."""

    visible: Tensor
    """(B, S, K), 1 where a shot shows the keypoint."""
    tokens: Tensor
    """(B, K, C), what keypoints look like."""
    kernels: Tensor | None
    """(B, C, kernel, kernel), of the dynamic convolution."""
    graph: Tensor | None
    """(B, K, K), row i telling whom keypoint i hears."""
    density: Tensor | None
    """(B,), of the graph."""

    @property
    def shown(self) -> Tensor:
        """(B, K), 1 where some shot shows the keypoint."""
        return self.visible.amax(1)


@dataclass(frozen=True)
class Located:
    """Points are shares of the crop."""

    similarity: Tensor
    """(B, K, h, w), of any range."""
    proposal: Tensor
    """(B, K, 2), from the whole similarity map."""
    points: Tensor
    """(T, B, K, 2), the last stage's being the best."""
    support: Support
    completed: Tensor | None = None
    """(B, S, K, 2), the supports' points from some of them; in training alone."""


class SDPNet(nn.Module):
    """Only keypoints that the data have take part: further slots are hidden from them and would change nothing."""

    cell_code: Tensor
    identifier: Tensor

    def __init__(self, config: Config, setting: Setting) -> None:
        """
        Raises:
            ValueError: a category has more keypoints than slots, or the crop is no multiple of a stride.
        """
        super().__init__()
        must_suffice(config.slots, setting)
        self.config, self.size, self.grid = config, setting.size, grid(setting.size, config.stride)
        self.names = tuple(category.keypoints for category in setting.categories)
        self.codec = HeatmapCodec(setting.size, grid(setting.size, 4), sigma=2.0)
        width = config.width
        self.normalise, self.maps = _maps(config, setting.size)
        self.semantic = _aggregation(config)
        dynamic = config.fine and config.dynamic_convolution
        self.dynamic_convolution = DynamicConvolution(width, config.kernel) if dynamic else None
        self.structure: Structure | None = None
        self.completion: PoseCompletion | None = None
        if config.graph != "none":
            self.position = PositionHead(width)
            self.structural = _aggregation(config)
            self.structure = Structure(_scores(config), config.sparsity)
            self.completion = PoseCompletion(config.pose_layers, width) if config.pose_weight else None
        self.fusion = Fusion(
            config.encoder_layers,
            width=width,
            heads=config.heads,
            feed_forward=config.feed_forward,
            dropout=config.dropout,
        )
        self.proposals = Proposals(width)
        self.refinement = GuidedRefinement(width, (_stage(config) for _ in range(config.stages)))
        self.register_buffer("cell_code", grid_code(*self.grid, width // 2), persistent=False)
        code = grid_code(1, config.slots, width // 2) * config.identifier
        self.register_buffer("identifier", code, persistent=False)
        self._initialise()
        channels_last(self)

    def _initialise(self) -> None:
        """Xavier's uniform weights for all matrices, except those that start from 0 and the backbone's."""
        for name, module in self.named_modules():
            if not isinstance(module, nn.Linear) or name.startswith("maps.backbone."):
                continue
            # On the meta device there are no values to look at, and none to set.
            if module.weight.is_meta or module.weight.any():
                nn.init.xavier_uniform_(module.weight)
        if self.config.scaled_start:
            self.proposals.scale_start()

    def forward(self, batch: EpisodeBatch) -> Located:
        support = self.encode_support(batch)
        located = self.locate(batch, support)
        if not self.training or self.completion is None or support.graph is None:
            return located
        kept = torch.rand(support.visible.shape, device=support.visible.device) >= self.config.mask_ratio
        points = to_shares(batch.support.xy, self.size)
        return replace(located, completed=self.completion(points, kept & (support.visible > 0), support.graph))

    def encode_support(self, batch: EpisodeBatch) -> Support:
        heatmaps, visible = self.codec.encode(batch.support)
        image = self.normalise(batch.support_image.flatten(0, 1))
        tokens = self.maps.pooled(image, heatmaps.flatten(0, 1)).unflatten(0, visible.shape[:2])
        shown, identifier = visible.amax(1), self.identifier[: visible.shape[2]]
        semantic = self.semantic(tokens, visible, identifier)
        kernels, graph, density = None, None, None
        if self.dynamic_convolution is not None:
            kernels = self.dynamic_convolution.kernels(mean_over_keypoints(semantic, shown))
        if self.structure is not None:
            placed = tokens + self.position(to_shares(batch.support.xy, self.size)) * visible[..., None]
            graph, density = self.structure(self.structural(placed, visible, identifier), shown)
        return Support(visible, semantic, kernels, graph, density)

    def locate(self, batch: EpisodeBatch, support: Support) -> Located:
        """The query's side, from its picture alone."""
        coarse, fine = self.maps(self.normalise(batch.image))
        shown, identifier = support.shown, self.identifier[: support.tokens.shape[1]]
        cells = coarse.flatten(2).transpose(1, 2)
        cells, keypoints = self.fusion(cells, support.tokens, self.cell_code, identifier, shown == 0)
        similarity = self.proposals(cells, keypoints, self.grid)
        if fine is None:
            fine = cells.transpose(1, 2).unflatten(2, self.grid)
        elif self.dynamic_convolution is not None and support.kernels is not None:
            fine = self.dynamic_convolution(fine, support.kernels)
        guide = Guide(support.tokens, support.graph, fine, unseen(shown))
        points = self.refinement(keypoints, expectation_near_peak(similarity), identifier, guide)
        return Located(similarity, expectation(similarity), points, support)

    def losses(self, prediction: Located, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """Of the query, over the keypoints that it and every support show; of the supports, over those they show."""
        config, support = self.config, prediction.support
        target, weight = self.codec.encode(batch.keypoints)
        weight = weight * support.visible.prod(1)
        truth = to_shares(batch.keypoints.xy, self.size)
        terms = {
            "heatmap": config.heatmap_weight * over_keypoints(heatmap_error(prediction.similarity, target), weight),
            "proposal": distance(prediction.proposal, truth, weight),
            **{f"stage{number}": loss for number, loss in enumerate(distance(prediction.points, truth, weight), 1)},
        }
        if support.density is not None:
            terms["structure"] = config.structure_weight * support.density.mean()
        if prediction.completed is not None:
            pose, visible = to_shares(batch.support.xy, self.size), support.visible
            error = distance(prediction.completed.flatten(1, 2), pose.flatten(1, 2), visible.flatten(1))
            terms["pose"] = config.pose_weight * error
        return terms

    def decode(self, prediction: Located, batch: EpisodeBatch) -> Keypoints:
        """Points of the last stage. The method knows no confidence: the largest similarity, after the sigmoid, stands
        for it, and 0 where no support shows the keypoint."""
        confidence = prediction.similarity.flatten(2).amax(2).sigmoid() * prediction.support.shown
        return Keypoints(to_pixels(prediction.points[-1], self.size), confidence)

    def inspect(self, batch: EpisodeBatch) -> Mapping[str, Inner]:
        """Of the first query's category, where each keypoint is proposed, and (as in figure 5) whom it (row) hears."""
        names = self.names[int(batch.category[0])]
        count = len(names)
        prediction = self(batch)
        inner = {"similarity": Inner(prediction.similarity[:, :count].sigmoid(), names)}
        graph = prediction.support.graph
        if graph is not None:
            inner["structure"] = Inner(graph[:, None, :count, :count], names, over_picture=False)
        return inner


def _maps(config: Config, size: tuple[int, int]) -> tuple[Normalise, FineCoarse]:
    strides = sorted({*config.fine, config.stride})
    if config.backbone == "hrnet":
        backbone = HRNet(
            config.hrnet_width,
            config.weights,
            blocks=config.hrnet_blocks,
            modules=config.hrnet_modules,
            strides=strides,
        )
        normalise = Normalise()
    else:
        backbone = Features(config.backbone, config.weights, strides, size)
        normalise = Normalise(backbone.mean, backbone.std)
    fine = [strides.index(stride) for stride in config.fine]
    coarse = strides.index(config.stride)
    return normalise, FineCoarse(backbone, backbone.channels, coarse=coarse, fine=fine, width=config.width)


def _aggregation(config: Config) -> Aggregation:
    return Aggregation(
        config.aggregation,
        layers=config.interaction_layers,
        width=config.width,
        heads=config.heads,
        feed_forward=config.feed_forward,
        dropout=config.dropout,
        order_codes=config.order_codes,
    )


def _scores(config: Config) -> nn.Module:
    if config.graph == "global":
        return GlobalScores(config.width, config.slots)
    if config.graph == "concatenation":
        return ConcatenationScores(config.width)
    return AttentionScores(config.width, config.graph_spaces)


def _stage(config: Config) -> Stage:
    width, messages, coefficient = config.width, None, None
    if config.graph != "none":
        modulation = {
            "shared": lambda: None,
            "fixed": lambda: FixedModulation(width, config.slots),
            "self": lambda: SelfModulation(width),
        }[config.modulation]()
        messages = Messages(config.graph_layers, width, modulation)
    if config.offset_coefficient != "none":
        per_offset = config.coefficient_per == "offset"
        coefficient = OffsetCoefficient(
            width,
            difference=config.offset_coefficient == "difference",
            heads=config.heads if per_offset else 1,
            points=config.points if per_offset else 1,
        )
    return Stage(
        width=width,
        heads=config.heads,
        feed_forward=config.feed_forward,
        dropout=config.dropout,
        points=config.points,
        messages=messages,
        coefficient=coefficient,
    )


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=SDPNet,
    space={
        "model.structure_weight": Choice(1e-4, 1e-3, 1e-2, 0.1, 1.0),
        "model.sparsity": Choice("gates", "relu", "entropy", "off_diagonal"),
        "model.pose_weight": Choice(0.1, 0.5, 1.0, 5.0),
        "model.mask_ratio": Choice(0.15, 0.3, 0.5, 0.7),
        "model.graph_spaces": Choice(1, 4, 8),
        "model.graph_layers": Choice(1, 2, 3),
        "model.kernel": Choice(3, 5, 7, 9),
        "model.stages": Choice(1, 2, 3, 4),
        "model.interaction_layers": Choice(1, 2, 3),
        "model.points": Choice(4, 8),
        "model.scaled_start": Choice(False, True),
        "train.lr": LEARNING_RATES,
    },
    paper=Paper(
        "Dynamic Support Information Mining for Category-Agnostic Pose Estimation", 2024, "CVPR 2024", name="SDPNet"
    ),
    answering=("backbone", "weights", "width"),
    widths={"hrnet": "hrnet_width"},
    train=EPISODES,
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    small={
        **SMALL_LAYERS,
        "stride": 8,
        "fine_strides": (8,),
        "encoder_layers": 1,
        "interaction_layers": 1,
        "stages": 2,
        "slots": 8,
    },
    exceptions={
        "the_order_of_the_shots_does_not_matter": "each shot has a code",
        "the_order_of_the_keypoints_does_not_matter": "each keypoint has the code of its place among the slots",
    },
)
