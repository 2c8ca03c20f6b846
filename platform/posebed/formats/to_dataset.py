"""From the neutral form of labels to a dataset of posebed, through the checks that every COCO file passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from posebed.annotations.coco import read_sheets
from posebed.annotations.coco_file import CocoFile, sheet_of
from posebed.annotations.skeleton import Json
from posebed.config import PictureOptions
from posebed.formats.labels import Animal, Frame, Labels
from posebed.formats.pictures import sizes
from posebed.listing import shortened
from posebed.records import Category, Dataset

PADDING = 0.15
"""What a box that is derived from points gets on each side, as a share of their extent's longer side."""
LEAST_PADDING = 5.0
"""The same in pixels, for animals of few points."""


def _unchanged(category: Json) -> Json:
    return category


def to_dataset(
    labels: Labels,
    name: str,
    options: PictureOptions | None = None,
    run: int | None = None,
    corrected: Callable[[Json], Json] = _unchanged,
) -> Dataset:
    """Check labels and make records of them. Frames of one film are one group.

    Args:
        name: of the label file, in problems.
        run: this many consecutive frames of a film form a group instead.
        corrected: completes or corrects the entry of a category.

    Raises:
        ValueError: films are missing.
    """
    if labels.missing:
        places = "; ".join(dict.fromkeys(labels.missing.values()))
        raise ValueError(
            f"{name} needs its pictures, but these films or folders were not found: {shortened(labels.missing)}; "
            f"looked for in {places}; put them there, or name their folder by the option pictures"
        )
    known = sizes(labels, displayed=options is not None and options.orientation == "displayed")
    parts = list(dict.fromkeys(frame.part for frame in labels.frames if frame.animals)) or [""]
    sheets = [
        sheet_of(
            CocoFile(name, part=part, group=_grouped(run), category=corrected, sized=False),
            coco_content(replace(labels, frames=tuple(f for f in labels.frames if f.part == part)), known),
        )
        for part in parts
    ]
    dataset = read_sheets(labels.root, sheets, options)
    return replace(dataset, notes=(*labels.notes, *_box_note(labels), *dataset.notes))


def _grouped(run: int | None) -> Callable[[Json, Json], str]:
    def group(annotation: Json, image: Json) -> str:
        film, frame = image.get("film"), image.get("frame")
        if not film:
            return str(image["file_name"])
        return f"{film}/{frame // run}" if run and frame is not None else str(film)

    return group


def coco_content(labels: Labels, known: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Labels as the content of a COCO-keypoints file. Film, frame number and track are further fields; ids are texts
    that stay the same when other pictures are added.

    Args:
        known: sizes of pictures, by path, at whose edges derived boxes are cut.
    """
    keys = {category.key: position for position, category in enumerate(labels.categories, 1)}
    return {
        "images": [_image(frame) for frame in labels.frames],
        "annotations": [
            _annotation(frame, animal, identity, keys[animal.category], known.get(frame.picture))
            for frame in labels.frames
            for animal, identity in zip(frame.animals, identities(frame), strict=True)
        ],
        "categories": [_category(category, keys[category.key]) for category in labels.categories],
    }


def identities(frame: Frame) -> list[str]:
    """The id of every animal of a frame: its picture and track, or its position where tracks do not tell."""
    tracks = Counter(animal.track for animal in frame.animals)
    return [
        f"{frame.picture}:{animal.track if animal.track and tracks[animal.track] == 1 else position}"
        for position, animal in enumerate(frame.animals)
    ]


def _image(frame: Frame) -> dict[str, Any]:
    size = {"width": frame.size[0], "height": frame.size[1]} if frame.size else {}
    film = {"film": frame.film} if frame.film else {}
    number = {} if frame.number is None else {"frame": frame.number}
    return {"id": frame.picture, "file_name": frame.picture, **size, **film, **number}


def _annotation(
    frame: Frame, animal: Animal, identity: str, category: int, size: tuple[int, int] | None
) -> dict[str, Any]:
    box = animal.box or derived_box(animal.points, size)
    confidences = animal.point_scores
    return {
        "id": identity,
        "image_id": frame.picture,
        "category_id": category,
        "keypoints": [value for x, y, v in animal.points.tolist() for value in (x, y, int(v))],
        "num_keypoints": int((animal.points[:, 2] > 0).sum()),
        **({"bbox": list(box), "area": box[2] * box[3]} if box else {}),
        **({"bbox_derived": True} if box and not animal.box else {}),
        **({"track_id": animal.track} if animal.track else {}),
        **({"source": animal.source} if animal.source else {}),
        **({"score": animal.score if animal.score is not None else 0.0} if animal.predicted else {}),
        **({"confidence": confidences.tolist()} if animal.predicted and confidences is not None else {}),
    }


def _category(category: Category, identity: int) -> dict[str, Any]:
    """A category entry, whose indices count from 1."""

    def counted_from_1(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
        return [[a + 1, b + 1] for a, b in pairs]

    return {
        "id": identity,
        "name": category.name,
        "supercategory": category.family,
        "keypoints": list(category.keypoints),
        "skeleton": counted_from_1(category.limbs),
        "flip_pairs": counted_from_1(category.flip_pairs),
        **({"sigmas": list(category.sigmas)} if category.sigmas else {}),
        **({"upper_body": [i + 1 for i in category.upper_body]} if category.upper_body else {}),
    }


def derived_box(points: np.ndarray, size: tuple[int, int] | None = None) -> tuple[float, float, float, float] | None:
    """The padded extent of the labelled points as x, y, width, height, cut at the edges of a picture of that size if
    any of it lies inside; None without any point."""
    xy = points[points[:, 2] > 0, :2]
    if not len(xy):
        return None
    low, high = xy.min(0), xy.max(0)
    padding = max(PADDING * float((high - low).max()), LEAST_PADDING)
    low, high = low - padding, high + padding
    if size and (low < size).all() and (high > 0).all():
        low, high = np.maximum(low, 0), np.minimum(high, size)
    x, y, width, height = (float(v) for v in (*low, *(high - low)))
    return x, y, width, height


def _box_note(labels: Labels) -> list[str]:
    derived = sum(animal.box is None for animal in labels.animals())
    if not derived:
        return []
    return [
        f"Boxes derived from the points, each side padded by {PADDING:.0%} of the longer side and by "
        f"{LEAST_PADDING:.0f} pixels at least, and cut at the picture's edges: {derived}."
    ]
