"""sketch: a small network with one map per keypoint, whose centre of mass is the answer.

Put your method in its place.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posebed.config import Positive, Section
from posebed.contracts import ModelSpec, Setting, Task
from posebed.pose import Batch, Keypoints
from posebed.space import Choice

STRIDE = 4
"""Crop pixels per cell of a map."""


class Config(Section):
    """The model's own parameters. A run sets them under ``config:``, a search varies them by ``space`` below."""

    width: Positive = 64
    """Channels of every layer."""


class Sketch(nn.Module):
    """Shapes as in ``posebed.pose``; h w are the cells of a map."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            layer(3, config.width, stride=2),
            layer(config.width, config.width, stride=2),
            layer(config.width, config.width),
            nn.Conv2d(config.width, setting.keypoints, 1),
        )

    def forward(self, batch: Batch) -> Tensor:
        """Maps (B, K, h, w); the model normalises pictures itself."""
        return self.layers((batch.image.float() - 127.5) / 64)

    def losses(self, prediction: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """The mean distance of the keypoints that are labelled, in cells."""
        weight = batch.keypoints.weight
        error = (centre(prediction) - batch.keypoints.xy).norm(dim=-1) / STRIDE
        return {"distance": (error * weight).sum() / weight.sum().clamp_min(1)}

    def decode(self, prediction: Tensor, batch: Batch) -> Keypoints:
        """The centres of mass, with the largest share that a cell has as confidence."""
        return Keypoints(centre(prediction), shares(prediction).amax(-1))


def layer(given: int, channels: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(given, channels, 5, stride, padding=2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(1, channels), nn.ReLU())


def shares(maps: Tensor) -> Tensor:
    """(B, K, h w) that sum to 1 over the cells."""
    return maps.float().flatten(2).softmax(-1)


def centre(maps: Tensor) -> Tensor:
    """(B, K, 2) crop pixels."""
    height, width = maps.shape[2:]
    rows, columns = (torch.arange(n, device=maps.device, dtype=torch.float32) for n in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    cells = torch.stack([x, y], -1).flatten(0, 1)
    return (shares(maps) @ cells + 0.5) * STRIDE - 0.5


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC,),
    config=Config,
    model=Sketch,
    space={"model.width": Choice(32, 64, 128)},
    answering=("width",),
    train={"epochs": 20, "optimizer": "adamw", "lr": 1e-3},
    small={"width": 16},
    contract=1,
)
