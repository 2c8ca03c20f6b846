"""GraphCape (Pose Anything): CapeFormer whose keypoints pass features to the keypoints that they are linked with.

Left open by the paper and settled here as in the released code: a neighbour's message is divided by its own number of
links; keypoints that a support does not show have no links.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Literal

from torch import Tensor

from posebed.config import Positive, Share
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.space import Choice
from posezoo.blocks import two_stage
from posezoo.blocks.features import Features
from posezoo.blocks.graph import GraphFeedForward, given_links, linked_pairs, pairs_of, with_loops
from posezoo.blocks.recipes import EPISODES
from posezoo.blocks.refinement import FeedForward
from posezoo.blocks.two_stage import LEARNING_RATES, SMALL, SPACE, Support, TwoStage, TwoStageConfig
from posezoo.blocks.window_attention import quicken

# B batch, K keypoints


class Config(TwoStageConfig):
    backbone: str = "swinv2_tiny_window16_256.ms_in1k"
    """A model of timm; the paper takes SwinV2-T and SwinV2-S."""
    map_stride: Positive = 16
    """Stride of the map that keypoints are matched on; the backbone's map is enlarged to it."""
    drop_path: Share = 0.2
    """Rate at which the backbone's last block is skipped in training, falling to 0 for its first; 0.3 with SwinV2-S."""
    feed_forward: Positive = 768
    """Channels within a layer."""
    graph: Literal["pre", "post", "both", "off"] = "pre"
    """Where features pass along links: in the first layer of each feed-forward network of the refinement (pre), in the
    second (post), in both, or nowhere (off). A ReLU follows the second layer, as in the released code, so that it
    only adds."""


def adjacency(linked: Tensor, mask: Tensor) -> Tensor:
    """(B, 2, K, K): links of each keypoint to itself, and from senders (rows) to receivers (columns), each row divided
    by its sum.

    Args:
        linked, mask: as in ``graph.given_links``.
    """
    return with_loops(given_links(linked, mask), mask)


class GraphCape(TwoStage):
    linked: Tensor

    def __init__(self, config: Config, setting: Setting, keypoint_channels: int | None = None) -> None:
        """``keypoint_channels`` as in ``TwoStage``."""
        first, second = config.graph in ("pre", "both"), config.graph in ("post", "both")
        network = partial(GraphFeedForward, first=first, second=second) if first or second else FeedForward
        feed_forward = partial(network, config.width, config.feed_forward, config.dropout)
        backbone = Features(
            config.backbone,
            config.weights,
            (config.stride,),
            setting.size,
            final_norm=True,
            drop_path_rate=config.drop_path,
        )
        quicken(backbone)
        super().__init__(
            config, setting, backbone, config.map_stride, feed_forward, keypoint_channels=keypoint_channels
        )
        self.register_buffer("linked", linked_pairs(setting), persistent=False)

    def skeleton_buffers(self, count: int, links: Tensor) -> Mapping[str, Tensor]:
        """As in ``LinkedSkeletons``."""
        return pairs_of(count, links)

    def links(self, category: Tensor, support: Support) -> Tensor:
        count = support.mask.shape[1]
        return adjacency(self.linked[category, :count, :count], support.mask)


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The official names, without what the backbone computes itself and what stands behind its last map."""
    kept = {name: tensor for name, tensor in two_stage.released(state).items() if not _UNUSED.search(name)}
    return {_own_name(name): tensor[..., 0] if _CONVOLUTION.search(name) else tensor for name, tensor in kept.items()}


_CONVOLUTION = re.compile(r"\.ffn[12]\.conv\.weight$")
"""Of one cell, where the layer is of the graph."""
_UNUSED = re.compile(r"relative_(coords_table|position_index)$|attn_mask$|^backbone\.head\.")


def _own_name(name: str) -> str:
    """Official stages end with the halving that timm's next one begins with."""
    name = re.sub(r"layers\.(\d+)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample", name)
    name = name.replace("backbone.", "backbone.trunk.")
    return re.sub(r"\.ffn([12])(\.conv)?\.", r".feed_forward.linear\1.", name)


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=GraphCape,
    space={
        "model.graph": Choice("pre", "post", "both", "off"),
        "model.map_stride": Choice(16, 32),
        **SPACE,
        "train.lr": LEARNING_RATES,
    },
    paper=Paper(
        "A Graph-Based Approach for Category-Agnostic Pose Estimation",
        2024,
        "arXiv:2311.17891",
        name="GraphCape",
    ),
    answering=("backbone", "weights", "width"),
    train=EPISODES,
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    released=released,
    small={**SMALL, "map_stride": 8, "drop_path": 0.0},
)
