"""FMMP: keypoints mine the supports' pictures and the query's in turns, and free slots are filled with mixed keypoints.

What the text of the paper leaves open follows its released code, except where a field of ``Config`` says otherwise:
the learning rate is the code's 1e-4, as nothing is matched and every prediction starts from the middle of the crop,
from which the paper's 1e-5 would hardly lead away.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from posebed.config import Positive, Section, Share
from posebed.contracts import Claim, ModelSpec, Paper, Setting, Task
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice
from posezoo.blocks.coordinates import distance, grid_code, moved, offset_head, to_pixels, to_shares
from posezoo.blocks.features import Features, grid
from posezoo.blocks.keypoint_padding import KeypointPadding, Mode, Padding
from posezoo.blocks.miner import Miner
from posezoo.blocks.neighbours import nearest_on_graph, picked
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.pyramid import Pyramid
from posezoo.blocks.refinement import PositionHead
from posezoo.blocks.sampling import read

# B batch, S shots, K slots for keypoints, C channels, M references of a keypoint, T cells of all maps, L layers


class Config(Section):
    backbone: str = "resnet50.tv_in1k"
    """A model of timm, with or without the tag of its weights."""
    weights: str = "timm"
    """ImageNet weights: ``timm``, another of timm's tags, ``builtin`` (for ``tf_efficientnet_lite0``), the path of
    a file, or ``none``."""
    strides: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 16, 32)
    """Of the maps that are mined, from fine to coarse; ``(32,)`` is the single scale."""
    width: Annotated[int, Field(gt=0, multiple_of=4)] = 256
    """Channels of a keypoint."""
    heads: Positive = 8
    points: Positive = 4
    """Places per head, map and reference that a keypoint looks at."""
    feed_forward: Positive = 256
    """Channels within a layer."""
    dropout: Share = 0.1
    layers: Positive = 3
    reuse_layers: bool = False
    """One pair of miners for all layers."""
    support_miner: bool = True
    """Look at the supports in every layer, not just once before the first."""
    references: Positive = 8
    """Keypoints, itself and the next along the links, around which a keypoint looks; 1 goes without structure."""
    hidden_neighbours: bool = False
    """Look around linked keypoints, too, that the support does not show, wherever those are noted. So does the
    released code."""
    query_neighbours: Literal["union", "last"] = "union"
    """Which keypoints count as shown when neighbours are sought for the query: those of any support, or those of the
    last, as in the released code."""
    identifier: bool = True
    """Tell keypoints apart by a code of their index."""
    slots: Positive = 70
    """Keypoints that every skeleton is filled up to; none may have more."""
    padding: Mode = "mixup"
    """How, in training: with points at random places of random links, at equal distances on all links, or with
    nothing (zero). A category without links has nothing to mix."""
    test_padding: Mode = "equal"
    """The same in evaluation, where mixup draws the same for all."""
    mixup_alpha: Annotated[float, Field(gt=0)] = 1.0
    """Of the Beta distribution by which places on a link are drawn; the larger, the nearer to the middle."""
    mixup_weight: Annotated[float, Field(ge=0)] = 0.5
    """Of the loss of mixed keypoints beside that of real ones."""
    reversed_chains: bool = False
    """Link the mixed points of a link in the wrong direction, as in the released code and its results."""
    supervise_shown: bool = False
    """Learn only from keypoints that a support shows; the released code asks for the query's alone."""


