"""FMMP: keypoints gather features from supports and query in turn; free slots are filled with mixed keypoints.

What the text of the paper leaves open follows its released code, except where a field of ``Config`` says otherwise:
the learning rate is the code's 1e-4, as nothing is matched and every prediction starts from the middle of the crop,
from which the paper's 1e-5 would hardly lead away.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from posebed.config import Positive, Share
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.pose import EpisodeBatch, Keypoints, Shared
from posebed.space import Choice, When
from posezoo.blocks.coordinates import distance, grid_code, moved, offset_head, to_pixels, to_shares
from posezoo.blocks.features import BackboneConfig, Features, grid
from posezoo.blocks.keypoint_padding import KeypointPadding, Mode, Padding
from posezoo.blocks.layout import channels_last
from posezoo.blocks.miner import Miner, StructureAttention
from posezoo.blocks.neighbours import picked
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.pyramid import Pyramid
from posezoo.blocks.recipes import EPISODES
from posezoo.blocks.refinement import PositionHead
from posezoo.blocks.sampling import bordered_rows, mean_of_maps
from posezoo.blocks.two_stage import SMALL_LAYERS

# B batch, S shots, K slots for keypoints, C channels, M references of a keypoint, T cells of all maps, L layers


class Config(BackboneConfig):
    strides: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 16, 32)
    """Strides of the maps that features are mined from, from fine to coarse; ``(32,)`` is the single scale."""
    width: Annotated[int, Field(gt=0, multiple_of=4)] = 256
    """Channels of a keypoint."""
    heads: Positive = 8
    """Attention heads."""
    points: Positive = 4
    """Sampling points per head, map and reference."""
    feed_forward: Positive = 256
    """Channels within a layer."""
    dropout: Share = 0.1
    """Dropout within the layers."""
    layers: Positive = 3
    """Layers, each of which moves the points."""
    reuse_layers: bool = False
    """Use one pair of miners for all layers."""
    support_miner: bool = True
    """Mine the supports in every layer, not just once before the first."""
    references: Positive = 8
    """Number of keypoints, itself and the next along the links, around which a keypoint samples features; 1 ignores the
    skeleton."""
    hidden_neighbours: bool = False
    """Also sample around linked keypoints that the support does not show, wherever those are noted, as the released
    code does."""
    query_neighbours: Literal["union", "last"] = "union"
    """Keypoints that count as shown when neighbours are chosen for the query: those of any support, or those of the
    last, as in the released code."""
    identifier: bool = True
    """Add a code of its index to each keypoint."""
    slots: Positive = 70
    """Number of keypoints that every skeleton is filled up to; no category may have more."""
    padding: Mode = "mixup"
    """Filling of free slots in training: points at random places of random links (mixup), at equal distances on all
    links (equal), or nothing (zero). A category without links has nothing to mix."""
    test_padding: Mode = "equal"
    """Filling of free slots in evaluation, where mixup always draws the same."""
    mixup_alpha: Annotated[float, Field(gt=0)] = 1.0
    """Parameter of the Beta distribution from which places on a link are drawn; the larger, the nearer to
    the middle."""
    mixup_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the loss on mixed keypoints; that on real ones has weight 1."""
    reversed_chains: bool = False
    """Link the mixed points of a link in the wrong direction, as in the released code and its results."""
    supervise_shown: bool = False
    """Learn only from keypoints that a support shows; the released code requires only that the query labels them."""


@dataclass(frozen=True)
class Support:
    """What is known before a query is seen: computed once, it serves every query of the episode."""

    cells: Shared
    """(B, S, T, C)"""
    weight: Tensor
    """(B, S, K), of the keypoints in all slots."""
    code: Tensor
    """(B, S, K, C), of which they are and where."""
    references: Tensor
    """(B, S, K, M, 2), where each of them looks around, as shares of the crop."""
    neighbours: Tensor
    """(B, K, M), around which keypoints each of them looks in the query."""
    support_features: Tensor
    """(B, K, C), features of the supports from the first layer."""
    padding: Padding


@dataclass(frozen=True)
class Located:
    points: Tensor
    """(L, B, K, 2), shares of the crop, the last layer's being the best."""
    shown: Tensor
    """(B, K), 1 where some support shows the keypoint."""
    padding: Padding


