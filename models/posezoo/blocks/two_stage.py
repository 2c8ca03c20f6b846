"""What CapeFormer and its descendants share: keypoints are matched with the query, then refined layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from posebed.config import Positive, Share
from posebed.contracts import Inner, Setting
from posebed.data.codecs import HeatmapCodec
from posebed.on_device import may_follow_data
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice, Space
from posezoo.blocks.coordinates import distance, grid_code, over_keypoints, to_pixels, to_shares
from posezoo.blocks.features import Features, MapConfig, grid
from posezoo.blocks.layout import channels_last
from posezoo.blocks.matching import Fusion, Proposals, expectation, expectation_near_peak, heatmap_error, unseen
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.pooling import mean_over_shots
from posezoo.blocks.refinement import Refinement, RefinementLayer

# B batch, S shots, K keypoints, C channels, h w cells of the map, L layers of refinement

SPACE: Space = {
    "model.decoder_layers": Choice(1, 2, 3, 4, 5, 6),
    "model.feed_forward": Choice(256, 768, 2048),
    "model.heatmap_weight": Choice(0.0, 1.0, 2.0, 5.0, 30.0),
    "model.scaled_start": Choice(False, True),
}
"""What a search may vary of CapeFormer and of GraphCape."""
LEARNING_RATES = Choice(1e-5, 3e-5, 1e-4)
"""Those that a search tries; the published one is the lowest."""
SMALL_LAYERS = {
    "weights": "none",
    "backbone": "test_resnet",
    "width": 32,
    "heads": 4,
    "feed_forward": 64,
    "dropout": 0.0,
}
"""Settings of small forms whose layers are a transformer's."""
SMALL = {**SMALL_LAYERS, "stride": 8, "encoder_layers": 1, "decoder_layers": 2}
"""Settings of their small forms."""


class TwoStageConfig(MapConfig):
    width: Annotated[int, Field(gt=0, multiple_of=4)] = 256
    """Channels of a token."""
    heads: Positive = 8
    """Attention heads."""
    encoder_layers: Positive = 3
    """Layers of the fusion of keypoints and cells."""
    decoder_layers: Positive = 3
    """Layers of the refinement."""
    feed_forward: Positive = 2048
    """Channels within a layer."""
    dropout: Share = 0.1
    """Dropout within the layers."""
    heatmap_weight: Annotated[float, Field(ge=0)] = 2.0
    """Weight of the loss on similarity maps; proposals and layers have weight 1."""
    similarity_channels: Positive | None = None
    """Channels in which keypoints are compared with cells; those of a token unless given."""
    weighting_channels: Positive | None = None
    """Hidden channels of the weighting by which a keypoint chooses among them; half as many as a token's unless
    given."""
    scaled_start: bool = False
    """Divide the first similarities by the square root of the channels. As published they are sums over all channels,
    so large that softmax and sigmoid pass hardly any gradient; short trainings do not recover from that."""


@dataclass(frozen=True)
class Support:
    """What the supports tell: computed once, it serves every query of the episode.

    K counts the keypoints of the batch's largest category, or on an accelerator all slots.
    """

    tokens: Tensor
    """(B, K, C)"""
    mask: Tensor
    """(B, K), 1 where every shot shows the keypoint."""


@dataclass(frozen=True)
class Matched:
    """What the first stage leaves to the second."""

    cells: Tensor
    """(B, h w, C)"""
    keypoints: Tensor
    """(B, K, C)"""
    similarity: Tensor
    """(B, K, h, w), of any range."""


