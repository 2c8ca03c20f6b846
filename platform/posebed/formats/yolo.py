"""Ultralytics pose folders: a YAML file that names folders of pictures, and a text file of labels per picture.

Coordinates are shares of width and height; the format defines no half pixel, and they are taken as they are. With two
numbers per point 0, 0 is the only way to say that a point is missing, and there is no flag for hidden ones.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from posebed.annotations.skeleton import mirrored_pairs
from posebed.data.images import Images
from posebed.files import write_text
from posebed.foreign_files import is_folder, is_regular, read_text
from posebed.formats.labels import Animal, Frame, Labels, category_of, found_in, longest_tail, tails, unique_note
from posebed.formats.pictures import copy_pictures, picture_size, place_of, places, sizes
from posebed.formats.to_dataset import derived_box
from posebed.limits import MOST_KEYPOINTS
from posebed.listing import clipped, shortened, shown
from posebed.records import Category
from posebed.yamlfile import read_yaml, yaml_text

NAME = "Ultralytics pose"
LOOKED_FOR = "data.yaml with kpt_shape (Ultralytics pose)"
_PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_PARTS = ("train", "val", "test")


def recognises(path: Path) -> bool:
    return _yaml(path) is not None


def _yaml(path: Path) -> Path | None:
    """The file that describes the data: ``data.yaml``, or the only other one that states ``kpt_shape``."""
    files = sorted((*path.glob("*.yaml"), *path.glob("*.yml"))) if path.is_dir() else [path]
    stating = [file for file in files if file.suffix in (".yaml", ".yml") and is_regular(file) and _states_points(file)]
    usual = [file for file in stating if file.stem == "data"]
    return (usual or stating)[0] if len(usual or stating) == 1 else None


def _states_points(file: Path) -> bool:
    try:
        return "\nkpt_shape:" in "\n" + read_text(file, "a YAML file")
    except ValueError:
        return False


class _About(NamedTuple):
    """What the YAML file says."""

    file: Path
    keypoints: int
    numbers: int
    """2 or 3 per keypoint."""
    categories: tuple[Category, ...]
    """By class number."""
    content: Mapping[str, Any]


def read(path: Path) -> Labels:
    """Read the folder of a YAML file, or that file.

    Raises:
        ValueError: a file cannot be used, or the pictures are not found.
    """
    file = _yaml(path)
    if file is None:
        raise ValueError(f"{path} must hold data.yaml with kpt_shape, but does not")
    notes: list[str] = []
    about = _read_about(file, notes)
    root, frames = file.parent, dict[str, Frame]()
    images = Images(root)
    for part in _PARTS:
        for picture in _pictures(about, part):
            if picture not in frames:  # one folder may be two parts
                frames[picture] = _frame(picture, part, about, images)
    if not frames:
        raise ValueError(f"{file} must name folders of pictures below {root}, but names none for train, val or test")
    empty = sum(not frame.animals for frame in frames.values())
    notes += [f"Pictures without an instance, which the format takes for negatives: {empty}."] if empty else []
    return Labels(root, about.categories, tuple(frames.values()), tuple(notes))


def _read_about(file: Path, notes: list[str]) -> _About:
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise ValueError(f"{file} must be a mapping with kpt_shape and names, but is {shown(content)}")
    shape = content.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and _is_count(shape[0]) and shape[1] in (2, 3)):
        raise ValueError(
            f"{file} must state kpt_shape as [K, 2] or [K, 3] with K up to {MOST_KEYPOINTS}, but states "
            f"{clipped(str(shape))}"
        )
    names = content.get("names")
    classes = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(classes, dict) or set(classes) != set(range(len(classes))) or not classes:
        raise ValueError(f"{file} must have a name for every class from 0 on, but names is {clipped(str(names))}")
    keypoints = _keypoint_names(file, content.get("kpt_names"), shape[0])
    pairs = _pairs(file, content.get("flip_idx"), keypoints, notes)
    categories = [category_of(str(classes[i]), keypoints, (), pairs, str(file)) for i in range(len(classes))]
    if shape[1] == 2:
        notes.append("Two numbers per keypoint: 0, 0 is taken for missing, everything else for visible.")
    return _About(file, shape[0], shape[1], tuple(categories), content)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_KEYPOINTS


def _keypoint_names(file: Path, stated: object, count: int) -> list[str]:
    """The names that newer files state, one list for all classes or one per class; else numbers."""
    names = next(iter(stated.values()), None) if isinstance(stated, dict) else stated
    if names is None:
        return [str(i) for i in range(count)]
    if not isinstance(names, list) or len(names) != count:
        raise ValueError(f"{file} must name {count} keypoints, but kpt_names is {clipped(str(stated))}")
    return [str(name) for name in names]


def _pairs(file: Path, flip: object, names: Sequence[str], notes: list[str]) -> list[tuple[int, int]]:
    """Left and right by ``flip_idx``; where that swaps nothing, by the names."""
    guessed = list(mirrored_pairs(names))
    if flip is None:
        return guessed
    if not isinstance(flip, list) or {*map(repr, flip)} != {*map(repr, range(len(names)))} or len(flip) > len(names):
        raise ValueError(f"{file} must list every keypoint once in flip_idx, but lists {clipped(str(flip))}")
    if any(flip[flip[i]] != i for i in range(len(flip))):
        raise ValueError(f"{file} must swap keypoints in pairs, but flip_idx is {clipped(str(flip))}")
    pairs = [(i, other) for i, other in enumerate(flip) if i < other]
    if pairs or len(names) == 1:
        return pairs
    sides = ", ".join(f"{names[a]} and {names[b]}" for a, b in guessed)
    notes.append(
        f"flip_idx swaps no keypoint, although the names tell left from right; pairs are taken from the names: {sides}."
        if guessed
        else "flip_idx swaps no keypoint: if the animal has a left and a right, mirrored pictures teach the wrong side."
    )
    return guessed


def _pictures(about: _About, part: str) -> Iterator[str]:
    """The pictures of a part, by their paths below the folder of the YAML file."""
    stated = about.content.get(part)
    entries = stated if isinstance(stated, list) else [stated] if stated else []
    for entry in entries:
        place, looked = _place(about, str(entry))
        if place is None:
            raise ValueError(
                f"{about.file} must name pictures below its own folder, but {part}: {clipped(str(entry))} is not "
                f"there; looked for {shortened(looked, 4)}"
            )
        yield from _listed(place, about.file.parent) if is_regular(place) else _inside(place, about.file.parent)


def _place(about: _About, entry: str) -> tuple[Path | None, list[str]]:
    """The folder or list file of an entry. ``path`` is relative to a folder of Ultralytics' settings on another
    machine, so that only its ends count; nothing outside the YAML file's folder is looked at."""
    root = about.file.parent
    stated = str(about.content.get("path") or "")
    bases = [*(root / tail for tail in tails(stated)), root]
    candidates = [base / tail for base in bases for tail in tails(entry)]
    found = next((place for place in candidates if is_regular(place) or _holds_pictures(place)), None)
    return found, list(dict.fromkeys(str(place) for place in candidates))


