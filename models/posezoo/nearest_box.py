"""A second floor, for data whose poses vary little: the pose of the record whose box has the most similar shape.

The distance of two boxes is the difference of log(width / height), before padding. The picture is not looked at and
nothing is trained. Every keypoint is taken from the nearest training record that labels it, in an episode from the
nearest support; records at the same distance are averaged. In float64, in shares of the exact crop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from posebed.config import Section
from posebed.contracts import ModelSpec, Setting, Task
from posebed.pose import Batch, EpisodeBatch, Keypoints

# B batch, U distinct shapes of boxes, K keypoints


class Config(Section):
    """There is nothing to choose."""


class NearestBox(nn.Module):
    size: Tensor

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor(setting.size[::-1], dtype=torch.float64), persistent=False)
        # Empty until computed, and for good in runs that are shown supports.
        self.register_buffer("shape", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("total", torch.zeros(0, 0, 2, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(0, 0, dtype=torch.float64))

    def compute(self, poses: Keypoints, aspect: Tensor) -> None:
        """Keep N training poses (N, K) in crop pixels, summed over records whose boxes have the same shape (N,)."""
        self.shape, place = torch.unique(aspect.log(), return_inverse=True)
        weight = poses.weight.double()
        shares = poses.xy.double() / self.size * weight[..., None]
        self.total = shares.new_zeros(len(self.shape), *shares.shape[1:]).index_add_(0, place, shares)
        self.count = weight.new_zeros(len(self.shape), weight.shape[1]).index_add_(0, place, weight)

    def forward(self, batch: Batch) -> Keypoints:
        """(B, K) in shares of the crop's width and height; the centre, with confidence 0, where no record or support
        shows the keypoint.

        Raises:
            ValueError: the batch was made without boxes.
        """
        if batch.aspect is None:
            raise ValueError("the nearest box must be given batches with the aspect of their boxes, but got none")
        shape = batch.aspect.log()
        if not isinstance(batch, EpisodeBatch):
            return _nearest((shape[:, None] - self.shape).abs(), self.total, self.count)
        assert batch.support_aspect is not None
        weight = batch.support.weight.double()
        shares = batch.support.xy.double() / self.size * weight[..., None]
        return _nearest((shape[:, None] - batch.support_aspect.log()).abs(), shares, weight)

    def decode(self, prediction: Keypoints, batch: Batch) -> Keypoints:
        return Keypoints(prediction.xy * self.size, prediction.weight)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # As many shapes and keypoints as were kept.
        for name in ("shape", "total", "count"):
            setattr(self, name, torch.empty_like(state_dict.get(prefix + name, getattr(self, name))))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _nearest(distance: Tensor, total: Tensor, count: Tensor) -> Keypoints:
    """From distances (B, U), the mean of the nearest points, keypoint by keypoint.

    Args:
        total: (U, K, 2) or (B, U, K, 2), sums of points.
        count: (U, K) or (B, U, K), how many points each sum has.
    """
    if torch.compiler.is_exporting():  # where there may be any number of keypoints
        return _nearest_of_all(distance, total, count)
    # One at a time: (B, U, K) would be large.
    places = range(count.shape[-1])
    each = [_nearest_of_all(distance, total[..., k : k + 1, :], count[..., k : k + 1]) for k in places]
    return Keypoints(torch.cat([k.xy for k in each], 1), torch.cat([k.weight for k in each], 1))


def _nearest_of_all(distance: Tensor, total: Tensor, count: Tensor) -> Keypoints:
    """As ``_nearest``, of all keypoints at once."""
    labelled = distance[..., None].masked_fill(count == 0, float("inf"))
    nearest = labelled.min(1, keepdim=True).values
    among = ((labelled == nearest) & labelled.isfinite()).double()
    number = (among * count).sum(1)
    mean = (among[..., None] * total).sum(1) / number.clamp(min=1)[..., None]
    return Keypoints(torch.where(number[..., None] > 0, mean, 0.5), (number > 0).double())


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC, Task.CATEGORY_AGNOSTIC),
    config=Config,
    model=NearestBox,
    compute=NearestBox.compute,
    space={},
    floor=True,
)
