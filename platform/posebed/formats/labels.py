"""The neutral form of labelled frames, between the label files of other tools and posebed's own records.

Coordinates are pixels of the whole picture and whole numbers are pixel centres. Each module of a format says what its
tool means by a whole number.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from posebed.annotations.skeleton import mirrored_pairs
from posebed.foreign_files import is_regular
from posebed.limits import LONGEST_NAME, LONGEST_PATH, MOST_KEYPOINTS
from posebed.listing import clipped
from posebed.records import Category

_NUMBER = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True, eq=False)
class Animal:
    """One labelled or predicted instance."""

    category: str
    """Key of its category."""
    points: np.ndarray
    """(K, 3) float64: x, y and visibility 0 unlabelled (x and y are 0), 1 labelled but hidden, 2 visible."""
    track: str = ""
    """Individual, or identity through time."""
    box: tuple[float, float, float, float] | None = None
    """x, y, width, height where the source states them."""
    predicted: bool = False
    """A model placed the points, nobody corrected them."""
    score: float | None = None
    """Confidence of a predicted animal."""
    point_scores: np.ndarray | None = None
    """(K,) confidences of a predicted animal."""
    source: str = ""
    """The file and the row or id that it was read from."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture that somebody looked at."""

    picture: str
    """Path below the root of the labels. A frame of a film is ``FILM/NUMBER``, a picture in a SLEAP package
    ``FILE.pkg.slp/VIDEO/NUMBER``."""
    animals: tuple[Animal, ...] = ()
    film: str = ""
    """The film that the picture is from; empty where the source does not tell."""
    number: int | None = None
    """Its frame number in that film, from 0."""
    size: tuple[int, int] | None = None
    """Width and height, where the source states them."""
    part: str = ""
    """train, val or test, where the source divides its pictures."""
    unique_points: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Points that belong to no animal, by name: DeepLabCut's unique body parts."""


@dataclass(frozen=True, eq=False)
class Labels:
    """The content of a label file or project."""

    root: Path
    """The folder that ``Frame.picture`` starts from."""
    categories: tuple[Category, ...]
    frames: tuple[Frame, ...]
    notes: tuple[str, ...] = ()
    """What was derived, ignored or lost, one sentence each, with counts."""
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    """Films, or folders of pictures, that were not found, and where they were looked for."""

    def animals(self) -> Iterator[Animal]:
        return (animal for frame in self.frames for animal in frame.animals)

    def flags(self) -> Counter[int]:
        """How many points of all animals have each visibility."""
        return Counter(int(v) for animal in self.animals() for v in animal.points[:, 2])


def points_of(xy: np.ndarray, visibility: np.ndarray | int = 2) -> np.ndarray:
    """(K, 3) points from (K, 2) coordinates; NaN becomes an unlabelled point.

    Args:
        visibility: of the points that are there.
    """
    there = ~np.isnan(xy).any(-1)
    flags = np.where(there, visibility, 0)
    return np.column_stack([np.where((flags > 0)[:, None], xy, 0.0), flags]).astype(np.float64)


def xy_of(points: np.ndarray) -> np.ndarray:
    """(K, 2) coordinates, NaN where a point is unlabelled."""
    return np.where(points[:, 2:] > 0, points[:, :2], np.nan)


def guessed_pairs(category: Category) -> str:
    """The sentence on left and right pairs that only names tell; empty where there are none."""
    names = category.keypoints
    pairs = ", ".join(f"{names[a]} and {names[b]}" for a, b in category.flip_pairs)
    return f"Left and right of {category.name!r} were guessed from the names: {pairs}." if pairs else ""


def category_of(
    name: str,
    keypoints: Sequence[str],
    limbs: Sequence[tuple[int, int]] = (),
    flip_pairs: Sequence[tuple[int, int]] | None = None,
    where: str = "",
) -> Category:
    """A category whose pairs, where none are given, are guessed from its names.

    Raises:
        ValueError: a keypoint has no name, or two have the same one; there are more, or longer names, than a category
            can have.
    """
    if len(keypoints) > MOST_KEYPOINTS:
        found = f"but {clipped(name)!r} has {len(keypoints)}"
        raise ValueError(f"{where}: a category must have at most {MOST_KEYPOINTS} keypoints, {found}")
    if long := [one for one in (name, *keypoints) if len(one) > LONGEST_NAME]:
        found = f"but {clipped(long[0])!r} has {len(long[0])}"
        raise ValueError(f"{where}: a name must have at most {LONGEST_NAME} characters, {found}")
    twice = [keypoint for keypoint, count in Counter(keypoints).items() if count > 1 or not keypoint.strip()]
    if twice:
        raise ValueError(f"{where or name}: keypoints must have names that differ, but {clipped(twice[0])!r} does not")
    pairs = mirrored_pairs(keypoints) if flip_pairs is None else tuple(flip_pairs)
    return Category(name, name, tuple(keypoints), limbs=tuple(limbs), flip_pairs=pairs)


def tails(foreign: str) -> Iterator[PurePosixPath]:
    """The ends of a path of another machine, be it of Windows, longest first and never leading upwards."""
    if len(foreign) > LONGEST_PATH:
        return
    parts = [part for part in PureWindowsPath(foreign).parts if part not in ("/", "\\", ".")]
    if PureWindowsPath(foreign).drive:
        parts = parts[1:]
    for start in range(len(parts)):
        if ".." not in parts[start:]:
            yield PurePosixPath(*parts[start:])


def as_given(folder: Path, given: Path) -> Path:
    """An absolute path as seen from the working folder, unless the path that led to it was absolute: a project may
    then move."""
    return folder if given.is_absolute() else Path(os.path.relpath(folder))


def below(file: Path, root: Path) -> str:
    """The path of a file from a folder that it lies below."""
    return Path(os.path.relpath(file.absolute(), root.absolute())).as_posix()


def longest_tail(foreign: str) -> str:
    """The longest end of a path of another machine that does not lead upwards; ``?`` where there is none."""
    return next((tail.as_posix() for tail in tails(foreign)), "?")


def found_in(folders: Sequence[Path], foreign: str) -> Path | None:
    """The file in one of the folders that has the longest possible end of a path of another machine."""
    places = (folder / tail for tail in tails(foreign) for folder in folders)
    return next((place for place in places if is_regular(place)), None)


def unique_note(labels: Labels) -> list[str]:
    """What formats without points that belong to no animal lose."""
    count = sum(len(frame.unique_points) for frame in labels.frames)
    return [f"Unique points, which the format cannot hold: {count}."] if count else []


def film_of(picture: str) -> str:
    """The film of a picture, by the folder that is named after it; empty where there is none."""
    folder = PurePosixPath(picture).parent.name
    return "" if folder in ("", "labeled-data") else folder


def number_of(picture: str) -> int | None:
    """The frame number of a picture, by the last digits of its name."""
    match = _NUMBER.search(PurePosixPath(picture).stem)
    return int(match[1]) if match else None
