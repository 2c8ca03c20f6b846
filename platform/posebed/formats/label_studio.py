"""Label Studio's JSON export; its COCO export leaves keypoints out.

Coordinates are percent of width and height of a plane, so that whole numbers of pixels are corners; other converters
pass them on unchanged, and so does this one unless ``half_pixel`` is asked for. The format has no flag for hidden
points. Written after its documentation: no export with pictures was at hand.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from posebed.annotations.checks import is_number, is_side
from posebed.annotations.jsonfile import read_json
from posebed.foreign_files import head
from posebed.formats.labels import Animal, Frame, Labels, category_of, found_in, guessed_pairs, longest_tail, points_of
from posebed.json_bounds import most_json_bytes
from posebed.listing import clipped
from posebed.records import Category

NAME = "Label Studio"
LOOKED_FOR = "a JSON file with a list of tasks (Label Studio)"
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of files that were uploaded."""
_Region = Mapping[str, Any]


def recognises(path: Path) -> bool:
    return _file(path) is not None


def _file(path: Path) -> Path | None:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path] if path.suffix == ".json" else []
    return files[0] if len(files) == 1 and _holds_tasks(files[0]) else None


def _holds_tasks(file: Path) -> bool:
    start = head(file, 4096).lstrip(b"\xef\xbb\xbf \r\n\t")
    return start.startswith(b"[") and b'"annotations"' in head(file, most_json_bytes())


def read(path: Path, pictures: Path | None = None, half_pixel: bool = False) -> Labels:
    """Read an export, or a folder that holds one.

    Args:
        pictures: a folder to look for pictures in; by default that of the file and its folder ``images``.
        half_pixel: subtract 0.5 from coordinates, which makes whole numbers pixel centres.

    Raises:
        ValueError: the file is no such export, or an object in it cannot be told.
    """
    file = _file(path)
    if file is None:
        raise ValueError(f"{path} must be or hold one JSON file with a list of Label Studio's tasks, but does not")
    content = read_json(file)
    tasks = [task for task in content if isinstance(task, dict) and isinstance(task.get("data"), dict)]
    if not tasks:
        raise ValueError(f"{file} must hold tasks with data, but holds none; export as JSON, not as JSON-MIN")
    root = pictures or file.parent
    told: Counter[str] = Counter()
    objects = [_objects(task, file, 0.5 if half_pixel else 0.0, told) for task in tasks]
    categories = _categories([one for of in objects for one in of], file)
    frames = [
        Frame(
            _picture(task["data"], [root, root / "images"], root),
            tuple(one.animal(categories[one.category], file) for one in of),
            size=next((one.size for one in of), None),
        )
        for task, of in zip(tasks, objects, strict=True)
    ]
    notes = [f"{what}: {count}." for what, count in told.items()]
    notes.append("The order of keypoints is that in which they first occur: the export does not state another.")
    notes += filter(None, map(guessed_pairs, categories.values()))
    if half_pixel:
        notes.append("Half a pixel was subtracted from every coordinate.")
    return Labels(root, tuple(categories.values()), tuple(frames), tuple(notes))


@dataclass
class _Object:
    """The keypoints of one animal, in pixels."""

    category: str
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None = None
    points: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    source: str = ""

    def animal(self, category: Category, file: Path) -> Animal:
        missing = (np.nan, np.nan)
        xy = np.array([self.points.get(name, missing) for name in category.keypoints], np.float64)
        return Animal(category.key, points_of(xy), box=self.box, source=f"{file.name}: {self.source}")


