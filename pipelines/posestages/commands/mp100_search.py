"""Find the pictures of MP-100 in the folders of the datasets that they come from.

A picture is taken where its name and its folders show which dataset it is of, where it can be decoded, and where it has
the size that the annotation file states. The pictures of CarFusion have other names there: MP-100 numbers them
``sequence * 10**8 + camera * 10**5 + frame``, and the sequence is a position in a listing of folders that no standard
orders (carfusion2coco.py of github.com/dineshreddy91/carfusion_to_coco). So camera and frame say which files it may be,
and the keypoints that CarFusion labels them with decide.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from posebed.annotations.checks import Fault, inspect_pictures
from posebed.data.images import Images, PictureFacts
from posebed.listing import shortened
from posestages.commands.mp100_sources import UNKNOWN, Source, recognised

Points = frozenset[tuple[int, int]]
"""Labelled keypoints of an instance, x and y in pixels."""

CARFUSION = "carfusion"
_ROOT = Path("/")
"""Of all that is decoded: folders and links of the user may lie anywhere."""
_CAMERA_FRAME = re.compile(r"(\d{1,3})_(\d{1,5})\.jpg", re.IGNORECASE)
_NUMBERED = re.compile(r"(\d{6,12})\.jpg")


class Why(StrEnum):
    """Why a picture is not there."""

    ABSENT = "not found"
    UNCERTAIN = "found where no folder's name says which dataset it is of"
    DAMAGED = "empty or damaged"
    OTHER_SIZE = "of another size than the annotation file states"
    DIFFERENT = "found several times with different content"
    UNSAFE = "with a path that leaves the folder"


class Missing(NamedTuple):
    why: Why
    text: str


@dataclass(frozen=True)
class Wanted:
    """A picture that annotation files name."""

    name: str
    """Its ``file_name``."""
    source: Source
    size: tuple[int, int] | None
    """Width and height as stated."""
    instances: tuple[Points, ...] = ()
    """Of CarFusion's, what is labelled on it."""

    @property
    def file(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.name).name

    @property
    def parts(self) -> tuple[str, ...]:
        return PurePosixPath(self.name).parts

    @property
    def camera_frame(self) -> tuple[int, int] | None:
        """Of CarFusion's, the numbers of camera and frame."""
        match = _NUMBERED.fullmatch(self.file) if self.source.key == CARFUSION else None
        return (int(match[1]) // 10**5 % 1000, int(match[1]) % 10**5) if match else None


@dataclass(frozen=True)
class Place:
    """A folder to look in."""

    folder: Path
    source: str | None
    """The key of the dataset that it is said to hold."""


@dataclass(frozen=True)
class Found:
    """A file in one of the folders."""

    path: Path
    folders: tuple[str, ...]
    """That it lies in, from the given one down."""
    source: str | None
    """The dataset that it is of, as was said or as its folders show."""


class Search:
    """The files below some folders, listed once.

    Args:
        out: a folder that is not looked in.
    """

    def __init__(self, places: Sequence[Place], wanted: Sequence[Wanted], out: Path) -> None:
        self._named: dict[str, list[Found]] = defaultdict(list)
        self._frames: dict[tuple[int, int], list[Found]] = defaultdict(list)
        names = {picture.file for picture in wanted}
        frames = {picture.camera_frame for picture in wanted}
        for place in places:
            for found in _files(place, out.resolve()):
                if found.path.name in names:
                    self._named[found.path.name].append(found)
                if (numbers := _camera_frame(found)) in frames and numbers:
                    self._frames[numbers].append(found)

    def find(self, wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, Path | Missing]]:
        """For each the file that is the picture, or why there is none. Every candidate is decoded first, in threads."""
        candidates = {picture.name: self._candidates(picture) for picture in wanted}
        paths = (_below_root(found.path) for of in candidates.values() for found in of)
        known = inspect_pictures(Images(_ROOT), paths)
        for picture in wanted:
            of = candidates[picture.name]
            yield picture, _only(of, picture, known) if of else self._absent(picture)

    def _candidates(self, wanted: Wanted) -> list[Found]:
        return self._carfusion(wanted) or [f for f in self._named[wanted.file] if _is_of(f, wanted)]

    def _absent(self, wanted: Wanted) -> Missing:
        places = {str(f.path.parent) for f in self._named[wanted.file] if _may_be_of(f, wanted)}
        if not places:
            return Missing(Why.ABSENT, "")
        told = f"if they are of {wanted.source.title}, give --from {wanted.source.key}=FOLDER"
        return Missing(Why.UNCERTAIN, f"in {shortened(sorted(places), 3)}; {told}")

    def _carfusion(self, wanted: Wanted) -> list[Found]:
        """The pictures of camera and frame whose labels hold every instance of the annotations."""
        numbers = wanted.camera_frame
        if numbers is None or not wanted.instances:
            return []
        return [found for found in self._frames[numbers] if _labelled_as(found.path, wanted.instances)]


