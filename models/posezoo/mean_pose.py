"""The floor of every table: keypoints where they are on average, whatever the picture shows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posebed.config import Section
from posebed.contracts import ModelSpec, Setting, Task
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.space import LogUniform


class Config(Section):
    """There is nothing to choose."""


class MeanPose(nn.Module):
    """Of one skeleton it learns the mean of the training crops; of an episode it takes the mean of the supports."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.size = setting.size[::-1]
        self.mean = nn.Parameter(torch.full((setting.keypoints, 2), 0.5))

    def forward(self, batch: Batch) -> Keypoints:
        """(B, K) in shares of the crop's width and height."""
        if isinstance(batch, EpisodeBatch):
            return self._mean_of_supports(batch.support)
        mean = self.mean.expand(len(batch), -1, -1)
        return Keypoints(mean, torch.ones_like(mean[..., 0]))

    def _mean_of_supports(self, support: Keypoints) -> Keypoints:
        """The crop's centre, with confidence 0, where no support shows the keypoint."""
        weight = support.weight[..., None]
        shown = weight.sum(1)
        mean = (self._shares(support.xy) * weight).sum(1) / shown.clamp(min=1)
        mean = torch.where(shown > 0, mean, 0.5)
        # Engines ask for a gradient, though there is nothing to learn.
        return Keypoints(mean + 0 * self.mean.sum(), support.weight.mean(1))

    def _shares(self, xy: Tensor) -> Tensor:
        return xy / xy.new_tensor(self.size)

    def losses(self, prediction: Keypoints, batch: Batch) -> Mapping[str, Tensor]:
        """Squared distance, mean over the crops that show a keypoint, summed over keypoints: all learn as fast."""
        weight = batch.keypoints.weight
        distance = (prediction.xy - self._shares(batch.keypoints.xy)).square().sum(-1)
        return {"distance": ((distance * weight).sum(0) / weight.sum(0).clamp(min=1)).sum()}

    def decode(self, prediction: Keypoints, batch: Batch) -> Keypoints:
        return Keypoints(prediction.xy * prediction.xy.new_tensor(self.size), prediction.weight)


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC, Task.CATEGORY_AGNOSTIC),
    config=Config,
    model=MeanPose,
    space={"train.lr": LogUniform(0.01, 0.2)},
    train={
        "epochs": 5,
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.0,
        "warmup_steps": 0,
        "decay_at": (0.4, 0.8),
    },
)
