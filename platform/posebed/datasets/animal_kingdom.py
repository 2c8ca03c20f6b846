"""Animal Kingdom, pose: frames of films of five classes of animals, with one skeleton of 23 keypoints.

Both forms of its annotations are read, COCO's where it is there, else MPII's. In both the flag 1 means visible, and a
box is the extent of the visible joints less one pixel, so that a frame with one joint has none. There is no part
``val``: the official split takes it from ``train``, whole clips at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import model_validator

from posebed.annotations.checks import is_coordinate
from posebed.annotations.coco_file import CocoFile
from posebed.annotations.released_layouts import category_entry, read_published, visible
from posebed.annotations.skeleton import mirrored_pairs
from posebed.config import PictureOptions
from posebed.contracts import DatasetSpec
from posebed.records import Category, Dataset, Record

_NAMES = (
    *("Head_Mid_Top", "Eye_Left", "Eye_Right", "Mouth_Front_Top", "Mouth_Back_Left", "Mouth_Back_Right"),
    *("Mouth_Front_Bottom", "Shoulder_Left", "Shoulder_Right", "Elbow_Left", "Elbow_Right", "Wrist_Left"),
    *("Wrist_Right", "Torso_Mid_Back", "Hip_Left", "Hip_Right", "Knee_Left", "Knee_Right", "Ankle_Left"),
    *("Ankle_Right", "Tail_Top_Back", "Tail_Mid_Back", "Tail_End_Back"),
)
_CLASSES = ("Amphibian", "Bird", "Fish", "Mammal", "Reptile")
SKELETON = Category(
    key="animal",
    name="animal",
    keypoints=_NAMES,
    limbs=(
        *((1, 0), (2, 0), (3, 4), (3, 5), (6, 4), (6, 5), (0, 13), (13, 20), (20, 21), (21, 22), (0, 7), (0, 8)),
        *((7, 9), (8, 10), (9, 11), (10, 12), (20, 14), (20, 15), (14, 16), (15, 17), (16, 18), (17, 19)),
    ),
    flip_pairs=mirrored_pairs(_NAMES),
    sigmas=(0.025,) * 23,  # MMPose's choice: the dataset defines none
    upper_body=tuple(range(14)),
)


class Options(PictureOptions):
    protocol: Literal["P1", "P2", "P3"] = "P1"
    """P1 all animals, P2 tested on animals that were not trained on, P3 within one class."""
    group: Literal["amphibian", "bird", "fish", "mammal", "reptile"] | None = None
    """The class, for P3 alone."""

    @model_validator(mode="after")
    def _group_of_p3(self) -> Options:
        if (self.protocol == "P3") != (self.group is not None):
            raise ValueError(f"group must be given for P3 alone, but protocol is {self.protocol}, group {self.group}")
        return self


def read(options: Options, path: Path) -> Dataset:
    """Read one protocol, or a single annotation file of any name in either form.

    Raises:
        ValueError: files are missing.
    """
    protocol = f"ak_{options.protocol}" + (f"_{options.group}" if options.group else "")
    trees = [t for t in ("annotation_coco", "annotations", "annotation") if (path / t).is_dir()] or ["annotation_coco"]
    pictures = "images" if (path / "images").is_dir() else "dataset"
    files = [
        CocoFile(
            f"{trees[0]}/{protocol}/{part}.json",
            pictures,
            part=part,
            content=_content,
            sized=False,
        )
        for part in ("train", "test")
    ]
    layout = f"annotation_coco/{protocol}/{{train,test}}.json (or annotation/ in MPII form) and dataset/CLIP/"
    dataset = read_published(SPEC, options, path, files, layout)
    return replace(
        dataset,
        records=tuple(replace(r, group=PurePosixPath(r.image).parent.name) for r in dataset.records),
        notes=(*dataset.notes, *_notes(dataset.records)),
    )


def _notes(records: Sequence[Record]) -> list[str]:
    few = Counter(r.part or "all" for r in records if (r.keypoints[:, 2] > 0).sum() < 3)
    counts = ", ".join(f"{count} in {part}" for part, count in few.items())
    return [f"Records with fewer than 3 labelled keypoints, kept: {counts}."] if few else []


def _content(given: Any) -> Any:
    """Either form as COCO's, with its flag for visible joints."""
    if isinstance(given, list):
        return _from_mpii(given)
    raws = given.get("annotations") if isinstance(given, dict) else None
    if not isinstance(raws, list):
        return given
    return {
        **given,
        "annotations": [
            {**raw, "keypoints": visible(raw.get("keypoints"))} if isinstance(raw, dict) else raw for raw in raws
        ],
    }


def _from_mpii(entries: list[Any]) -> Any:
    frames = dict.fromkeys(str(entry.get("image")) for entry in entries if isinstance(entry, dict))
    return {
        "images": [{"id": frame, "file_name": frame} for frame in frames],
        "annotations": [_annotation(e, i) if isinstance(e, dict) else e for i, e in enumerate(entries)],
        "categories": [category_entry(SKELETON, i, name, "AK_Animal") for i, name in enumerate(_CLASSES, 1)],
    }


def _annotation(entry: dict[str, Any], position: int) -> dict[str, Any]:
    joints, flags = entry.get("joints"), entry.get("joints_vis")
    name = entry.get("animal_parent_class")
    annotation = {
        "id": position,
        "image_id": entry.get("image"),
        "category_id": _CLASSES.index(name) + 1 if name in _CLASSES else name,
    }
    if not (isinstance(joints, list) and isinstance(flags, list) and len(joints) == len(flags)):
        return annotation
    points = [v for joint, flag in zip(joints, flags, strict=True) for v in (*_pair(joint), flag)]
    known = [all(map(is_coordinate, _pair(joint))) for joint in joints]
    seen = [joint for joint, flag, is_known in zip(joints, flags, known, strict=True) if flag == 1 and is_known]
    return {**annotation, "keypoints": visible(points), "bbox": _box(seen)}


def _pair(joint: Any) -> Any:
    return joint if isinstance(joint, list) and len(joint) == 2 else (None, None)


def _box(joints: Sequence[Sequence[float]]) -> list[float] | None:
    """x, y, width, height as the COCO form has them: half a pixel inside the extent of the joints."""
    if not joints:
        return None
    (left, right), (top, bottom) = ((min(v), max(v)) for v in zip(*joints, strict=True))
    return [left + 0.5, top + 0.5, right - left - 1, bottom - top - 1]


SPEC = DatasetSpec(
    title="Animal Kingdom (pose)",
    options=Options,
    read=read,
    licence="none stated by its authors, who hand it out through a form",
    source="the form that sutdcv.github.io/Animal-Kingdom links to (folder pose_estimation, dataset.tar.gz unpacked)",
    skeleton=SKELETON,
)
