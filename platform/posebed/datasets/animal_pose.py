"""Animal-Pose: cats, cows, dogs, horses and sheep with one skeleton of 20 keypoints.

Two forms are read. MMPose's three files have parts (its own: the dataset has none), of which papers report val.
The official ``keypoints.json`` has none; its boxes are corners, its flag 1 means visible, and its keypoints have
another order and other names, which are brought to MMPose's.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from posebed.annotations.checks import id_text, is_coordinate
from posebed.annotations.coco_file import CocoFile
from posebed.annotations.released_layouts import Reported, category_entry, read_published, visible
from posebed.annotations.skeleton import mirrored_pairs
from posebed.contracts import DatasetSpec
from posebed.records import Category, Dataset

_LEGS = ("left_front", "right_front", "left_back", "right_back")
_NAMES = (
    *("L_Eye", "R_Eye", "L_EarBase", "R_EarBase", "Nose", "Throat", "TailBase", "Withers"),
    *("L_F_Elbow", "R_F_Elbow", "L_B_Elbow", "R_B_Elbow", "L_F_Knee", "R_F_Knee", "L_B_Knee", "R_B_Knee"),
    *("L_F_Paw", "R_F_Paw", "L_B_Paw", "R_B_Paw"),
)
_OFFICIAL_NAMES = (
    *("left_eye", "right_eye", "nose", "left_ear", "right_ear"),
    *(f"{side}_{part}" for part in ("elbow", "knee", "paw") for side in _LEGS),
    *("throat", "withers", "tailbase"),
)
_PLACE = (0, 1, 3, 4, 2, 17, 19, 18, *range(5, 17))
"""Of each of ``_NAMES`` the position in ``_OFFICIAL_NAMES``."""
SKELETON = Category(
    key="animal",
    name="animal",
    keypoints=_NAMES,
    limbs=(
        *((0, 1), (0, 2), (1, 3), (0, 4), (1, 4), (4, 5), (5, 7), (6, 7), (5, 8), (8, 12), (12, 16)),
        *((5, 9), (9, 13), (13, 17), (6, 10), (10, 14), (14, 18), (6, 11), (11, 15), (15, 19)),
    ),
    flip_pairs=mirrored_pairs(_NAMES),
    # MMPose's choice: the paper gives none.
    sigmas=(0.025, 0.025, 0.026, 0.035, 0.035, *[0.1] * 3, *[0.107] * 4, *[0.087] * 4, *[0.089] * 4),
    upper_body=(0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17),
)


def read(options: Reported, path: Path) -> Dataset:
    """Read MMPose's three files, the official one, or a single one of any name.

    Raises:
        ValueError: files are missing.
    """
    if (path / "keypoints.json").is_file():
        path = path / "keypoints.json"
    folder = "annotations/" if (path / "annotations").is_dir() else ""
    files = [
        CocoFile(f"{folder}animalpose_{name}.json", part=part, content=_content, sized=False)
        for part, name in options.parts().items()
    ]
    layout = (
        "annotations/animalpose_{train,val,test}.json, VOC2012/JPEGImages/ and animalpose_image_part2/{cat,cow,...}/, "
        "or as the official keypoints.json and images/"
    )
    return read_published(SPEC, options, path, files, layout, ["VOC2012/JPEGImages", "animalpose_image_part2"])


def _content(given: Any) -> Any:
    """The official form as COCO's. It is known by its flags: MMPose's has 2 for every labelled keypoint."""
    raws = given.get("annotations") if isinstance(given, dict) else None
    if not isinstance(raws, list) or any(2 in _flat(raw)[2::3] for raw in raws):
        return given
    stated = given.get("categories")
    categories = [(entry, _category(entry)) for entry in (stated if isinstance(stated, list) else [])]
    reordered = [id_text(entry["id"]) for entry, new in categories if new is not entry]
    return {
        **given,
        "images": _images(given.get("images")),
        "annotations": [_annotation(raw, i, reordered) if isinstance(raw, dict) else raw for i, raw in enumerate(raws)],
        "categories": [new for _, new in categories] or stated,
    }


def _flat(raw: Any) -> list[Any]:
    """The keypoints of an annotation as one list, whether or not they are triples."""
    value = raw.get("keypoints") if isinstance(raw, dict) else None
    points = value if isinstance(value, list) else []
    return [v for point in points for v in (point if isinstance(point, list) else [point])]


def _category(entry: Any) -> Any:
    own = entry.get("keypoints") if isinstance(entry, dict) and "id" in entry else "no category"
    if own and own != list(_OFFICIAL_NAMES):
        return entry
    return category_entry(SKELETON, entry["id"], entry.get("name"), entry.get("supercategory"))


def _images(value: Any) -> Any:
    """Image entries, of which the official file has only the names by id."""
    return [{"id": i, "file_name": name} for i, name in value.items()] if isinstance(value, dict) else value


def _annotation(raw: dict[str, Any], position: int, reordered: Collection[str]) -> dict[str, Any]:
    points, box = visible(_flat(raw)), raw.get("bbox")
    if id_text(raw.get("category_id")) in reordered and len(points) == 3 * len(_NAMES):
        points = [v for i in _PLACE for v in points[3 * i : 3 * i + 3]]
    if isinstance(box, list) and len(box) == 4 and all(map(is_coordinate, box)):
        box = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    return {"id": position, **raw, "keypoints": points, "bbox": box}


SPEC = DatasetSpec(
    title="Animal-Pose",
    options=Reported,
    read=read,
    licence="none stated by its authors; the PASCAL VOC pictures keep the terms of Flickr",
    source=(
        "the README of github.com/noahcao/animal-pose-dataset, and for the three files and VOC2012 from the page "
        "'2D Animal Keypoint Dataset' of the MMPose documentation"
    ),
    skeleton=SKELETON,
)
