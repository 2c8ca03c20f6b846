"""sketch: pictures with three points each, as ``points.json`` lists them. Put your format in its place.

A dataset is read by turning its files into COCO's form: ``read_coco`` then looks at every picture and number, and tells
every problem with file, record and field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posebed.annotations.coco import read_coco
from posebed.annotations.coco_file import CocoFile
from posebed.config import PictureOptions
from posebed.contracts import DatasetSpec
from posebed.records import Category, Dataset

FILE = "points.json"
SKELETON = Category("thing", "thing", ("left", "right", "top"), limbs=((0, 2), (1, 2)), flip_pairs=((0, 1),))


def read(options: PictureOptions, path: Path) -> Dataset:
    """Read ``points.json`` and the pictures beside it."""
    return read_coco(path, [CocoFile(FILE, content=as_coco, sized=False)], options)


def as_coco(given: Any) -> Any:
    """COCO's form of ``[{"picture": "a.png", "box": [x, y, width, height], "points": [[x, y], ...]}, ...]``.

    What it does not know it leaves as it is, so that it is told as a problem.
    """
    if not isinstance(given, list):
        return given
    entries = [entry if isinstance(entry, dict) else {} for entry in given]
    names = list(SKELETON.keypoints)
    return {
        "categories": [{"id": 1, "name": SKELETON.name, "keypoints": names, "skeleton": [[1, 3], [2, 3]]}],
        "images": [{"id": number, "file_name": entry.get("picture")} for number, entry in enumerate(entries)],
        "annotations": [annotation(number, entry) for number, entry in enumerate(entries)],
    }


def annotation(number: int, entry: dict[str, Any]) -> dict[str, Any]:
    points = entry.get("points")
    listed = points if isinstance(points, list) else []
    flat = [value for point in listed if isinstance(point, list) for value in (*point, 2)]
    return {"id": number, "image_id": number, "category_id": 1, "bbox": entry.get("box"), "keypoints": flat}


SPEC = DatasetSpec(
    title="Pictures with three points",
    options=PictureOptions,
    read=read,
    licence="your licence",
    source="where to get it",
    skeleton=SKELETON,
    contract=1,
)
