"""The five tables of PromptPose (arXiv:2206.11752v1): five methods on AP-10K, from all or twenty pictures of a species,
with and without COCO before.

Section 4.1 gives two learning rates for the transformers, 5e-4 and 5e-5; as in the released code, the first is
the model's and the backbone takes a tenth of it. Boxes of COCO's people are a detector's, as the code base has it by
default. Twenty pictures are drawn with the split's seed; the paper states none, so that a mean over seeds 0 to 2 is
what should stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posebed.contracts import Preset, PresetSpec
from posezoo.blocks.recipes import ANIMALS
from posezoo.presets._sources import AP10K, COCO, RESNET_50

SHOTS = 20
_TRAIN: Mapping[str, Any] = {**ANIMALS, "optimizer": "adamw", "weight_decay": 1e-4}


@dataclass(frozen=True)
class Method:
    """A method and its rows: AP, AP50, AP75, AP_M, AP_L, AR; of people AP alone."""

    setting: str
    model: str
    config: Mapping[str, Any]
    transformer: bool
    supervised: tuple[float, ...]
    """Table 1."""
    few_shot: tuple[float, ...]
    """Table 2."""
    coco_supervised: tuple[float, ...]
    """Table 3."""
    coco_few_shot: tuple[float, ...]
    """Table 4."""
    people: float
    """Tables 3 and 4, column Human AP."""

    def train(self, batch_size: int, lr: float) -> Mapping[str, Any]:
        undecayed = ("norm",) if self.transformer else ("norm", "bias")
        return {**_TRAIN, "batch_size": batch_size, "lr": lr, "undecayed": undecayed}


METHODS = {
    "simple-baseline-r50": Method(
        setting="SimpleBaseline, ResNet-50, ImageNet",
        model="simple_baseline",
        config={**RESNET_50, "flip_test": "shifted"},
        transformer=False,
        supervised=(70.2, 94.2, 76.0, 45.5, 70.4, 73.5),
        few_shot=(51.1, 85.4, 50.2, 26.7, 51.3, 56.3),
        coco_supervised=(72.4, 94.8, 78.2, 43.2, 72.6, 75.6),
        coco_few_shot=(60.7, 88.4, 65.2, 29.9, 61.0, 65.1),
        people=71.8,
    ),
    "simple-baseline-clip-r50": Method(
        setting="SimpleBaseline, ResNet-50, CLIP",
        model="simple_baseline",
        config={"backbone": "resnet50_clip.openai", "weights": "timm", "flip_test": "shifted"},
        transformer=False,
        supervised=(70.9, 94.6, 76.8, 44.8, 71.2, 74.1),
        few_shot=(51.8, 84.3, 52.5, 26.1, 52.0, 56.9),
        coco_supervised=(74.4, 95.7, 81.0, 43.4, 74.7, 77.6),
        coco_few_shot=(62.4, 90.4, 67.1, 34.1, 62.7, 66.4),
        people=72.7,
    ),
    "prompt-pose-r50": Method(
        setting="PromptPose, ResNet-50, CLIP",
        model="prompt_pose",
        config={"backbone": "clip_resnet50", "weights": "openai", "flip_test": "shifted"},
        transformer=False,
        supervised=(72.9, 95.4, 79.4, 43.2, 73.2, 76.3),
        few_shot=(54.0, 85.9, 56.2, 26.4, 54.2, 58.9),
        coco_supervised=(75.2, 96.1, 81.4, 47.5, 75.5, 78.5),
        coco_few_shot=(62.6, 90.2, 66.9, 30.1, 62.9, 66.8),
        people=73.0,
    ),
    "simple-baseline-clip-vit-b": Method(
        setting="SimpleBaseline, ViT-B, CLIP",
        model="simple_baseline",
        config={
            "backbone": "vit_base_patch16_clip_quickgelu_224.openai",
            "weights": "timm",
            "flip_test": "shifted",
            "stride": 16,
            "deconvs": 2,
            "backbone_rate": 0.1,
        },
        transformer=True,
        supervised=(72.6, 94.7, 79.5, 43.4, 72.8, 75.8),
        few_shot=(57.4, 88.9, 61.2, 20.9, 57.8, 61.2),
        coco_supervised=(73.9, 95.4, 80.9, 49.2, 74.1, 77.2),
        coco_few_shot=(63.8, 91.0, 69.2, 36.5, 64.0, 67.5),
        people=73.2,
    ),
    "prompt-pose-vit-b": Method(
        setting="PromptPose, ViT-B, CLIP",
        model="prompt_pose",
        config={"backbone": "clip_vit_b16", "weights": "openai", "flip_test": "shifted"},
        transformer=True,
        supervised=(73.1, 95.0, 79.8, 47.9, 73.2, 76.3),
        few_shot=(58.6, 89.5, 61.3, 24.9, 58.9, 62.6),
        coco_supervised=(74.2, 95.4, 80.4, 47.3, 74.4, 77.5),
        coco_few_shot=(64.1, 91.9, 68.4, 35.5, 64.3, 67.7),
        people=73.3,
    ),
}


@dataclass(frozen=True)
class Ablation:
    values: tuple[float, ...]
    """AP and AR."""
    config: Mapping[str, Any] | None = field(default_factory=dict[str, Any])
    """What is other than in the full method; None without any of its parts."""


ABLATION = {
    "none": Ablation((70.9,), config=None),
    "pixel": Ablation((72.1, 75.3), config={"semantic_weight": 0.0, "prompt_layers": 0}),
    "pixel-semantic": Ablation((72.6, 75.8), config={"prompt_layers": 0}),
    "pixel-encoder": Ablation((72.3, 75.6), config={"semantic_weight": 0.0}),
    "pixel-semantic-encoder": Ablation((72.9, 76.3)),
}
"""Table 5, PromptPose with ResNet-50. Without any part it is SimpleBaseline, whose AP it has."""


def _of(name: str, method: Method) -> Mapping[str, Preset]:
    """The five runs of one method."""
    full, shots, vit = method.setting, f"{method.setting}, {SHOTS} per species", method.transformer

    def on_animals(table: int, values: tuple[float, ...], batch_size: int, lr: float, **more: Any) -> Preset:
        before = ", COCO before" if "init_from" in more else ""
        setting = (shots if "few_shot" in more else full) + before
        claims = AP10K.claims(setting, values, f"PromptPose, table {table}")
        return AP10K.preset(method.model, method.config, method.train(batch_size, lr), claims, **more)

    coco = f"{name}-coco"
    people = COCO.claims(full, (method.people,), "PromptPose, table 3", ["AP"])
    on_people = method.train(batch_size=512, lr=2e-4 if vit else 5e-4)
    return {
        coco: COCO.preset(method.model, method.config, on_people, people),
        f"{name}-ap10k": on_animals(1, method.supervised, batch_size=128, lr=5e-4),
        f"{name}-ap10k-20shot": on_animals(2, method.few_shot, batch_size=64, lr=5e-5 if vit else 5e-4, few_shot=SHOTS),
        f"{coco}-ap10k": on_animals(
            3, method.coco_supervised, batch_size=128, lr=5e-5 if vit else 6e-4, init_from=coco
        ),
        f"{coco}-ap10k-20shot": on_animals(
            4,
            method.coco_few_shot,
            batch_size=128 if vit else 64,
            lr=5e-5 if vit else 5e-4,
            few_shot=SHOTS,
            init_from=coco,
        ),
    }


def _ablation(parts: str, row: Ablation) -> Preset:
    method = METHODS["simple-baseline-clip-r50" if row.config is None else "prompt-pose-r50"]
    metrics = ("AP", "AR")[: len(row.values)]
    claims = AP10K.claims(f"{method.setting}, {parts}", row.values, "PromptPose, table 5", metrics)
    config = {**method.config, **(row.config or {})}
    return AP10K.preset(method.model, config, method.train(batch_size=128, lr=5e-4), claims)


PRESETS: Mapping[str, Preset] = {
    **{key: preset for name, method in METHODS.items() for key, preset in _of(name, method).items()},
    **{f"prompt-pose-r50-ap10k-{parts}": _ablation(parts, row) for parts, row in ABLATION.items()},
}

SPEC = PresetSpec(
    presets=PRESETS,
    same_network={
        ("resnet50_clip.openai", "timm"): ("clip_resnet50", "openai"),
        ("vit_base_patch16_clip_quickgelu_224.openai", "timm"): ("clip_vit_b16", "openai"),
    },
)
