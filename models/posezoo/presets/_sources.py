"""The datasets of the published tables: which part is reported, in whose boxes, by which metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posebed.contracts import Claim, Preset

_OKS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")
_BOX = "PCK@0.05 of the box"
_GROUPS = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mouth", "Tail")

RESNET_50: Mapping[str, Any] = {"backbone": "resnet50.tv_in1k", "weights": "timm"}


@dataclass(frozen=True)
class Source:
    name: str
    """As papers write it."""
    part: str
    """The part whose numbers are published."""
    data: Mapping[str, Any]
    """The entry under ``data:``."""
    metrics: Sequence[str] = _OKS
    """Of a row of its tables, in order."""
    boxes: str = "annotated"
    split: Mapping[str, Any] = field(default_factory=lambda: {"by": "official"})

    def claims(
        self, setting: str, values: Sequence[float], place: str, metrics: Sequence[str] = ()
    ) -> tuple[Claim, ...]:
        """One row of a table; ``metrics`` are its columns where they are not those of all tables of the dataset."""
        columns = zip(metrics or self.metrics, values, strict=True)
        return tuple(
            Claim(dataset=self.name, split=self.part, setting=setting, metric=metric, value=value, source=place)
            for metric, value in columns
        )

    def preset(
        self,
        model: str,
        config: Mapping[str, Any],
        train: Mapping[str, Any],
        claims: tuple[Claim, ...],
        size: tuple[int, int] = (256, 256),
        *,
        few_shot: int | None = None,
        init_from: str | None = None,
        convention: str = "plain",
    ) -> Preset:
        return Preset(
            model=model,
            data=self.data,
            split={**self.split, **({"few_shot": few_shot} if few_shot else {})},
            pack={"crop_size": list(size), **({} if convention == "plain" else {"convention": convention})},
            config=config,
            train=train,
            boxes=self.boxes,
            init_from=init_from,
            claims=claims,
        )


AP10K = Source(name="AP-10K", part="val", data={"source": "ap10k", "path": "datasets/ap10k", "options": {"split": 1}})
ANIMAL_POSE = Source(name="AnimalPose", part="val", data={"source": "animal_pose", "path": "datasets/animalpose"})
ANIMAL_KINGDOM = Source(
    name="AnimalKingdom",
    part="P3 mammals test",
    data={
        "source": "animal_kingdom",
        "path": "datasets/animal_kingdom",
        "options": {"protocol": "P3", "group": "mammal"},
    },
    metrics=(*(f"{_BOX}, {group}" for group in _GROUPS), _BOX),
)
COCO = Source(
    name="COCO val2017",
    part="val",
    data={
        "source": "coco_keypoints",
        "path": "datasets/coco",
        "options": {"detections": "COCO_val2017_detections_AP_H_56_person.json"},
    },
    boxes="detected",
)
COCO_TEST_DEV = Source(name="COCO test-dev2017", part="test-dev", data=COCO.data, boxes="detected")
"""Its annotations are with the competition's server; what runs here is val2017."""


def mp100(split: int, shots: int) -> Source:
    """One of MP-100's five splits, with the official test episodes of so many shots."""
    return Source(
        name="MP-100",
        part=f"split {split}",
        data={"source": "mp100", "path": "datasets/mp100", "options": {"split": split}},
        metrics=("PCK@0.2",),
        split={"by": "official", "episodes": {"shots": shots, "draw": "official"}},
    )