@dataclass(frozen=True)
class Support:
    """What the supports tell before any query is seen: computed once, it serves every query of the episode."""

    cells: Tensor
    """(B, S, T, C)"""
    points: Tensor
    """(B, S, K, 2), shares of the crop."""
    weight: Tensor
    """(B, S, K)"""
    neighbours: Tensor
    """(B, S, K, M)"""
    query_neighbours: Tensor
    """(B, K, M)"""
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
            ValueError: a category has more keypoints than slots, or the crop is no multiple of the strides.
        """
        super().__init__()
        self.config, self.size = config, setting.size
        sizes = [grid(setting.size, stride) for stride in reversed(config.strides)]
        self.sizes = sizes
        self.padding = KeypointPadding(setting, config.slots, config.mixup_alpha, config.reversed_chains)
        self.backbone = Features(config.backbone, config.weights, config.strides, setting.size)
        self.normalise = Normalise(self.backbone.mean, self.backbone.std)
        self.pyramid = Pyramid(self.backbone.channels[::-1], config.width)

        def miners(count: int) -> nn.ModuleList:
            shape = (config.width, config.heads, sizes, config.points, config.references)
            return nn.ModuleList(Miner(*shape, config.feed_forward, config.dropout) for _ in range(count))

        distinct = 1 if config.reuse_layers else config.layers
        self.support_miners = miners(distinct if config.support_miner else 0)
        self.query_miners = miners(distinct)
        self.point_head = PositionHead(config.width)
        self.offsets = nn.ModuleList(offset_head(config.width) for _ in range(config.layers))
        code = grid_code(1, config.slots, config.width // 2) * config.identifier
        self.register_buffer("identifier", code, persistent=False)
        self._initialise()

    def forward(self, batch: EpisodeBatch) -> Located:
        # Supports and query pass the backbone together, so that batch norm sees them as one batch.
        cells = self._cells(torch.cat([batch.support_image, batch.image[:, None]], 1))
        return self._mine(self._shown(batch, cells[:, :-1]), cells[:, -1])

    def encode_support(self, batch: EpisodeBatch) -> Support:
        return self._shown(batch, self._cells(batch.support_image))

    def locate(self, batch: EpisodeBatch, support: Support) -> Located:
        """The query's side, from its picture."""
        return self._mine(support, self._cells(batch.image[:, None])[:, 0])

    def _cells(self, images: Tensor) -> Tensor:
        """(B, n, 3, H, W) to (B, n, T, C), from the coarsest map to the finest."""
        maps = self.backbone(self.normalise(images.flatten(0, 1)))
        cells = torch.cat([level.flatten(2) for level in self.pyramid(maps[::-1])], 2)
        return cells.transpose(1, 2).unflatten(0, images.shape[:2])

    def _shown(self, batch: EpisodeBatch, cells: Tensor) -> Support:
        padding = self.padding(batch.category, self.config.padding if self.training else self.config.test_padding)
        points = padding.fill(Keypoints(to_shares(batch.support.xy, self.size), batch.support.weight))
        shots = points.weight.shape[1]
        visible = points.weight > 0
        neighbours = self._neighbours(padding.links.repeat_interleave(shots, 0), visible.flatten(0, 1))
        neighbours = neighbours.unflatten(0, (-1, shots))
        union = self.config.query_neighbours == "union" and shots > 1
        return Support(
            cells,
            points.xy,
            points.weight,
            neighbours,
            self._neighbours(padding.links, visible.any(1)) if union else neighbours[:, -1],
            padding,
        )

    def _neighbours(self, links: Tensor, visible: Tensor) -> Tensor:
        if not self.config.hidden_neighbours:
            links = links.masked_fill(~visible[:, None], torch.inf)
        return nearest_on_graph(links, visible, self.config.references)

    def _mine(self, support: Support, cells: Tensor) -> Located:
        shots = support.weight.shape[1]
        where = support.points.flatten(0, 1)
        hidden = support.weight.flatten(0, 1) == 0
        # Attention must rest on something; what a picture without keypoints tells counts for nothing.
        hidden = hidden & ~hidden.all(1, keepdim=True)
        pictures = support.cells.flatten(0, 1)
        code, references = self._code(where), picked(where, support.neighbours.flatten(0, 1))
        evenly = where.new_full((*where.shape[:2], len(self.sizes), 1), 1 / len(self.sizes))
        looks, _ = read(pictures, self.sizes, where[:, :, None, None].expand(*evenly.shape, 2), evenly)
        x = _over_shots(looks, support.weight)
        points, found = torch.full_like(support.points[:, 0], 0.5), list[Tensor]()
        for layer, offset in enumerate(self.offsets):
            if self.support_miners:
                miner = self.support_miners[layer % len(self.support_miners)]
                told = miner(x.repeat_interleave(shots, 0), code, references, pictures, hidden)
                x = _over_shots(told, support.weight)
            miner = self.query_miners[layer % len(self.query_miners)]
            x = miner(x, self._code(points), picked(points, support.query_neighbours), cells)
            found.append(moved(points, offset(x)))
            points = found[-1].detach()
        return Located(torch.stack(found), support.weight.amax(1), support.padding)

    def _code(self, points: Tensor) -> Tensor:
        return self.point_head(points) + self.identifier

    def _initialise(self) -> None:
        for part in (*self.support_miners, *self.query_miners):
            pass

    def losses(self, prediction: Located, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """Distances of real and of mixed keypoints that the query shows, summed over the layers."""
        truth = Keypoints(to_shares(batch.keypoints.xy, self.size)[:, None], batch.keypoints.weight[:, None])
        truth = prediction.padding.fill(truth)
        xy, weight = truth.xy[:, 0], truth.weight[:, 0]
        if self.config.supervise_shown:
            weight = weight * prediction.shown
        mixed = prediction.padding.mixed
        return {
            "location": distance(prediction.points, xy, weight * ~mixed).sum(),
            "mixup": self.config.mixup_weight * distance(prediction.points, xy, weight * mixed).sum(),
        }

    def decode(self, prediction: Located, batch: EpisodeBatch) -> Keypoints:
        """Points of the last layer. The method knows no confidence: it is 1 where some support shows the keypoint."""
        count = batch.support.weight.shape[2]
        return Keypoints(to_pixels(prediction.points[-1], self.size)[:, :count], prediction.shown[:, :count])


def _over_shots(x: Tensor, weight: Tensor) -> Tensor:
    """(B S, K, C) to (B, K, C), the mean over the supports that show the keypoint, 0 where none does."""
    x = x.unflatten(0, weight.shape[:2])
    return (x * weight[..., None]).sum(1) / weight.sum(1).clamp(min=1)[..., None]


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The official names. What there is one attention for each reference for, is one tensor here."""
    renamed: dict[str, Tensor] = {}
    apart = defaultdict[str, dict[int, Tensor]](dict)
    for name, tensor in state.items():
        name = _own_name(name)
        if parts := re.fullmatch(r"(.*\.deform_attn\.)attn_layers\.(\d+)\.(.*)", name):
            apart[parts[1] + parts[3]][int(parts[2])] = tensor
        else:
            renamed[name] = tensor
    for name, tensors in apart.items():
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