class FMMP(nn.Module):
    identifier: Tensor

    def __init__(self, config: Config, setting: Setting) -> None:
        """
        Raises:
            ValueError: a category has more keypoints than slots, the crop is no multiple of the strides, or the width
                none of the heads.
        """
        super().__init__()
        self.config, self.size = config, setting.size
        self.sizes = [grid(setting.size, stride) for stride in reversed(config.strides)]
        self.padding = KeypointPadding(setting, config.slots, alpha=config.mixup_alpha, reverse=config.reversed_chains)
        self.backbone = Features(config.backbone, config.weights, config.strides, setting.size)
        self.normalise = Normalise(self.backbone.mean, self.backbone.std)
        self.pyramid = Pyramid(self.backbone.channels[::-1], config.width)
        distinct = 1 if config.reuse_layers else config.layers
        self.support_miners = self._miners(distinct if config.support_miner else 0)
        self.query_miners = self._miners(distinct)
        self.point_head = PositionHead(config.width)
        self.offsets = nn.ModuleList(offset_head(config.width) for _ in range(config.layers))
        code = grid_code(1, config.slots, config.width // 2) * config.identifier
        self.register_buffer("identifier", code, persistent=False)
        self._initialise()
        channels_last(self)

    def skeleton_buffers(self, count: int, links: Tensor) -> Mapping[str, Tensor]:
        """As in ``LinkedSkeletons``."""
        return {f"padding.{name}": of for name, of in self.padding.buffers_of(count, links).items()}

    def _miners(self, count: int) -> nn.ModuleList:
        config = self.config
        miner = partial(
            Miner,
            width=config.width,
            heads=config.heads,
            sizes=self.sizes,
            points=config.points,
            references=config.references,
            feed_forward=config.feed_forward,
            dropout=config.dropout,
        )
        return nn.ModuleList(miner() for _ in range(count))

    def _initialise(self) -> None:
        """Xavier's uniform weights for all matrices; but at first no query moves places or points."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2 and not name.startswith("backbone."):
                nn.init.xavier_uniform_(parameter)
        for attention in (part for part in self.modules() if isinstance(part, StructureAttention)):
            attention.reset()
        for head in self.offsets:
            nn.init.zeros_(head.get_parameter("6.weight"))

    def forward(self, batch: EpisodeBatch) -> Located:
        # All pictures in one batch: so batch norm sees supports and queries alike.
        cells = self._cells(torch.cat([batch.support_image.flatten(0, 1), batch.image]))
        queries = batch.image.shape[0]
        supports = cells[:-queries].unflatten(0, batch.support_image.shape[:2])
        return self._mine(self._seen(batch, supports), cells[-queries:])

    def encode_support(self, batch: EpisodeBatch) -> Support:
        cells = self._cells(batch.support_image.flatten(0, 1))
        return self._seen(batch, cells.unflatten(0, batch.support_image.shape[:2]))

    def locate(self, batch: EpisodeBatch, support: Support) -> Located:
        """The query's side, from its picture."""
        return self._mine(support, self._cells(batch.image))

    def _cells(self, images: Tensor) -> Tensor:
        """(N, T, C), from the coarsest map to the finest."""
        return bordered_rows(self.pyramid(self.backbone(self.normalise(images))[::-1]))

    def _seen(self, batch: EpisodeBatch, cells: Tensor) -> Support:
        """``cells`` are those of the supports, (B, S, T, C)."""
        padding = self.padding(batch.category, self.config.padding if self.training else self.config.test_padding)
        keypoints = padding.fill(self._shares(batch.support))
        lists, query_lists = self._neighbours(padding, keypoints.weight > 0)
        where, shape = keypoints.xy.flatten(0, 1), cells.shape[:2]
        support = Support(
            Shared.each(cells),
            keypoints.weight,
            code=self._code(where).unflatten(0, shape),
            references=picked(where, lists.flatten(0, 1)).unflatten(0, shape),
            neighbours=query_lists,
            support_features=_over_shots(mean_of_maps(cells.flatten(0, 1), self.sizes, where), keypoints.weight),
            padding=padding,
        )
        return replace(support, support_features=self._mine_supports(support, support.support_features, layer=0))

    def _shares(self, keypoints: Keypoints) -> Keypoints:
        return Keypoints(to_shares(keypoints.xy, self.size), keypoints.weight)

    def _neighbours(self, padding: Padding, visible: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, K, M) for each support, and (B, K, M) for the query."""
        find = partial(padding.neighbours, count=self.config.references, hidden_too=self.config.hidden_neighbours)
        lists = find(visible)
        if self.config.query_neighbours == "last" or visible.shape[1] == 1:
            return lists, lists[:, -1]
        return lists, find(visible.any(1, keepdim=True))[:, 0]

    def _code(self, points: Tensor) -> Tensor:
        return self.point_head(points) + self.identifier

    def _mine_supports(self, support: Support, x: Tensor, layer: int) -> Tensor:
        """(B, K, C), a layer's features of the supports, mined with ``x``, the previous layer's of the query."""
        if not self.support_miners:
            return x
        hidden = support.weight == 0
        # Attention needs at least one key; features from a picture without keypoints get weight 0 below.
        hidden = hidden & ~hidden.all(2, keepdim=True)
        shots = support.weight.shape[1]
        code, references, hidden = (t.flatten(0, 1) for t in (support.code, support.references, hidden))
        of = (support.cells.of[:, None] * shots + torch.arange(shots, device=x.device)).flatten()
        miner = self.support_miners[layer % len(self.support_miners)]
        repeated = x[:, None].expand(-1, shots, -1, -1).flatten(0, 1)
        mined = miner(repeated, code, references, support.cells.rows.flatten(0, 1), hidden, of)
        return _over_shots(mined, support.weight)

    def _mine(self, support: Support, cells: Tensor) -> Located:
        """Mine the query with the supports' features and the supports with the query's, alternately."""
        x, per_layer = support.support_features, []
        points = support.references.new_full((*x.shape[:2], 2), 0.5)
        for layer, offset in enumerate(self.offsets):
            if layer:
                x = self._mine_supports(support, x, layer)
            miner = self.query_miners[layer % len(self.query_miners)]
            x = miner(x, self._code(points), picked(points, support.neighbours), cells)
            per_layer.append(moved(points, offset(x)))
            points = per_layer[-1].detach()
        return Located(torch.stack(per_layer), support.weight.amax(1), support.padding)

    def losses(self, prediction: Located, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """Distances of the real and of the mixed keypoints that the query shows, summed over the layers."""
        query = self._shares(batch.keypoints)
        truth = prediction.padding.fill(Keypoints(query.xy[:, None], query.weight[:, None]))
        xy, weight, mixed = truth.xy[:, 0], truth.weight[:, 0], prediction.padding.mixed
        if self.config.supervise_shown:
            weight = weight * prediction.shown
        return {
            "location": distance(prediction.points, xy, weight * ~mixed).sum(),
            "mixup": self.config.mixup_weight * distance(prediction.points, xy, weight * mixed).sum(),
        }

    def decode(self, prediction: Located, batch: EpisodeBatch) -> Keypoints:
        """Points of the last layer. The method knows no confidence: it is 1 where some support shows the keypoint."""
        count = batch.support.weight.shape[2]
        return Keypoints(to_pixels(prediction.points[-1, :, :count], self.size), prediction.shown[:, :count])


def _over_shots(x: Tensor, weight: Tensor) -> Tensor:
    """(B S, K, C) to (B, K, C), the mean over the supports that show the keypoint, 0 where none does."""
    x = x.unflatten(0, weight.shape[:2])
    return (x * weight[..., None]).sum(1) / weight.sum(1).clamp(min=1)[..., None]


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The official names. The official code has one attention per reference; here one tensor holds all of them.

    The released weights were trained with ``reversed_chains``, ``hidden_neighbours`` and ``query_neighbours: last``, as
    the presets ``fmmp-*`` have it.
    """
    renamed: dict[str, Tensor] = {}
    per_reference = defaultdict[str, dict[int, Tensor]](dict)
    for name, tensor in state.items():
        name = _own_name(name)
        if parts := re.fullmatch(r"(.*\.deform_attn\.)attn_layers\.(\d+)\.(.*)", name):
            per_reference[parts[1] + parts[3]][int(parts[2])] = tensor
        else:
            renamed[name] = tensor.flatten(1) if name.endswith("weight") and name.startswith("pyramid.") else tensor
    for name, tensors in per_reference.items():
        joined = torch.cat([tensors[number] for number in sorted(tensors)])
        groups = {"value_proj": len(tensors) * config.heads, "output_proj": len(tensors)}.get(name.split(".")[-2])
        renamed[name] = joined.unflatten(0, (groups, -1)) if groups else joined
    return renamed


def _own_name(name: str) -> str:
    name = name.removeprefix("predictor.")
    for theirs, ours in (
        (r"^backbone\.", "backbone.trunk."),
        (r"^backbone_projs\.(\d+)\.0\.", r"pyramid.laterals.\1."),
        (r"^support_layers\.", "support_miners."),
        (r"^decoder_layers\.", "query_miners."),
        (r"^pos_embed_proj\.", "point_head."),
        (r"^kpt_branch\.(\d+)\.mlp\.", r"offsets.\1."),
        (r"\.self_linear", ".self_network.linear"),
        (r"(miners\.\d+)\.linear", r"\1.network.linear"),
        (r"\.projector\.0\.", ".projector."),
    ):
        name = re.sub(theirs, ours, name)
    return name


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=FMMP,
    space={
        "model.slots": Choice(70, 100),
        "model.layers": Choice(1, 2, 3, 4, 5),
        "model.references": Choice(1, 2, 4, 8, 12),
        "model.mixup_weight": Choice(0.0, 0.25, 0.5, 1.0),
        "model.mixup_alpha": When("model.mixup_weight", (0.25, 0.5, 1.0), Choice(0.5, 1.0, 2.0, 1e6)),
        "model.points": Choice(2, 4, 8),
        "model.feed_forward": Choice(256, 1024),
        "model.test_padding": Choice("equal", "zero", "mixup"),
        "train.lr": Choice(1e-5, 3e-5, 1e-4, 2e-4),
    },
    paper=Paper(
        "Recurrent Feature Mining and Keypoint Mixup Padding for Category-Agnostic Pose Estimation",
        2025,
        "arXiv:2503.21140",
        name="FMMP",
    ),
    answering=("backbone", "weights", "width"),
    train={**EPISODES, "lr": 1e-4},
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    released=released,
    small={**SMALL_LAYERS, "layers": 2, "references": 3, "slots": 8},
)
