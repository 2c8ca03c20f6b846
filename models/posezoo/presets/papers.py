"""The papers whose tables the presets repeat, and what must be known before our numbers stand beside theirs."""

from __future__ import annotations

from collections.abc import Mapping

from posebed.contracts import Paper
from posezoo.presets.sources import COCO_TEST_DEV

PAPERS: Mapping[str, Paper] = {
    "KITPose": Paper(
        "Learning Structure-Supporting Dependencies via Keypoint Interactive Transformer for General Mammal Pose "
        "Estimation",
        2025,
        "arXiv:2502.18214",
    ),
    "PromptPose": Paper("PromptPose: Language Prompt Helps Animal Pose Estimation", 2022, "arXiv:2206.11752"),
    "FMMP": Paper(
        "Recurrent Feature Mining and Keypoint Mixup Padding for Category-Agnostic Pose Estimation",
        2025,
        "arXiv:2503.21140",
    ),
    "SDPNet": Paper("Dynamic Support Information Mining for Category-Agnostic Pose Estimation", 2024, "CVPR 2024"),
    "CapeFormer": Paper(
        "Matching Is Not Enough: A Two-Stage Framework for Category-Agnostic Pose Estimation", 2023, "CVPR 2023"
    ),
    "GraphCape": Paper("A Graph-Based Approach for Category-Agnostic Pose Estimation", 2024, "arXiv:2311.17891"),
}
"""By the word by which sources of claims name them. The same as in the models' ``SPEC``, known without building one."""

UNMEASURED: Mapping[str, str] = {
    COCO_TEST_DEV.name: "Its annotations are with the competition's server: what runs here is val2017, whose numbers "
    "do not stand beside these.",
}
"""Data of claims to why it cannot be measured."""

SAME_NETWORK: Mapping[tuple[str, str], tuple[str, str]] = {
    ("resnet50_clip.openai", "timm"): ("clip_resnet50", "openai"),
    ("vit_base_patch16_clip_quickgelu_224.openai", "timm"): ("clip_vit_b16", "openai"),
}
"""Backbone and weights that are another pair under other names."""
