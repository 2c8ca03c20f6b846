"""SimpleBaseline: an image classifier's last map, doubled in resolution until it can hold keypoints.

ResNets are the original's. A vision transformer (``stride: 16, deconvs: 2``), from ImageNet or CLIP, is PromptPose's
baseline and ViTPose's "classic" decoder: patch tokens as the last block leaves them, without the class token. Published
runs normalise every picture by ImageNet's statistics, CLIP's backbones included; so it is here unless ``statistics``
says otherwise. Their toolbox stretches a transformer's table of positions to the crop bilinearly, timm bicubically.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from posebed.config import Positive, Share
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.space import Choice, LogUniform
from posezoo.blocks.deconv import heatmap_head
from posezoo.blocks.features import Features, MapConfig, grid
from posezoo.blocks.heatmap import HeatmapConfig, HeatmapModel
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.recipes import ANIMALS


class Config(MapConfig, HeatmapConfig):
    deconvs: Annotated[int, Field(ge=0)] = 3
    """Doublings of the resolution; the heatmaps have stride ``stride`` / 2^``deconvs``."""
    channels: Positive = 256
    """Channels of the decoder."""
    statistics: Literal["imagenet", "weights"] = "imagenet"
    """Mean and deviation for normalising pictures: ImageNet's, or those that the weights were trained with."""
    drop_path: Share = 0.0
    """Rate at which the backbone's last block is skipped in training, rising from 0 at the first."""
    backbone_rate: Annotated[float, Field(ge=0)] = 1.0
    """Factor of the backbone's learning rate; PromptPose takes 0.1 for vision transformers."""


def build(config: Config, setting: Setting) -> HeatmapModel:
    height, width = grid(setting.size, config.stride)
    heatmap_size = (height << config.deconvs, width << config.deconvs)
    backbone = Features(
        config.backbone, config.weights, (config.stride,), setting.size, drop_path_rate=config.drop_path
    )
    normalise = Normalise() if config.statistics == "imagenet" else Normalise(backbone.mean, backbone.std)
    head = heatmap_head(backbone.channels[0], config.channels, config.deconvs, setting.keypoints)
    return HeatmapModel(normalise, backbone, head, heatmap_size, config, setting)


def learning_rates(config: Config) -> Mapping[str, float]:
    return {"backbone.": config.backbone_rate}


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
    ),
    answering=("target", "flip_test", "backbone", "weights"),
    train=ANIMALS,
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    learning_rates=learning_rates,
    released=released,
    small={"weights": "none", "backbone": "test_resnet", "stride": 16, "deconvs": 2, "channels": 32},
)