def _holds_pictures(folder: Path) -> bool:
    """Whether pictures lie in a folder or, where an entry names the one above, in its folder ``images``."""
    return is_folder(folder) and any(True for _ in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    inside = folder / "images" if (folder / "images").is_dir() else folder
    return (file for file in inside.rglob("*") if file.suffix.lower() in _PICTURES)


def _inside(folder: Path, root: Path) -> list[str]:
    return sorted(file.relative_to(root).as_posix() for file in _files(folder))


def _listed(file: Path, root: Path) -> Iterator[str]:
    """The pictures that a text file names, one a line; foreign paths by their ends."""
    for line in read_text(file, "a list of pictures").splitlines():
        if line.strip():
            place = found_in([file.parent, root], line.strip())
            yield place.relative_to(root).as_posix() if place else longest_tail(line.strip())


def _frame(picture: str, part: str, about: _About, images: Images) -> Frame:
    root = about.file.parent
    labels = root / _label_path(picture)
    lines = read_text(labels, "a file of labels").splitlines() if _is_there(labels) else []
    rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    size = picture_size(images, picture, displayed=True)
    if rows and size is None:
        raise ValueError(f"{labels} needs the size of its picture, but {root / picture} cannot be read")
    animals = tuple(_animal(row, f"{labels}, line {number}", about, size) for number, row in rows if size)
    return Frame(picture, animals, part=part, size=size)


def _is_there(labels: Path) -> bool:
    """Whether a picture has a file of labels; without one it is a negative."""
    return os.path.lexists(labels)


def _label_path(picture: str) -> PurePosixPath:
    """The text file of a picture: below ``labels`` as the picture is below the last ``images``."""
    parts = list(PurePosixPath(picture).parts)
    if "images" in parts[:-1]:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
    return PurePosixPath(*parts).with_suffix(".txt")


def _animal(row: Sequence[str], where: str, about: _About, size: tuple[int, int]) -> Animal:
    wanted = 5 + about.keypoints * about.numbers
    if len(row) != wanted:
        raise ValueError(
            f"{where} must have {wanted} numbers (class, box, {about.keypoints} keypoints of {about.numbers}), but has "
            f"{len(row)}; files of boxes or outlines are no poses"
        )
    try:
        values = [float(cell) for cell in row]
    except ValueError as error:
        raise ValueError(f"{where} must hold numbers, but: {clipped(str(error))}") from error
    if not all(map(math.isfinite, values)) or values[0] not in range(len(about.categories)):
        raise ValueError(f"{where} must hold finite numbers and a class from 0 to {len(about.categories) - 1}")
    scale = np.array(size, np.float64)
    centre, extent = np.array(values[1:3]) * scale, np.array(values[3:5]) * scale
    cells = np.array(values[5:]).reshape(about.keypoints, about.numbers)
    flags = cells[:, 2] if about.numbers == 3 else np.where((cells == 0).all(1), 0, 2)
    if not np.isin(flags, (0, 1, 2)).all():
        raise ValueError(f"{where} must have 0, 1 or 2 as visibility, but has another value")
    points = np.column_stack([np.where((flags > 0)[:, None], cells[:, :2] * scale, 0), flags])
    x, y = (float(v) for v in centre - extent / 2)
    box = (x, y, float(extent[0]), float(extent[1]))
    return Animal(about.categories[int(values[0])].key, points, box=box, source=where)


def write(labels: Labels, folder: Path) -> list[str]:
    """Write ``data.yaml``, ``images/PART/`` and ``labels/PART/``; pictures of no part go into train. Returns what is
    lost, in sentences.

    Raises:
        ValueError: categories differ in their keypoints, or a picture's size is not known.
    """
    skeletons = {(category.keypoints, category.flip_pairs) for category in labels.categories}
    if len(skeletons) != 1:
        raise ValueError(
            f"an Ultralytics folder must have the same keypoints for all its classes, but "
            f"{shortened(category.key for category in labels.categories)} differ; write COCO instead"
        )
    known = sizes(labels)
    if unknown := [frame.picture for frame in labels.frames if frame.picture not in known]:
        raise ValueError(f"an Ultralytics folder needs every picture, but {shortened(unknown, 3)} cannot be read")
    turned = sum(size != known[name] for name, size in sizes(labels, displayed=True).items())
    names = places(labels, lambda frame: f"images/{frame.part or 'train'}/{place_of(frame)}")
    notes = copy_pictures(labels, names, folder)
    numbers = {category.key: number for number, category in enumerate(labels.categories)}
    for frame, name in zip(labels.frames, names, strict=True):
        lines = [_line(animal, numbers[animal.category], known[frame.picture]) for animal in frame.animals]
        write_text("".join(lines), folder / _label_path(name))
    write_text(yaml_text(_description(labels)), folder / "data.yaml")
    if turned:
        notes.append(f"Pictures that Ultralytics turns by their orientation tag: {turned}; check their points.")
    return [*notes, *_lost(labels)]


def _line(animal: Animal, number: int, size: tuple[int, int]) -> str:
    box = animal.box or derived_box(animal.points, size) or (0.0, 0.0, 0.0, 0.0)
    scale = np.array(size, np.float64)
    placed = [(box[0] + box[2] / 2) / size[0], (box[1] + box[3] / 2) / size[1], box[2] / size[0], box[3] / size[1]]
    shares = np.column_stack([animal.points[:, :2] / scale, animal.points[:, 2]])
    points = [f"{x:.8f} {y:.8f} {int(v)}" for x, y, v in shares]
    return " ".join([str(number), *(f"{value:.8f}" for value in placed), *points]) + "\n"


def _description(labels: Labels) -> dict[str, object]:
    category = labels.categories[0]
    parts = {frame.part or "train" for frame in labels.frames}
    return {
        "path": ".",
        "train": "images/train",
        "val": f"images/{'val' if 'val' in parts else 'train'}",
        **({"test": "images/test"} if "test" in parts else {}),
        "kpt_shape": [len(category.keypoints), 3],
        "flip_idx": list(category.flip_index()),
        "names": {number: one.name for number, one in enumerate(labels.categories)},
        "kpt_names": {number: list(one.keypoints) for number, one in enumerate(labels.categories)},
    }


def _lost(labels: Labels) -> list[str]:
    animals = list(labels.animals())
    links = sum(len(category.limbs) for category in labels.categories)
    counts = (
        (links, "Links"),
        (sum(bool(animal.track) for animal in animals), "Names of individuals"),
        (sum(animal.predicted for animal in animals), "Confidences of predicted animals"),
    )
    derived = sum(animal.box is None for animal in animals)
    return [
        *(f"{what}, which the format cannot hold: {count}." for count, what in counts if count),
        *([f"Boxes derived from the points: {derived}."] if derived else []),
        *unique_note(labels),
    ]
