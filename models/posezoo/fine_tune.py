"""Fine-tune: a network trained on all training categories is trained on an episode's supports before it predicts.

MP-100's tables quote it without a definition: this is our re-implementation. SimpleBaseline's network has a channel for
each index of a keypoint; queries and supports of a batch alike are its training pictures. In evaluation a copy of its
weights, batch norm keeping its running statistics, takes some steps on the supports, each time turned and scaled anew
as training pictures are. The draws depend on the seed and the supports alone: an episode's answer never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from posebed.config import AugmentConfig
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.data.augment import augmentation, draw, warp_torch
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice, LogUniform
from posezoo.blocks.adaptation import ANSWERS_LEARN, SMALL, Adaptive, AdaptiveConfig, Supports, Weights

# B batch, S shots, K keypoints, h w heatmap

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


class Config(AdaptiveConfig):
    part: Literal["final", "head", "all"] = "head"
    """What is fitted to an episode: the last convolution, all behind the backbone, or everything."""
    inner_lr: Annotated[float, Field(gt=0)] = 1e-4
    """Learning rate of that fitting."""
    steps: Annotated[int, Field(ge=0)] = 50
    """Optimizer steps on the supports of an episode."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimizer of those steps."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Scale augmentation of the supports in those steps, as in ``AugmentConfig``."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Rotation augmentation of the supports, likewise."""
    seed: int = 0
    """Seed of that augmentation."""


class FineTune(Adaptive):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__(config, setting)
        self.steps, self.optimizer, self.seed = config.steps, OPTIMIZERS[config.optimizer], config.seed
        self.augment = AugmentConfig(scale=config.scale, rotation=config.rotation)

    def forward(self, batch: EpisodeBatch) -> Tensor:
        """Heatmaps (B, 1, K, h, w) of the queries; in training (B, 1 + S, K, h, w), of the supports as well."""
        if not self.training:
            return self.query_heatmaps(batch)[:, None]
        images = torch.cat([batch.image[:, None], batch.support_image], 1)
        return self.network(images.flatten(0, 1)).unflatten(0, images.shape[:2])

    def fitted(self, supports: Supports) -> Weights:
        stored = {name: tensor.detach() for name, tensor in self.network.named_parameters()}
        free = {name: tensor.clone().requires_grad_() for name, tensor in self.free(stored).items()}
        optimizer = self.optimizer(free.values(), lr=self.inner_lr)
        for image, keypoints in self._varied(supports):
            optimizer.zero_grad()
            self.error(self.by({**stored, **free}, image), keypoints).backward()
            optimizer.step()
        return {**stored, **{name: tensor.detach() for name, tensor in free.items()}}

    def _varied(self, supports: Supports) -> Iterator[tuple[Tensor, Keypoints]]:
        """Pictures and keypoints of each step."""
        size, nowhere, half = self.codec.size, np.zeros((self.steps, 1, 2)), np.zeros((self.steps, 1))
        draws = [draw(np.random.default_rng([self.seed, digest]), self.steps) for digest in supports.digests]
        made = [augmentation(self.augment, each, size, nowhere, half).affine for each in draws]
        crops = supports.image.permute(0, 2, 3, 1)
        for affine in np.stack(made, 1):
            matrix = torch.from_numpy(affine).to(supports.keypoints.xy)
            xy = supports.keypoints.xy @ matrix[..., :2].mT + matrix[:, None, :, 2]
            yield warp_torch(crops, affine, size), Keypoints(xy, supports.keypoints.weight)

    def losses(self, prediction: Tensor, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        shown = prediction.shape[1]
        xy = torch.cat([batch.keypoints.xy[:, None], batch.support.xy], 1)[:, :shown]
        weight = torch.cat([batch.keypoints.weight[:, None], batch.support.weight], 1)[:, :shown]
        return {"heatmap": self.error(prediction.flatten(0, 1), Keypoints(xy.flatten(0, 1), weight.flatten(0, 1)))}

    def decode(self, prediction: Tensor, batch: EpisodeBatch) -> Keypoints:
        return self.decoded(prediction[:, 0], batch)


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=FineTune,
    space={
        "model.inner_lr": LogUniform(1e-5, 1e-2),
        "model.steps": Choice(10, 20, 50, 100),
        "model.part": Choice("final", "head", "all"),
        "train.lr": LogUniform(1e-4, 1e-3),
    },
    paper=Paper(
        "Pose for Everything: Towards Category-Agnostic Pose Estimation",
        2022,
        "arXiv:2207.10387",
    ),
    answering=("backbone", "weights"),
    train={
        "epochs": 210,
        "batch_size": 64,
        "optimizer": "adam",
        "lr": 5e-4,
        "warmup_steps": 500,
        "decay_at": (170 / 210, 200 / 210),
        "augment": {"scale": 0.15, "rotation": 15.0},
    },
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    # Fitted weights are made from whole parameters, which stage 3 scatters.
    max_zero=2,
    small={**SMALL, "steps": 2},
    not_exported="is trained anew on the supports of every episode",
    exceptions={
        **ANSWERS_LEARN,
        "the_order_of_the_keypoints_does_not_matter": "each keypoint has an output with weights of its own",
    },
)
