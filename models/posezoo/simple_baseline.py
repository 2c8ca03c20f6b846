"""SimpleBaseline: an image classifier's last map, doubled in resolution until it can hold keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor

from posebed.config import Positive
from posebed.contracts import Claim, ModelSpec, Paper, Setting, Task
from posebed.space import Choice, LogUniform
from posezoo.blocks.deconv import heatmap_head
from posezoo.blocks.features import Features, grid
from posezoo.blocks.heatmap import PUBLISHED_TRAINING, HeatmapConfig, HeatmapModel
from posezoo.blocks.normalise import Normalise


class Config(HeatmapConfig):
    backbone: str = "resnet50.tv_in1k"
    """A model of timm, with or without the tag of its weights."""
    weights: str = "timm"
    """ImageNet weights: ``timm``, another of timm's tags, ``builtin`` (for ``tf_efficientnet_lite0``), the path of
    a file, or ``none``."""
    stride: Positive = 32
    """Of the backbone's map that the decoder starts from."""
    deconvs: Annotated[int, Field(ge=0)] = 3
    """Doublings of the resolution; the heatmaps have stride ``stride`` / 2^``deconvs``."""
    channels: Positive = 256
    """Of the decoder."""


def build(config: Config, setting: Setting) -> HeatmapModel:
    height, width = grid(setting.size, config.stride)
    heatmap_size = (height << config.deconvs, width << config.deconvs)
    backbone = Features(config.backbone, config.weights, (config.stride,))
    head = heatmap_head(backbone.channels[0], config.channels, config.deconvs, setting.keypoints)
    return HeatmapModel(Normalise(backbone.mean, backbone.std), backbone, head, heatmap_size, config, setting)


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """mmpose's names, of both of its generations."""
    return {
        name.replace("keypoint_head.", "head.").replace("backbone.", "backbone.trunk."): tensor
        for name, tensor in state.items()
    }


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC,),
    config=Config,
    model=build,
    space={
        "model.backbone": Choice("resnet18.tv_in1k", "resnet50.tv_in1k", "resnet101.tv_in1k"),
        "model.target": Choice("msra", "udp", "dark"),
        "train.lr": LogUniform(1e-4, 1e-3),
        "train.weight_decay": Choice(0.0, 1e-4, 1e-2, 0.1),
    },
    paper=Paper(
        "Simple Baselines for Human Pose Estimation and Tracking",
        2018,
        "arXiv:1804.06208",
        (
            Claim("AP-10K", "val", "ResNet-50, 256x256", "AP", 70.2, "PromptPose, table 1"),
            Claim("AP-10K", "val", "ResNet-101, 256x256", "AP", 70.6, "KITPose README, table 2"),
            Claim("AnimalPose", "val", "ResNet-101, 256x256", "AP", 69.6, "KITPose README, table 3"),
        ),
    ),
    train=PUBLISHED_TRAINING,
    released=released,
)