def _files(place: Place, out: Path) -> Iterator[Found]:
    top = place.folder.resolve()
    for folder, below, names in os.walk(top):
        here = Path(folder)
        below[:] = sorted(name for name in below if here / name != out)
        folders = (place.folder.name or top.name, *here.relative_to(top).parts)
        source = place.source or recognised(folders)
        for name in sorted(names):
            yield Found(here / name, folders, source)


def _camera_frame(found: Found) -> tuple[int, int] | None:
    match = _CAMERA_FRAME.fullmatch(found.path.name)
    return (int(match[1]), int(match[2])) if match else None


def _fits_path(found: Found, wanted: Wanted) -> tuple[str, ...] | None:
    """The folders above those that ``file_name`` states, None where those are others."""
    inner = wanted.parts[1:-1]
    above = found.folders[: len(found.folders) - len(inner)]
    fits = found.folders[len(above) :] == inner and not wanted.source.without & {name.lower() for name in above}
    return above if fits else None


def _is_of(found: Found, wanted: Wanted) -> bool:
    """Whether the file must be the picture, if it is one of that size."""
    above = _fits_path(found, wanted)
    if above is None:
        return False
    if above and above[-1] == wanted.parts[0] and found.source in (wanted.source.key, None):
        return True  # as in MP-100 put together
    if found.source is None:
        return wanted.source.distinctive
    return found.source == wanted.source.key and (not wanted.source.by_category or wanted.parts[0] in above)


def _may_be_of(found: Found, wanted: Wanted) -> bool:
    return found.source is None and wanted.source is not UNKNOWN and _fits_path(found, wanted) is not None


def _only(candidates: Sequence[Found], wanted: Wanted, known: Mapping[str, PictureFacts | Fault]) -> Path | Missing:
    """The one picture that the candidates are, by its stated size and by content."""
    seen = {found.path: known[_below_root(found.path)] for found in candidates}
    whole = {path: facts for path, facts in seen.items() if isinstance(facts, PictureFacts)}
    fitting = {path: facts for path, facts in whole.items() if _has_size(facts, wanted.size)}
    if len({facts.sha256 for facts in fitting.values()}) > 1:
        return Missing(Why.DIFFERENT, shortened(fitting, 3))
    if fitting:
        return next(iter(fitting))
    if whole:
        path, facts = next(iter(whole.items()))
        return other_size(path, facts.size, wanted)
    faults = (f"{path}: {fault.reason}" for path, fault in seen.items() if isinstance(fault, Fault))
    return Missing(Why.DAMAGED, shortened(faults, 3))


def other_size(path: Path, size: tuple[int, int], wanted: Wanted) -> Missing:
    return Missing(Why.OTHER_SIZE, f"{path} is {_sides(size)}, stated is {_sides(wanted.size or ())}")


def _has_size(facts: PictureFacts, stated: tuple[int, int] | None) -> bool:
    """Whether it has the stated width and height, be it as viewers show it."""
    turned = facts.orientation >= 5 and facts.size[::-1] == stated
    return stated is None or facts.size == stated or turned


def _sides(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def _below_root(path: Path) -> str:
    return path.relative_to(_ROOT).as_posix()


def _labelled_as(picture: Path, instances: Sequence[Points]) -> bool:
    """Whether each instance is one of those that CarFusion labels in ``SEQUENCE/gt/CAMERA_FRAME.txt``, of the picture
    ``SEQUENCE/FOLDER/CAMERA_FRAME.jpg``."""
    labels = _labels(picture.parent.parent / "gt" / f"{picture.stem}.txt")
    return all(points and any(points <= labelled for labelled in labels) for points in instances)


def _labels(file: Path) -> tuple[Points, ...]:
    """The points of each instance, from lines ``x,y,keypoint,instance,visibility``; none where there is no file."""
    points: dict[str, set[tuple[int, int]]] = defaultdict(set)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ()
    for line in lines:
        values = line.split(",")
        try:
            points[values[3].strip()].add((int(float(values[0])), int(float(values[1]))))
        except (ValueError, IndexError, OverflowError):
            continue  # a damaged line proves nothing
    return tuple(map(frozenset, points.values()))
