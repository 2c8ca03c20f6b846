"""HRNet: high-resolution maps kept from end to end, keypoints from the finest by a 1 x 1 convolution."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from posebed.config import Positive
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.space import Choice, LogUniform
from posezoo.blocks.deconv import heatmap_head
from posezoo.blocks.features import grid
from posezoo.blocks.heatmap import HeatmapConfig, HeatmapModel
from posezoo.blocks.hrnet import HRNet
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.recipes import ANIMALS


class Config(HeatmapConfig):
    width: Positive = 32
    """Channels of the finest maps; the paper takes 32 and 48."""
    blocks: Positive = 4
    """Residual blocks per module and branch."""
    modules: tuple[Positive, Positive, Positive] = (1, 4, 3)
    """Modules of exchange in stages 2, 3 and 4."""
    weights: str = "timm"
    """ImageNet weights: ``timm``, that is ``hrnet_wWIDTH.ms_in1k``; another HRNet of timm, such as
    ``hrnet_w18_small_v2.ms_in1k`` for width 18, 2 blocks and modules 1, 3, 2; the path of a file in timm's or the
    original layout; or ``none``."""


def build(config: Config, setting: Setting) -> HeatmapModel:
    height, width = grid(setting.size, 32)
    backbone = HRNet(config.width, config.weights, blocks=config.blocks, modules=config.modules)
    head = heatmap_head(config.width, channels=0, deconvs=0, keypoints=setting.keypoints)
    return HeatmapModel(Normalise(), backbone, head, (8 * height, 8 * width), config, setting)


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """mmpose's names, of both of its generations."""
    return {name.replace("keypoint_head.", "head."): tensor for name, tensor in state.items()}


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_SPECIFIC,),
    config=Config,
    model=build,
    space={
        "model.width": Choice(32, 48),
        "model.target": Choice("msra", "udp", "dark"),
        "train.lr": LogUniform(1e-4, 1e-3),
        "train.weight_decay": Choice(0.0, 1e-4, 1e-2, 0.1),
    },
    paper=Paper(
        "Deep High-Resolution Representation Learning for Human Pose Estimation",
        2019,
        "arXiv:1902.09212",
    ),
    answering=("target", "flip_test", "width", "weights"),
    widths={"hrnet": "width"},
    train=ANIMALS,
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    released=released,
    small={"weights": "none", "width": 8, "blocks": 1, "modules": (1, 1, 1)},
)
