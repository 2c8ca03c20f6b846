"""TemplateNet: what a keypoint looks like in the supports is sought in the query, cell by cell. Category-agnostic."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posebed.config import Positive, Section
from posebed.contracts import ModelSpec, Setting, Task
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice

STRIDE = 4
"""Crop pixels per cell."""

# B batch, S shots, K keypoints, C channels, h w cells


class Config(Section):
    width: Positive = 64
    """C, the channels of every layer."""
    sharpness: Positive = 10
    """By which similarities are multiplied before they are turned into shares of the cells."""


class TemplateNet(nn.Module):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.sharpness = config.sharpness
        self.features = nn.Sequential(
            layer(3, config.width, stride=2),
            layer(config.width, config.width, stride=2),
            nn.Conv2d(config.width, config.width, 3, padding=1),
        )

    def forward(self, batch: EpisodeBatch) -> Tensor:
        """(B, K, h, w) shares that sum to 1 over the cells."""
        supports = self.look(batch.support_image.flatten(0, 1)).unflatten(0, batch.support_image.shape[:2])
        spread = around(batch.support.xy, supports.shape[-2:]) * batch.support.weight[..., None, None]
        templates = torch.einsum("bskhw,bschw->bkc", spread, supports)
        templates = nn.functional.normalize(templates, dim=-1)
        similarity = torch.einsum("bkc,bchw->bkhw", templates, self.look(batch.image))
        return (self.sharpness * similarity.float()).flatten(2).softmax(-1).unflatten(2, similarity.shape[-2:])

    def look(self, image: Tensor) -> Tensor:
        """(..., C, h, w) features of length 1."""
        return nn.functional.normalize(self.features((image.float() - 127.5) / 64), dim=1)

    def losses(self, prediction: Tensor, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """The distance, in cells, of the keypoints that query and supports show."""
        weight = batch.keypoints.weight * batch.support.weight.amax(1)
        error = (centre(prediction) - batch.keypoints.xy).norm(dim=-1) / STRIDE
        return {"distance": (error * weight).sum() / weight.sum().clamp_min(1)}

    def decode(self, prediction: Tensor, batch: EpisodeBatch) -> Keypoints:
        return Keypoints(centre(prediction), prediction.flatten(2).amax(-1))


def layer(given: int, channels: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(given, channels, 5, stride, padding=2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(1, channels), nn.ReLU())


def cells(size: torch.Size, device: torch.device) -> Tensor:
    """(h, w, 2) crop pixels of the cells' centres, made on the device: a copy would make it wait."""
    rows, columns = (torch.arange(n, device=device, dtype=torch.float32) for n in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return (torch.stack([x, y], -1) + 0.5) * STRIDE - 0.5


def around(xy: Tensor, size: torch.Size) -> Tensor:
    """(B, S, K, h, w) weights of the cells around points, one cell wide."""
    away = xy[..., None, None, :] - cells(size, xy.device)
    return (-away.square().sum(-1) / (2 * STRIDE**2)).exp()


def centre(shares: Tensor) -> Tensor:
    """(B, K, 2) crop pixels."""
    return shares.flatten(2) @ cells(shares.shape[-2:], shares.device).flatten(0, 1)


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=TemplateNet,
    space={"model.width": Choice(32, 64, 128), "model.sharpness": Choice(5, 10, 20)},
    answering=("width",),
    train={"epochs": 20, "optimizer": "adamw", "lr": 3e-3, "batch_size": 16},
    small={"width": 16},
    contract=1,
)
