"""A network whose weights are fitted to the supports of an episode before they answer its queries, then thrown away.

Its channels are the keypoints by their index within a category. How weights are fitted stands in the models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from posebed.config import Positive
from posebed.contracts import Setting
from posebed.data.codecs import HeatmapCodec
from posebed.pose import EpisodeBatch, Keypoints
from posezoo.blocks import heatmap
from posezoo.blocks.coordinates import over_keypoints
from posezoo.blocks.deconv import heatmap_head
from posezoo.blocks.features import Features, MapConfig, grid
from posezoo.blocks.layout import channels_last
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.precision import at_least_single

# B batch, S shots, K keypoints, h w heatmap

Weights = Mapping[str, Tensor]
"""Of the network, by the names of its parameters."""

SMALL = {"weights": "none", "backbone": "test_resnet", "stride": 8, "deconvs": 1, "channels": 32}
"""Settings of the small forms."""
ANSWERS_LEARN = dict.fromkeys(
    ("an_answer_is_one_graph_of_fixed_shapes", "an_answer_never_waits_for_the_device"),
    "learns anew from the supports of an episode, which the host tells apart by a digest of their content",
)
"""Exceptions of models whose answers do."""
PARTS = {"final": "head.final_layer.", "head": "head.", "all": ""}
"""What an episode may change, and how the names of its parameters begin."""


class AdaptiveConfig(MapConfig):
    deconvs: Annotated[int, Field(ge=0)] = 3
    """Doublings of the resolution; the heatmaps have stride ``stride`` / 2^``deconvs``."""
    channels: Positive = 256
    """Channels of the layers that double the resolution."""
    part: Literal["final", "head", "all"] = "all"
    """What is fitted to an episode: the last convolution, all behind the backbone, or everything."""
    inner_lr: Annotated[float, Field(gt=0)] = 0.01
    """Learning rate of that fitting."""


@dataclass(frozen=True)
class Supports:
    """Those of one episode, in an order that their content decides: whatever order they come in, they are the same."""

    image: Tensor
    """(S, 3, H, W)"""
    keypoints: Keypoints
    """(S, K)"""
    digests: tuple[int, ...]
    """A number for each, of its picture and its keypoints of some weight."""


def supports_of(batch: EpisodeBatch) -> list[Supports]:
    """One for each query."""
    support = batch.support
    known = torch.where(support.weight[..., None] > 0, support.xy, 0.0)
    content = [each.cpu().numpy() for each in (batch.support_image, known, support.weight)]
    supports: list[Supports] = []
    for row in range(len(batch)):
        digests = [_digest(*(each[row, shot] for each in content)) for shot in range(len(content[0][row]))]
        order = sorted(range(len(digests)), key=digests.__getitem__)
        points = Keypoints(known[row, order], support.weight[row, order])
        supports.append(Supports(batch.support_image[row, order], points, tuple(sorted(digests))))
    return supports


def _digest(*arrays: np.ndarray) -> int:
    content = blake2b(digest_size=8)
    for array in arrays:
        content.update(array.tobytes())
    return int.from_bytes(content.digest())


class Network(nn.Module):
    """SimpleBaseline's: pictures (B, 3, H, W) in 0..255 to heatmaps (B, K, h, w)."""

    def __init__(self, config: AdaptiveConfig, setting: Setting) -> None:
        super().__init__()
        self.backbone = Features(config.backbone, config.weights, (config.stride,), setting.size)
        self.normalise = Normalise(self.backbone.mean, self.backbone.std)
        self.head = heatmap_head(self.backbone.channels[0], config.channels, config.deconvs, setting.keypoints)
        channels_last(self)

    def forward(self, image: Tensor) -> Tensor:
        return at_least_single(self.head(self.backbone(self.normalise(image))[0]))


class Adaptive(nn.Module, ABC):
    """Subclasses say what weights become on an episode's supports. The stored ones stay as they are."""

    def __init__(self, config: AdaptiveConfig, setting: Setting) -> None:
        super().__init__()
        height, width = grid(setting.size, config.stride)
        self.codec = HeatmapCodec(setting.size, (height << config.deconvs, width << config.deconvs), sigma=2.0)
        self.network = Network(config, setting)
        self.part, self.inner_lr = PARTS[config.part], config.inner_lr
        self._last: tuple[tuple[int, ...], Weights] | None = None

    @abstractmethod
    def fitted(self, supports: Supports) -> Weights:
        """Detached weights for the queries of an episode."""

    def train(self, mode: bool = True) -> Self:
        """The mode; what was fitted to the last episode is forgotten, as stored weights may change before the next."""
        self._last = None
        return super().train(mode)

    def query_heatmaps(self, batch: EpisodeBatch) -> Tensor:
        """Heatmaps (B, K, h, w) of the queries, by weights fitted once for all queries of the same supports.

        The last episode's are kept for the next batch, which may begin with more of its queries.
        """
        supports = supports_of(batch)
        rows: dict[tuple[int, ...], list[int]] = {}
        for row, each in enumerate(supports):
            rows.setdefault(each.digests, []).append(row)
        heatmaps: dict[int, Tensor] = {}
        for queries in rows.values():
            weights = self._fitted_once(supports[queries[0]])
            heatmaps |= dict(zip(queries, self.by(weights, batch.image[queries]), strict=True))
        return torch.stack([heatmaps[row] for row in range(len(batch))])

    def _fitted_once(self, supports: Supports) -> Weights:
        if self._last is None or self._last[0] != supports.digests:
            # Small steps get lost in half precision.
            with torch.enable_grad(), torch.autocast(supports.image.device.type, enabled=False):
                self._last = supports.digests, self.fitted(supports)
        return self._last[1]

    def by(self, weights: Weights, image: Tensor) -> Tensor:
        """The network's heatmaps with other weights."""
        return functional_call(self.network, dict(weights), (image,))

    def free(self, weights: Weights) -> dict[str, Tensor]:
        """Those that an episode may change."""
        return {name: tensor for name, tensor in weights.items() if name.startswith(self.part)}

    def error(self, heatmaps: Tensor, keypoints: Keypoints) -> Tensor:
        """Squared error of heatmaps (B, K, h, w), mean over cells, labelled keypoints and pictures: padding does not
        slow learning down."""
        target, weight = self.codec.encode(keypoints)
        return over_keypoints((heatmaps - target).square().mean((2, 3)), weight)

    def decoded(self, heatmaps: Tensor, batch: EpisodeBatch) -> Keypoints:
        """The heatmaps' peaks; the confidence is 0 where no support shows the keypoint."""
        points = heatmap.decode(self.codec, heatmaps)
        return Keypoints(points.xy, points.weight * (batch.support.weight.amax(1) > 0))