def _objects(task: Mapping[str, Any], file: Path, shift: float, told: Counter[str]) -> list[_Object]:
    """The animals of a task, by its first annotation that counts: further ones are those of other people."""
    where = f"task {task.get('id')}"
    given = [a for a in _objects_in(task.get("annotations")) if not a.get("was_cancelled")]
    told.update(["Tasks that nobody labelled"] if not given else [])
    if len(given) > 1:
        told["Annotations of the same picture by further people, left out"] += len(given) - 1
    if task.get("predictions"):
        told["Tasks with predictions, which are left out"] += 1
    results = _objects_in(given[0].get("result")) if given else []
    boxes = {r["id"]: r for r in results if r.get("type") == "rectanglelabels" and isinstance(r.get("id"), str)}
    related = _relations(results)
    objects: dict[str, _Object] = {}
    for region in (r for r in results if r.get("type") == "keypointlabels"):
        ties = (str(region.get("parentID")), *related[str(region.get("id"))])
        owner = next((name for name in ties if name in boxes), "")
        if owner not in objects:
            objects[owner] = _object(boxes.get(owner), region, file, where, shift)
        name = _label(region, "keypointlabels")
        if name in objects[owner].points:
            raise ValueError(
                f"{file} must tie the keypoints of an animal to its rectangle, but {where} has {clipped(name)!r} more "
                f"than once {'in one' if owner else 'without one'}"
            )
        x, y = _pixels(region, ("x", "y"), file, where)
        objects[owner].points[name] = x - shift, y - shift
    told.update(["Rectangles without keypoints, left out"] * (len(boxes) - len([name for name in objects if name])))
    return list(objects.values())


def _objects_in(value: object) -> list[Mapping[str, Any]]:
    """The JSON objects of a list; none of anything else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _relations(results: Iterable[_Region]) -> Mapping[str, list[str]]:
    """What each region is related to, in both directions."""
    related: dict[str, list[str]] = defaultdict(list)
    for result in results:
        if result.get("type") == "relation":
            one, other = str(result.get("from_id")), str(result.get("to_id"))
            related[one].append(other)
            related[other].append(one)
    return related


def _object(box: _Region | None, region: _Region, file: Path, where: str, shift: float) -> _Object:
    size = _size(region, file, where)
    if box is None:
        return _Object("animal", size, source=where)
    x, y, width, height = _pixels(box, ("x", "y", "width", "height"), file, where)
    return _Object(_label(box, "rectanglelabels"), size, (x - shift, y - shift, width, height), source=where)


def _label(region: _Region, kind: str) -> str:
    value = region.get("value")
    labels = value.get(kind) if isinstance(value, dict) else None
    return str(labels[0]) if isinstance(labels, list) and labels else "animal" if kind == "rectanglelabels" else ""


def _size(region: _Region, file: Path, where: str) -> tuple[int, int]:
    width, height = region.get("original_width"), region.get("original_height")
    if not (is_side(width) and is_side(height)):
        raise ValueError(f"{file} must state original_width and original_height of every region, but {where} does not")
    return int(width), int(height)


def _pixels(region: _Region, names: Sequence[str], file: Path, where: str) -> list[float]:
    """Percent of width and height as pixels."""
    size, value = _size(region, file, where), region.get("value")
    given = [value.get(name) if isinstance(value, dict) else None for name in names]
    numbers = [float(number) for number in given if is_number(number) and abs(number) < 1e9]
    if len(numbers) != len(names):
        raise ValueError(f"{file} must give {', '.join(names)} of every region as numbers, but {where} does not")
    return [number * size[i % 2] / 100 for i, number in enumerate(numbers)]


def _categories(objects: Sequence[_Object], file: Path) -> dict[str, Category]:
    names: dict[str, dict[str, None]] = defaultdict(dict)
    for one in objects:
        names[one.category] |= dict.fromkeys(one.points)
    if not names:
        raise ValueError(f"{file} must hold regions of the type keypointlabels, but holds none")
    return {name: category_of(name, list(points), where=str(file)) for name, points in names.items()}


def _picture(data: Mapping[str, Any], folders: Sequence[Path], root: Path) -> str:
    """The picture of a task, by the end of its address: that of a local file, an upload, or a place on the web."""
    texts = [value for value in data.values() if isinstance(value, str)]
    stated = next((text for text in (data.get("image"), data.get("img"), *texts) if isinstance(text, str)), "")
    address = urlsplit(stated)
    path = unquote(parse_qs(address.query).get("d", [address.path])[0])
    plain = str(Path(path).with_name(_UPLOADED.sub("", Path(path).name))) if Path(path).name else path
    place = found_in(folders, path) or found_in(folders, plain)
    if place:
        return place.relative_to(root).as_posix()
    return longest_tail(plain)
