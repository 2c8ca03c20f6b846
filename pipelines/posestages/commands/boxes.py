"""The boxes of pictures, from a COCO file that names the pictures by their paths."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from posebed.annotations.checks import box_faults, id_text, is_id, is_text, shown
from posebed.annotations.jsonfile import read_json
from posebed.data.images import Images
from posebed.limits import MOST_ON_PICTURE
from posebed.listing import shortened

Box = tuple[float, float, float, float]
"""x, y, width and height in pixels."""

_EXACT = 1 << 30
"""How well a name fits a picture whose very path it is; else the number of components that both end in."""


def whole(picture: np.ndarray) -> Box:
    """The picture as one box."""
    height, width = picture.shape[:2]
    return (0.0, 0.0, float(width), float(height))


def distinct(paths: Sequence[Path]) -> list[Path]:
    """The pictures, each once, however often and by whichever spelling of its path it is given.

    Raises:
        ValueError: a picture is not there.
    """
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise ValueError(f"pictures must be files, but there is no {shortened(missing)}")
    first: dict[str, Path] = {}
    for path in paths:
        first.setdefault(_place(path), path)
    return list(first.values())


def boxes_of(paths: Sequence[Path], file: Path | None) -> dict[Path, list[Box]]:
    """The boxes of each picture; none of any without a file. The pictures must differ.

    Raises:
        ValueError: the file is no COCO JSON with boxes, has no sound box for a picture, or leaves open which of its
            pictures one is.
    """
    if file is None:
        return {}
    annotations = _annotations(file)
    names = matched(paths, list(annotations), file)
    by_path = {path: annotations[names[path]] for path in paths if path in names}
    if without := [str(path) for path in paths if not by_path.get(path)]:
        there = shortened([name for name, of in annotations.items() if of], none="none of any")
        raise ValueError(
            f"{file} must have a box for every picture, but has none for {shortened(without)}; it has {there}"
        )
    if crowded := [str(path) for path, of in by_path.items() if len(of) > MOST_ON_PICTURE]:
        raise ValueError(
            f"{file} must have at most {MOST_ON_PICTURE} boxes for a picture, but has more for {shortened(crowded)}"
        )
    return {path: [_sound_box(file, path, *one) for one in of] for path, of in by_path.items()}


def matched(paths: Sequence[Path], names: Sequence[str], file: Path) -> dict[Path, str]:
    """The name in the file that means each picture, if there is one: its path from here or from the file's folder, else
    the one name that ends like it in the most components, which must fit no other picture as well.

    Raises:
        ValueError: several names fit a picture equally well, or several pictures a name.
    """
    by_base, fits = defaultdict[str, list[str]](list), dict[Path, dict[str, int]]()
    for name in names:
        by_base[PurePath(name).name].append(name)
    rivals = defaultdict[str, dict[Path, int]](dict)
    for path in paths:
        fits[path] = {name: _fit(path, name, file.parent) for name in by_base[path.name]}
        for name, fit in fits[path].items():
            rivals[name][path] = fit
    matches: dict[Path, str] = {}
    for path in paths:
        best = _best(fits[path])
        if len(best) > 1:
            raise ValueError(f"{file} must name each picture so that it is clear, but {path} may be {_or(best)}")
        if not best:
            continue
        like = _best(rivals[best[0]])
        if len(like) > 1:
            raise ValueError(f"{file} must name each picture so that it is clear, but {best[0]} may be {_or(like)}")
        if like == [path]:
            matches[path] = best[0]
    return matches


def _fit(path: Path, name: str, folder: Path) -> int:
    here = _place(path)
    if here in (_place(Path(name)), _place(folder / name)):
        return _EXACT
    ends = zip(reversed(PurePath(here).parts), reversed(PurePath(os.path.normpath(name)).parts), strict=False)
    equal = [one == other for one, other in ends]
    return equal.index(False) if False in equal else len(equal)


def _place(path: Path) -> str:
    """The absolute path; links are kept, since several may lead to one picture."""
    return os.path.normpath(path.absolute())


def _best(fits: Mapping[Any, int]) -> list[Any]:
    """Those that fit best, which is none where nothing does."""
    most = max(fits.values(), default=0)
    return [one for one, fit in fits.items() if fit == most and fit]


def _or(candidates: Sequence[object]) -> str:
    return " or ".join(map(str, candidates[:5]))


def _annotations(file: Path) -> dict[str, list[tuple[str, Any]]]:
    """By the names of pictures, in normal form, the ids and boxes of their annotations.

    Raises:
        ValueError: the file is no COCO JSON.
    """
    content = read_json(file)
    images, annotations = (_entries(file, content, key) for key in ("images", "annotations"))
    names: dict[str, str] = {}
    for position, image in enumerate(images):
        identity, name = image.get("id"), image.get("file_name")
        if not is_id(identity) or not is_text(name):
            actual = f"{shown(identity)} and {shown(name)}"
            raise ValueError(f"{file}: images[{position}] must have an id and a file_name, but has {actual}")
        if id_text(identity) in names:
            raise ValueError(f"{file} must have one image of an id, but has several of {shown(identity)}")
        names[id_text(identity)] = os.path.normpath(name)
    by_name: dict[str, list[tuple[str, Any]]] = {name: [] for name in names.values()}
    for position, annotation in enumerate(annotations):
        identity = annotation.get("id")
        title = f"annotation {identity}" if is_id(identity) else f"annotations[{position}]"
        image = annotation.get("image_id")
        if not is_id(image) or id_text(image) not in names:
            raise ValueError(f"{file}: image_id of {title} must be an image of the file, but is {shown(image)}")
        by_name[names[id_text(image)]].append((title, annotation.get("bbox")))
    return by_name


def _entries(file: Path, content: Any, key: str) -> list[dict[str, Any]]:
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{file} must be COCO JSON with lists of images and annotations, but {key} is no such list")
    return entries


def _sound_box(file: Path, path: Path, annotation: str, box: Any) -> Box:
    picture = path.resolve()  # one that the user names may be a link to anywhere
    for fault in box_faults(box, Images(picture.parent).size(picture.name)):
        raise ValueError(f"{file}: {fault.field} of {annotation} must be {fault.must}, but is {fault.found}")
    x, y, width, height = box
    return (float(x), float(y), float(width), float(height))
