"""CapeFormer: keypoints are matched with the query, and the proposals are refined by a transformer.

Left open by the paper and settled here: the query's and the supports' pictures pass the backbone one after the other,
so that batch norm sees them as two batches; the identifier's dropout acts on single elements of the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from posebed.config import Positive, Share
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.space import Choice
from posezoo.blocks import two_stage
from posezoo.blocks.coordinates import grid_code
from posezoo.blocks.features import Features
from posezoo.blocks.recipes import EPISODES
from posezoo.blocks.refinement import FeedForward
from posezoo.blocks.slots import must_suffice
from posezoo.blocks.two_stage import LEARNING_RATES, SMALL, SPACE, TwoStage, TwoStageConfig


class Config(TwoStageConfig):
    slots: Positive = 100
    """Keypoints for which there are identifier codes; no category may have more."""
    identifier: bool = True
    """Add a code of its index to each keypoint. Without it, the order of keypoints has no meaning."""
    learned_identifier: bool = False
    """Learn these codes, from a unit normal on, instead of sines: a switch of the released code, off in its runs."""
    identifier_dropout: Share = 0.0
    """Dropout of these codes."""


class CapeFormer(TwoStage):
    """Only keypoints that the data have take part: further slots are hidden from them and would change nothing."""

    identifier: Tensor

    def __init__(self, config: Config, setting: Setting) -> None:
        """
        Raises:
            ValueError: a category has more keypoints than slots, or the crop is no multiple of the stride.
        """
        must_suffice(config.slots, setting)
        feed_forward = partial(FeedForward, config.width, config.feed_forward, config.dropout)
        backbone = Features(config.backbone, config.weights, (config.stride,), setting.size)
        super().__init__(config, setting, backbone, config.stride, feed_forward)
        if config.learned_identifier and config.identifier:
            self.identifier = nn.Parameter(torch.randn(config.slots, config.width))
        else:
            code = grid_code(1, config.slots, config.width // 2) * config.identifier
            self.register_buffer("identifier", code, persistent=False)
        self.identifier_dropout = nn.Dropout(config.identifier_dropout)

    def keypoint_code(self, count: int) -> Tensor:
        return self.identifier_dropout(self.identifier[:count])


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The official names; the backbone stands in a release twice, for supports and for the query."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in two_stage.released(state).items():
        for part in ("encoder_sample.", "encoder_query."):
            name = name.replace(part, "backbone.trunk.")
        if name.startswith("decoder.layers."):
            name = name.replace(".linear", ".feed_forward.linear")
        renamed["identifier" if name == "support_embedding.weight" else name] = tensor
    return renamed


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=CapeFormer,
    space={
        **SPACE,
        "model.learned_identifier": Choice(False, True),
        "model.identifier_dropout": Choice(0.0, 0.5),
        "train.lr": LEARNING_RATES,
    },
    paper=Paper(
        "Matching Is Not Enough: A Two-Stage Framework for Category-Agnostic Pose Estimation",
        2023,
        "CVPR 2023",
        name="CapeFormer",
    ),
    answering=("backbone", "weights", "width"),
    train=EPISODES,
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    released=released,
    small={**SMALL, "slots": 8},
    exceptions={
        "the_order_of_the_keypoints_does_not_matter": "each keypoint has the code of its place among the slots"
    },
)
