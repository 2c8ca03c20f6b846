"""COCO keypoints, as posebed, CVAT, Roboflow, COCO-Annotator and others write them.

COCO defines no half pixel: coordinates are taken as they are. Written files are read back by the dataset source
``coco_folder`` too; film, frame number, track and source are further fields of them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posebed.annotations.checks import as_floats, id_text, is_coordinate, is_id, is_number
from posebed.annotations.coco import find_pictures
from posebed.annotations.coco_file import CocoFile, Sheet, read_sheet
from posebed.annotations.skeleton import with_keys
from posebed.files import write_text
from posebed.foreign_files import is_regular
from posebed.formats.labels import Animal, Frame, Labels, found_in, unique_note
from posebed.formats.pictures import copy_pictures, places, sizes
from posebed.formats.to_dataset import coco_content
from posebed.listing import shortened
from posebed.records import Reason

NAME = "COCO keypoints"
LOOKED_FOR = "annotations.json, _annotations.coco.json or one other JSON file (COCO keypoints)"
_USUAL = ("annotations.json", "_annotations.coco.json")


def recognises(path: Path) -> bool:
    return bool(_files(path))


def _files(path: Path) -> list[Path]:
    """The annotation files that a path is or holds."""
    if not path.is_dir():
        return [path] if path.suffix == ".json" else []
    usual = [path / name for name in _USUAL if is_regular(path / name)]
    return usual[:1] or sorted(path.glob("*.json")) or sorted(path.glob("annotations/*.json"))


def read(path: Path, pictures: Path | None = None) -> Labels:
    """Read an annotation file, or a folder that holds one.

    Args:
        pictures: a folder to look for the pictures in, by the ends of their paths.

    Raises:
        ValueError: there is no file or more than one, or it cannot be used.
    """
    files = _files(path)
    if len(files) != 1:
        raise ValueError(f"{path} must hold one annotation file, but holds {shortened(f.name for f in files)}")
    root, folder = find_pictures(files[0])
    name = files[0].relative_to(root).as_posix()
    sheet = read_sheet(root, CocoFile(name, folder, sized=False))
    wrong = [problem for problem in sheet.problems if problem.reason != Reason.NO_ANNOTATIONS]
    if wrong:
        first = wrong[0]
        raise ValueError(f"{files[0]}: {first.field or 'the file'} must be {first.must}, but is {first.found}")
    sheet.categories = with_keys([("", sheet.categories)])[0]
    animals, notes = _animals(sheet)
    frames = [
        Frame(
            picture.path,
            tuple(animals[identity]),
            _text(picture.entry.get("film")),
            number if isinstance(number := picture.entry.get("frame"), int) else None,
            picture.size,
        )
        for identity, picture in sheet.pictures.items()
    ]
    labels = Labels(root, tuple(sheet.categories.values()), tuple(frames), tuple(notes))
    return _with_pictures_of(labels, sheet.pictures.values(), pictures or _working_folder(labels, sheet))


def _working_folder(labels: Labels, sheet: Sheet) -> Path | None:
    """The folder that ``posebed predict`` was called in, where its poses name pictures from there."""
    names = [str(picture.entry.get("file_name")) for picture in sheet.pictures.values()]
    beside = any(is_regular(labels.root / frame.picture) for frame in labels.frames)
    here = all(not Path(name).is_absolute() and is_regular(Path(name)) for name in names)
    return Path() if here and not beside else None


def _with_pictures_of(labels: Labels, entries: Any, folder: Path | None) -> Labels:
    """The labels with their pictures below another folder."""
    if folder is None:
        return labels
    names = [str(picture.entry.get("file_name")) for picture in entries]
    places = [found_in([folder], name) for name in names]
    frames = [
        replace(frame, picture=place.relative_to(folder).as_posix() if place else frame.picture)
        for frame, place in zip(labels.frames, places, strict=True)
    ]
    return replace(labels, root=folder, frames=tuple(frames))


def _animals(sheet: Sheet) -> tuple[Mapping[str, list[Animal]], list[str]]:
    """The animals by image id, and what was left out."""
    animals: dict[str, list[Animal]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    wrong: list[str] = []
    for position, raw in enumerate(sheet.annotations):
        identity = sheet.identity(position)
        picture = sheet.pictures.get(id_text(raw.get("image_id"))) if isinstance(raw, dict) else None
        category = sheet.categories.get(id_text(raw.get("category_id"))) if isinstance(raw, dict) else None
        if picture is None or category is None:
            wrong.append(identity)
            continue
        if raw.get("iscrowd") == 1 or not raw.get("keypoints"):
            left_out["crowd regions" if raw.get("iscrowd") == 1 else "annotations without keypoints"] += 1
            continue
        points = _points(raw["keypoints"], len(category.keypoints))
        if points is None:
            wrong.append(identity)
            continue
        animals[id_text(raw["image_id"])].append(
            _animal(raw, category.key, points, f"{sheet.file.annotations}: {identity}")
        )
    if wrong:
        raise ValueError(
            f"{sheet.file.annotations}: every annotation must have a known image and category and x, y and 0, 1 or 2 "
            f"of every keypoint, but {len(wrong)} have not: {shortened(wrong, 5)}; `posebed check` tells more"
        )
    return animals, [f"Left out {what}: {count}." for what, count in left_out.items()]


def _animal(raw: Mapping[str, Any], category: str, points: np.ndarray, source: str) -> Animal:
    confidence = raw.get("confidence")
    return Animal(
        category,
        points,
        _track(raw),
        _box(raw),
        predicted="score" in raw,
        score=float(raw["score"]) if is_number(raw.get("score")) else None,
        point_scores=as_floats(confidence).astype(np.float64) if isinstance(confidence, list) else None,
        source=source,
    )


def _points(values: object, keypoints: int) -> np.ndarray | None:
    """(K, 3) points; numbers may be texts. None where they are no such list."""
    try:
        points = np.array(values, np.float64).reshape(keypoints, 3)
    except (TypeError, ValueError):
        return None
    points[points[:, 2] == 0] = 0
    return points if np.isfinite(points).all() and np.isin(points[:, 2], (0, 1, 2)).all() else None


def _box(raw: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """The stated box; None where it was derived, is absent or empty, as some exporters leave it."""
    box = raw.get("bbox")
    if raw.get("bbox_derived") or not isinstance(box, list) or len(box) != 4 or not all(map(is_coordinate, box)):
        return None
    x, y, width, height = map(float, box)
    return (x, y, width, height) if width > 0 and height > 0 else None


def _track(raw: Mapping[str, Any]) -> str:
    attributes = raw.get("attributes")
    inner = attributes if isinstance(attributes, dict) else {}
    found = [
        of.get(name) for name, of in (("track_id", raw), ("track_id", inner), ("object_id", raw), ("object_id", inner))
    ]
    return next((id_text(value) for value in found if is_id(value)), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def write(labels: Labels, folder: Path) -> list[str]:
    """Write ``annotations.json`` and ``images/``. Returns what is lost, in sentences."""
    names = places(labels)
    notes = copy_pictures(labels, names, folder / "images")
    known = sizes(labels)
    content = coco_content(labels, known)
    position = {image["id"]: number for number, image in enumerate(content["images"], 1)}
    for image, name in zip(content["images"], names, strict=True):
        if size := known.get(image["file_name"]):
            image |= {"width": size[0], "height": size[1]}
        image |= {"id": position[image["id"]], "file_name": name}
    for number, annotation in enumerate(content["annotations"], 1):
        annotation |= {"id": number, "image_id": position[annotation["image_id"]]}
    write_text(json.dumps(content), folder / "annotations.json")
    return [*notes, *unique_note(labels)]
