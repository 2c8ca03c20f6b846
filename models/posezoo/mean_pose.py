"""The floor of every table: each keypoint at its mean position in the box, whatever the picture shows.

Nothing is trained. Of one skeleton it is the mean over the labelled training records, in shares of the exact crop; in
an episode the mean over the supports. Both are computed in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from posebed.config import Section
from posebed.contracts import ModelSpec, Setting, Task
from posebed.pose import Batch, EpisodeBatch, Keypoints


class Config(Section):
    """There is nothing to choose."""


class MeanPose(nn.Module):
    size: Tensor

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor(setting.size[::-1], dtype=torch.float64), persistent=False)
        # Empty until computed, and for good in runs that are shown supports.
        self.register_buffer("mean", torch.zeros(0, 2, dtype=torch.float64))
        self.register_buffer("labelled", torch.zeros(0, dtype=torch.bool))

    def compute(self, poses: Keypoints, aspect: Tensor) -> None:
        """The mean of N labelled training poses (N, K) in crop pixels; their boxes' shapes do not matter."""
        self.mean, share = _mean(poses.xy.double() / self.size, poses.weight.double())
        self.labelled = share > 0

    def forward(self, batch: Batch) -> Keypoints:
        """(B, K) in shares of the crop's width and height; the centre, with confidence 0, where no record or support
        shows the keypoint."""
        if isinstance(batch, EpisodeBatch):
            return Keypoints(*_mean(batch.support.xy.double() / self.size, batch.support.weight.double(), 1))
        count = batch.image.shape[0]
        return Keypoints(self.mean.expand(count, -1, -1), self.labelled.double().expand(count, -1))

    def decode(self, prediction: Keypoints, batch: Batch) -> Keypoints:
        return Keypoints(prediction.xy * self.size, prediction.weight)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # As many keypoints as were computed.
        for name in ("mean", "labelled"):
            setattr(self, name, torch.empty_like(state_dict.get(prefix + name, getattr(self, name))))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _mean(xy: Tensor, weight: Tensor, over: int = 0) -> tuple[Tensor, Tensor]:
    """The mean of the labelled points (..., K, 2) along one axis, 0.5 where there are none; and the labelled share."""
    count = weight.sum(over)[..., None]
    mean = (xy * weight[..., None]).sum(over) / count.clamp(min=1)
    return torch.where(count > 0, mean, 0.5), weight.mean(over)


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC, Task.CATEGORY_AGNOSTIC),
    config=Config,
    model=MeanPose,
    compute=MeanPose.compute,
    space={},
    floor=True,
)