@dataclass(frozen=True)
class Located:
    """Points are shares of the crop."""

    similarity: Tensor
    """(B, K, h, w), of any range."""
    proposal: Tensor
    """(B, K, 2), from the whole similarity map."""
    points: Tensor
    """(L, B, K, 2), the last layer's being the best."""
    mask: Tensor
    """(B, K), 1 where every shot shows the keypoint."""

    def padded(self, keypoints: int) -> Located:
        """The same with so many keypoints; those behind are 0 throughout."""
        more = keypoints - self.mask.shape[1]
        return Located(
            functional.pad(self.similarity, (0, 0, 0, 0, 0, more)),
            functional.pad(self.proposal, (0, 0, 0, more)),
            functional.pad(self.points, (0, 0, 0, more)),
            functional.pad(self.mask, (0, more)),
        )


class TwoStage(nn.Module):
    """Keypoints without a code of their own, and layers that know no links. Subclasses give both."""

    cell_code: Tensor
    counts: Tensor
    """(categories,), the keypoints of each."""

    def __init__(
        self,
        config: TwoStageConfig,
        setting: Setting,
        backbone: Features,
        map_stride: int,
        feed_forward: Callable[[], nn.Module],
        layer: Callable[[int, int, nn.Module, float], RefinementLayer] = RefinementLayer,
        keypoint_channels: int | None = None,
    ) -> None:
        """``map_stride`` is that of the map that keypoints are matched on, which the backbone's is resized to;
        ``feed_forward`` makes the network of a ``layer`` of the refinement, called with tokens (B, K, C) and links;
        ``keypoint_channels`` are those of what describes a keypoint, the backbone's where it is pooled from the
        supports."""
        super().__init__()
        self.size, self.grid, self.heatmap_weight = setting.size, grid(setting.size, map_stride), config.heatmap_weight
        self.names = tuple(category.keypoints for category in setting.categories)
        self.codec = HeatmapCodec(setting.size, grid(setting.size, 4), sigma=2.0)
        width = config.width
        self.backbone = backbone
        self.normalise = Normalise(backbone.mean, backbone.std)
        self.input_proj = nn.Conv2d(backbone.channels[0], width, 1)
        self.query_proj = nn.Linear(keypoint_channels or backbone.channels[0], width)
        self.encoder = Fusion(
            config.encoder_layers,
            width=width,
            heads=config.heads,
            feed_forward=config.feed_forward,
            dropout=config.dropout,
        )
        self.proposal_generator = Proposals(width, config.similarity_channels, config.weighting_channels)
        self.decoder = Refinement(
            config.decoder_layers, width, lambda: layer(width, config.heads, feed_forward(), config.dropout)
        )
        self.register_buffer("cell_code", grid_code(*self.grid, width // 2), persistent=False)
        counts = torch.tensor([len(names) for names in self.names], dtype=torch.int64)
        self.register_buffer("counts", counts, persistent=False)
        self._initialise(config.scaled_start)
        channels_last(self)

    def _initialise(self, scaled_start: bool) -> None:
        """Xavier's uniform weights for all matrices, except the last of each offset head, which stays 0."""
        parts = (self.input_proj, self.query_proj, self.encoder, self.proposal_generator, self.decoder)
        for parameter in (p for part in parts for p in part.parameters() if p.dim() > 1):
            nn.init.xavier_uniform_(parameter)
        for head in self.decoder.offsets:
            nn.init.zeros_(head.get_parameter("6.weight"))
        if scaled_start:
            self.proposal_generator.scale_start()

    def keypoint_code(self, count: int) -> Tensor:
        """(K, C), what tells keypoints apart besides their looks: nothing."""
        return self.cell_code.new_zeros(count, self.cell_code.shape[1])

    def links(self, category: Tensor, support: Support) -> Any:
        """What the layers of the refinement know of the links between keypoints, besides the categories (B,)."""
        return None

    def forward(self, batch: EpisodeBatch) -> Located:
        return self.locate(batch, self.encode_support(batch))

    def encode_support(self, batch: EpisodeBatch) -> Support:
        return self.described(self.maps_of(batch.support_image.flatten(0, 1)), batch)

    def described(self, maps: Tensor, batch: EpisodeBatch) -> Support:
        """The supports' keypoints, from the maps (B S, C, h, w) of their pictures."""
        heatmaps, weight = self.codec.encode(self.shown(batch))
        pooled, mask = mean_over_shots(maps, heatmaps, weight)
        return Support(self.query_proj(pooled), mask)

    def shown(self, batch: EpisodeBatch) -> Keypoints:
        """The supports' keypoints (B, S, K), K being those of the batch's largest category where that is free to know:
        padding is hidden from all other keypoints, so that what lies behind needs no work."""
        padded = batch.support.weight.shape[2]
        longest = int(self.counts[batch.category].max()) if may_follow_data(batch.category) else padded
        return Keypoints(batch.support.xy[:, :, :longest], batch.support.weight[:, :, :longest])

    def locate(self, batch: EpisodeBatch, support: Support) -> Located:
        """The query's side, from its picture and category."""
        return self.refined(self.matched(batch, support), batch, support)

    def matched(self, batch: EpisodeBatch, support: Support) -> Matched:
        cells = self.input_proj(self.maps_of(batch.image)).flatten(2).transpose(1, 2)
        codes = (self.cell_code, self.keypoint_code(support.tokens.shape[1]))
        cells, keypoints = self.encoder(cells, support.tokens, *codes, support.mask == 0)
        return Matched(cells, keypoints, self.proposal_generator(cells, keypoints, self.grid))

    def refined(self, matched: Matched, batch: EpisodeBatch, support: Support) -> Located:
        similarity, codes = matched.similarity, (self.cell_code, self.keypoint_code(support.tokens.shape[1]))
        links, start = self.links(batch.category, support), expectation_near_peak(similarity)
        points, _ = self.decoder(matched.cells, matched.keypoints, *codes, unseen(support.mask), start, links)
        located = Located(similarity, expectation(similarity), points, support.mask)
        return located.padded(batch.keypoints.weight.shape[1])

    def maps_of(self, image: Tensor) -> Tensor:
        (maps,) = self.backbone(self.normalise(image))
        if maps.shape[2:] == self.grid:
            return maps
        return functional.interpolate(maps, self.grid, mode="bilinear", align_corners=False)

    def losses(self, prediction: Located, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """Over the keypoints that the query and every support show, the mean in each query."""
        target, weight = self.codec.encode(batch.keypoints)
        weight = weight * prediction.mask
        truth = to_shares(batch.keypoints.xy, self.size)
        layers = distance(prediction.points, truth, weight)
        losses: dict[str, Tensor] = {}
        if self.heatmap_weight:
            error = heatmap_error(prediction.similarity, target)
            losses["heatmap"] = self.heatmap_weight * over_keypoints(error, weight)
        losses["proposal"] = distance(prediction.proposal, truth, weight)
        losses |= {f"layer{number}": loss for number, loss in enumerate(layers)}
        return losses

    def decode(self, prediction: Located, batch: EpisodeBatch) -> Keypoints:
        """Points of the last layer. The method knows no confidence: the largest similarity, after the sigmoid, stands
        for it, and 0 where a support does not show the keypoint."""
        confidence = prediction.similarity.flatten(2).amax(2).sigmoid() * prediction.mask
        return Keypoints(to_pixels(prediction.points[-1], self.size), confidence)

    def inspect(self, batch: EpisodeBatch) -> Mapping[str, Inner]:
        """Where each keypoint of the first query's category is proposed."""
        names = self.names[int(batch.category[0])]
        return {"similarity": Inner(self(batch).similarity[:, : len(names)].sigmoid(), names)}


def released(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The official names of the head, which CapeFormer and GraphCape share."""
    return {_own_name(name): tensor for name, tensor in state.items()}


def _own_name(name: str) -> str:
    name = name.removeprefix("keypoint_head.").removeprefix("transformer.")
    return name.replace("kpt_branch.", "decoder.offsets.").replace(".mlp.", ".") if name.startswith("kpt_") else name
