"""The boxes of a detector as records of which no keypoint is known, from a file of detections in COCO's result form.

The form is a list of ``image_id``, ``category_id``, ``bbox`` and ``score``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posebed.annotations.checks import (
    Fault,
    Size,
    box_faults,
    id_text,
    inspect_pictures,
    is_id,
    is_number,
    must_be_few,
    shown,
    wrong_type,
)
from posebed.annotations.coco_file import ID_RULE
from posebed.annotations.jsonfile import parse_json
from posebed.annotations.plausible import bits_of, picture_notes
from posebed.data.images import Images, PictureFacts
from posebed.records import Category, Dataset, Problem, Reason, Record


def with_detections(
    dataset: Dataset, file: str, part: str, categories: Mapping[str, Category], picture: Callable[[str], str]
) -> Dataset:
    """The dataset and, in one of its parts, the boxes of a detector.

    Args:
        file: below the dataset's root.
        categories: by the ids of the file.
        picture: from an image id to the path of the picture.

    Raises:
        ValueError: the file is not there or no JSON list.
    """
    images = Images(dataset.root, dataset.reading)
    boxes = _boxes(images, file)
    paths = [picture(id_text(box["image_id"])) if is_id(box.get("image_id")) else "" for box in boxes]
    inspected = inspect_pictures(images, filter(None, paths))
    records: list[Record] = []
    problems: list[Problem] = []
    for position, (box, path) in enumerate(zip(boxes, paths, strict=True)):
        identity = f"{Path(file).stem}/{position}"
        category, facts = categories.get(id_text(box.get("category_id"))), inspected.get(path)
        size = facts.size if isinstance(facts, PictureFacts) else facts
        faults = _faults(box, category, size)
        if faults or category is None or size is None or isinstance(size, Fault):
            name = category.key if category else shown(box.get("category_id"))
            problems += [Problem(file, identity, name, *fault) for fault in faults]
            must_be_few(problems)
        else:
            records.append(_record(identity, path, size, category, box, part))
    further = {
        p: facts for p, facts in inspected.items() if isinstance(facts, PictureFacts) and p not in dataset.hashes
    }
    bits = max(filter(None, (dataset.reading.bits, bits_of(further.values()))), default=None)
    return replace(
        dataset,
        records=(*dataset.records, *records),
        problems=(*dataset.problems, *problems),
        checked=dataset.checked + len(boxes),
        notes=(
            *dataset.notes,
            f"Boxes of a detector in {part}: {len(records)}, from {file}.",
            *(f"Without annotation: {note}" for note in picture_notes(further, dataset.reading.orientation)),
        ),
        reading=replace(dataset.reading, bits=bits),
        hashes={**dataset.hashes, **{path: facts.sha256 for path, facts in further.items()}},
    )


def _record(identity: str, path: str, size: Size, category: Category, box: Mapping[str, Any], part: str) -> Record:
    x, y, width, height = map(float, box["bbox"])
    return Record(
        record=identity,
        image=path,
        width=size[0],
        height=size[1],
        category=category.key,
        box=(x, y, width, height),
        area=min(width * height, float(size[0] * size[1])),
        keypoints=np.zeros((len(category.keypoints), 3), np.float32),
        part=part,
        detection=float(box["score"]),
    )


def _boxes(images: Images, file: str) -> list[Mapping[str, Any]]:
    if not images.exists(file):
        raise ValueError(f"detections must name a file below {images.root}, but there is no {file}")
    content: object = parse_json(images.read(file), file)
    if not isinstance(content, list):
        raise ValueError(f"{file} must hold a list of detections, but holds {shown(content)}")
    return [entry if isinstance(entry, dict) else {} for entry in content]


def _faults(box: Mapping[str, Any], category: Category | None, size: Size | Fault | None) -> list[Fault]:
    faults = box_faults(box.get("bbox"), None if isinstance(size, Fault) else size)
    if size is None:
        faults.append(wrong_type("image_id", box.get("image_id"), ID_RULE))
    elif isinstance(size, Fault):
        faults.append(size)
    if category is None:
        actual = shown(box.get("category_id"))
        faults.append(Fault("category_id", Reason.UNKNOWN_CATEGORY, actual, "a category of the dataset"))
    score = box.get("score")
    if not is_number(score) or not 0 <= score <= 1:
        faults.append(wrong_type("score", score, "a number from 0 to 1"))
    return faults
