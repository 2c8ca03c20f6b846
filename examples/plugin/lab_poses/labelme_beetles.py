"""Beetles that were annotated with LabelMe: ``NAME.json`` beside each picture, with a rectangle ``box`` and points.

Each file is turned into COCO's form; ``read_coco`` looks at every picture and number, and tells every problem with
file, record and field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posebed.annotations.coco import read_coco
from posebed.annotations.coco_file import CocoFile
from posebed.config import PictureOptions
from posebed.contracts import DatasetSpec
from posebed.records import Category, Dataset

BEETLE = Category(
    "beetle",
    "beetle",
    ("head", "left_elytron", "right_elytron", "tip"),
    limbs=((0, 1), (0, 2), (1, 3), (2, 3)),
    flip_pairs=((1, 2),),
)


def read(options: PictureOptions, path: Path) -> Dataset:
    """Read every ``NAME.json`` of the folder and the picture that it names."""
    names = sorted(file.name for file in path.glob("*.json"))
    return read_coco(path, [CocoFile(name, label=Path(name).stem, content=as_coco) for name in names], options)


def as_coco(given: Any) -> Any:
    """COCO's form of LabelMe's; what it does not know it leaves as it is, so that it is told as a problem."""
    if not isinstance(given, dict) or not isinstance(given.get("shapes"), list):
        return given
    shapes = [shape for shape in given["shapes"] if isinstance(shape, dict)]
    points = {shape.get("label"): shape.get("points") for shape in shapes}
    picture = {"file_name": "imagePath", "width": "imageWidth", "height": "imageHeight"}
    return {
        "categories": [
            {
                "id": 1,
                "name": BEETLE.name,
                "keypoints": [*BEETLE.keypoints],
                "skeleton": [[a + 1, b + 1] for a, b in BEETLE.limbs],
            }
        ],
        "images": [{"id": 1, **{name: given.get(theirs) for name, theirs in picture.items()}}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": box(points.get("box")),
                "keypoints": [value for name in BEETLE.keypoints for value in keypoint(points.get(name))],
            }
        ],
    }


def box(corners: Any) -> Any:
    """x, y, width and height of a rectangle given by two corners."""
    match corners:
        case [[int() | float() as x, int() | float() as y], [int() | float() as right, int() | float() as bottom]]:
            return [min(x, right), min(y, bottom), abs(right - x), abs(bottom - y)]
    return corners


def keypoint(points: Any) -> list[Any]:
    """x, y and visibility of a shape with one point; a shape that is missing is not labelled."""
    if points is None:
        return [0, 0, 0]
    match points:
        case [[x, y]]:
            return [x, y, 2]
    return [points]


SPEC = DatasetSpec(
    title="Beetles annotated with LabelMe",
    options=PictureOptions,
    read=read,
    licence="CC BY 4.0",
    source="our lab",
    skeleton=BEETLE,
    contract=1,
)
