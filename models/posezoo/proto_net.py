"""ProtoNet on keypoints: a query's cells are compared with the mean feature of each keypoint on the supports.

The idea is Snell et al.'s (2017); its form for keypoints, which MP-100's tables quote without a definition, is our
own re-implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from posebed.config import Positive
from posebed.contracts import Inner, ModelSpec, Paper, Setting, Task
from posebed.data.codecs import HeatmapCodec
from posebed.on_device import numbers
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice, LogUniform
from posezoo.blocks.deconv import deconvolutions
from posezoo.blocks.features import Features, MapConfig, grid
from posezoo.blocks.layout import channels_last
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.peaks import mean_near, peak_of
from posezoo.blocks.pooling import support_pooling
from posezoo.blocks.precision import at_least_single

REACH = 2
"""Cells around the likeliest that the soft-arg-max looks at."""

# B batch, S shots, K keypoints, C channels, h w cells of the map that is compared


class Config(MapConfig):
    deconvs: Annotated[int, Field(ge=0)] = 0
    """Doublings of the map's resolution before cells are compared."""
    channels: Positive = 256
    """Channels of the layers that double the resolution."""
    distance: Literal["l2", "cosine"] = "l2"
    """How cells and prototypes are compared: squared Euclidean distance, mean over channels (l2), or
    cosine similarity."""
    temperature: Annotated[float, Field(gt=0)] = 0.1
    """Temperature by which scores are divided."""
    sigma: Annotated[float, Field(gt=0)] = 0.7
    """Standard deviation of the target's Gaussian, in cells."""


class ProtoNet(nn.Module):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        grid(setting.size, config.stride)
        self.distance, self.temperature, self.sigma = config.distance, config.temperature, config.sigma
        self.pixels = config.stride / 2**config.deconvs
        self.names = tuple(category.keypoints for category in setting.categories)
        self.backbone = Features(config.backbone, config.weights, (config.stride,))
        self.normalise = Normalise(self.backbone.mean, self.backbone.std)
        self.deconvs = deconvolutions(self.backbone.channels[0], config.channels, config.deconvs)
        # Supports are pooled as in the models that regress keypoints: under heatmaps of quarter size.
        self.support = HeatmapCodec(setting.size, grid(setting.size, 4), sigma=2.0)
        channels_last(self)

    def forward(self, batch: EpisodeBatch) -> Tensor:
        """Scores (B, K, h, w), of which the softmax over cells says where the keypoint is."""
        # All pictures in one batch: so batch norm sees supports and queries alike.
        maps = self._maps(torch.cat([batch.image, batch.support_image.flatten(0, 1)]))
        queries = batch.image.shape[0]
        return self._scores(maps[:queries], self._prototypes(maps[queries:], batch.support))

    def encode_support(self, batch: EpisodeBatch) -> Tensor:
        """The prototypes (B, K, C)."""
        return self._prototypes(self._maps(batch.support_image.flatten(0, 1)), batch.support)

    def locate(self, batch: EpisodeBatch, support: Tensor) -> Tensor:
        return self._scores(self._maps(batch.image), support)

    def _maps(self, images: Tensor) -> Tensor:
        return at_least_single(self.deconvs(self.backbone(self.normalise(images))[0]))

    def _prototypes(self, maps: Tensor, support: Keypoints) -> Tensor:
        """(B, K, C), the mean over the shots that show a keypoint; 0 where none does. ``maps`` are (B S, C, h, w)."""
        flat = Keypoints(support.xy.flatten(0, 1), support.weight.flatten(0, 1))
        heatmaps, weight = self.support.encode(flat)
        shots = support.weight.shape[:2]
        with torch.autocast(maps.device.type, enabled=False):
            pooled = support_pooling(maps, heatmaps).unflatten(0, shots)
        weight = weight.unflatten(0, shots)[..., None]
        return (pooled * weight).sum(1) / weight.sum(1).clamp(min=1)

    def _scores(self, query: Tensor, prototypes: Tensor) -> Tensor:
        if self.distance == "cosine":
            query, prototypes = functional.normalize(query, dim=1), functional.normalize(prototypes, dim=2)
        # Distances are small differences of large products: half precision would not do.
        with torch.autocast(query.device.type, enabled=False):
            product = torch.einsum("bchw,bkc->bkhw", query, prototypes)
        if self.distance == "cosine":
            return product / self.temperature
        lengths = query.square().sum(1)[:, None] + prototypes.square().sum(2)[:, :, None, None]
        return (2 * product - lengths) / (query.shape[1] * self.temperature)

    def losses(self, prediction: Tensor, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """Cross-entropy against a Gaussian, mean over the keypoints that query and every support show."""
        height, width = prediction.shape[-2:]
        cell = (batch.keypoints.xy + 0.5) / self.pixels - 0.5
        x, y = (
            -((torch.arange(n, device=cell.device) - cell[..., axis, None]) ** 2) / (2 * self.sigma**2)
            for axis, n in ((0, width), (1, height))
        )
        target = (y[..., :, None] + x[..., None, :]).flatten(2).softmax(2)
        limit = numbers([width, height], cell) - 0.5
        inside = ((cell > -0.5) & (cell < limit)).all(-1)
        weight = batch.keypoints.weight * batch.support.weight.prod(1) * inside
        entropy = -(target * prediction.flatten(2).log_softmax(2)).sum(2)
        return {"location": (entropy * weight).sum() / weight.sum().clamp(min=1)}

    def decode(self, prediction: Tensor, batch: EpisodeBatch) -> Keypoints:
        """The mean position near the likeliest cell; the confidence is the probability of being there.

        It is 0 where no support shows the keypoint.
        """
        probability = at_least_single(prediction).flatten(2).softmax(2).view(prediction.shape)
        cell, total = mean_near(probability, peak_of(probability), REACH)
        shown = batch.support.weight.amax(1) > 0
        return Keypoints((cell + 0.5) * self.pixels - 0.5, total.clamp(max=1) * shown)

    def inspect(self, batch: EpisodeBatch) -> Mapping[str, Inner]:
        """Where each keypoint of the first query's category may be, after the softmax."""
        names = self.names[int(batch.category[0])]
        scores = self(batch)[:, : len(names)]
        return {"probability": Inner(scores.flatten(2).softmax(2).view_as(scores), names)}


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=ProtoNet,
    space={
        "model.stride": Choice(16, 32),
        "model.distance": Choice("l2", "cosine"),
        "model.temperature": Choice(0.05, 0.1, 0.5),
        "train.lr": LogUniform(1e-5, 1e-3),
    },
    paper=Paper(
        "Prototypical Networks for Few-shot Learning",
        2017,
        "arXiv:1703.05175",
    ),
    answering=("backbone", "weights"),
    train={
        "epochs": 200,
        "batch_size": 16,
        "lr": 1e-4,
        "warmup_steps": 1000,
        "decay_at": (0.8, 0.9),
        "augment": {"scale": 0.15, "rotation": 15.0},
    },
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    small={"weights": "none", "backbone": "test_resnet", "stride": 8},
)
