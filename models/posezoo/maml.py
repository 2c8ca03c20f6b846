"""MAML on heatmaps: initial weights from which a few gradient steps on an episode's supports adapt to its queries.

The method is Finn et al.'s (2017). MP-100's tables quote it without a definition: this is our re-implementation, on
SimpleBaseline's network with a channel for each index of a keypoint. Batch norm takes its running statistics
throughout, so that an episode's weights see no other episode; in training one plain pass over the batch moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import grad

from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice, LogUniform
from posezoo.blocks.adaptation import ANSWERS_LEARN, SMALL, Adaptive, AdaptiveConfig, Supports, Weights
from posezoo.blocks.recipes import EPISODES

# B batch, K keypoints, h w heatmap

Steps = Annotated[int, Field(ge=0)]


class Config(AdaptiveConfig):
    steps: Steps = 3
    """Gradient steps on the supports, in training."""
    test_steps: Steps = 10
    """Gradient steps on the supports, in evaluation."""
    second_order: bool = False
    """Differentiate through the steps, instead of treating their gradients as constants."""


class MAML(Adaptive):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__(config, setting)
        self.steps, self.test_steps, self.second_order = config.steps, config.test_steps, config.second_order

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self._batch_norm(counting=False)
        return self

    def _batch_norm(self, counting: bool) -> None:
        for layer in self.network.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.SyncBatchNorm):
                layer.train(counting)

    def forward(self, batch: EpisodeBatch) -> Tensor:
        """Heatmaps (B, K, h, w) of the queries."""
        if not self.training:
            return self.query_heatmaps(batch)
        self._count(torch.cat([batch.image, batch.support_image.flatten(0, 1)]))
        start = dict(self.network.named_parameters())
        of = zip(batch.support_image, batch.support.xy, batch.support.weight, strict=True)
        fitted = [self.descended(start, image, Keypoints(xy, weight), self.steps) for image, xy, weight in of]
        return torch.cat([self.by(weights, image[None]) for weights, image in zip(fitted, batch.image, strict=True)])

    @torch.no_grad()
    def _count(self, image: Tensor) -> None:
        """Move batch norm's running statistics. What autocast casts here has no gradients, so it must not be kept."""
        kind = image.device.type
        lowered, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        self._batch_norm(counting=True)
        with torch.autocast(kind, dtype, enabled=lowered, cache_enabled=False):
            self.network(image)
        self._batch_norm(counting=False)

    def fitted(self, supports: Supports) -> Weights:
        start = _constant(dict(self.network.named_parameters()))
        return self.descended(start, supports.image, supports.keypoints, self.test_steps)

    def descended(self, weights: Weights, image: Tensor, keypoints: Keypoints, steps: int) -> Weights:
        """So many steps of gradient descent on the pictures (S, 3, H, W) and keypoints (S, K) of supports."""
        second_order = self.second_order and self.training
        for _ in range(steps):
            slopes = self._slopes(weights if second_order else _constant(weights), image, keypoints)
            weights = {**weights, **{name: weights[name] - self.inner_lr * slope for name, slope in slopes.items()}}
        return weights

    def _slopes(self, weights: Weights, image: Tensor, keypoints: Keypoints) -> Weights:
        """The gradient of the error on supports, for the weights that an episode may change."""
        return grad(lambda free: self.error(self.by({**weights, **free}, image), keypoints))(self.free(weights))

    def losses(self, prediction: Tensor, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """Over the keypoints that the query and every support show."""
        weight = batch.keypoints.weight * batch.support.weight.prod(1)
        return {"heatmap": self.error(prediction, Keypoints(batch.keypoints.xy, weight))}

    def decode(self, prediction: Tensor, batch: EpisodeBatch) -> Keypoints:
        return self.decoded(prediction, batch)


def _constant(weights: Weights) -> Weights:
    return {name: tensor.detach() for name, tensor in weights.items()}


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=MAML,
    space={
        "model.inner_lr": Choice(1e-3, 3e-3, 1e-2, 3e-2),
        "model.steps": Choice(1, 3, 5),
        "model.test_steps": Choice(5, 10, 20),
        "model.part": Choice("final", "head", "all"),
        "model.second_order": Choice(False, True),
        "train.lr": LogUniform(1e-5, 1e-3),
    },
    paper=Paper(
        "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
        2017,
        "arXiv:1703.03400",
    ),
    answering=("backbone", "weights"),
    train={**EPISODES, "lr": 1e-4},
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    # Fitted weights are made from whole parameters, which stage 3 scatters.
    max_zero=2,
    small={**SMALL, "part": "head", "steps": 1, "test_steps": 2},
    not_exported="is trained anew on the supports of every episode",
    exceptions={
        **ANSWERS_LEARN,
        "the_order_of_the_keypoints_does_not_matter": "each keypoint has an output with weights of its own",
    },
)
