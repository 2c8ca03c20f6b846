"""Writes DeepLabCut projects and Lightning Pose folders, whose labels are the same kind of table.

Poses that a model predicted go into DeepLabCut's ``machinelabels-iter0.h5``, which its labelling tool opens for
correction, and ``machinelabels.csv``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from posebed.files import write_text
from posebed.formats.labels import Animal, Frame, Labels, xy_of
from posebed.formats.pictures import copy_pictures, place_of, places
from posebed.formats.tables import UNIQUE, Column, Table, csv_text, write_hdf5
from posebed.listing import shortened
from posebed.records import Category
from posebed.yamlfile import yaml_text

SCORER = "posebed"


def write_deeplabcut(labels: Labels, folder: Path) -> list[str]:
    """Write a project. Returns what is lost, in sentences.

    Raises:
        ValueError: there are several categories, or PyTables is not installed.
    """
    category = only_category(labels, "a DeepLabCut project")
    names = places(labels, _in_labeled_data)
    notes = copy_pictures(labels, names, folder)
    placed = [(name, *_named(frame)) for name, frame in zip(names, labels.frames, strict=True)]
    individuals = sorted({track for _, _, animals in placed for track in animals}, key=_natural)
    unique = list(dict.fromkeys(part for frame in labels.frames for part in frame.unique_points))
    several = bool(unique) or len(individuals) > 1 or any(animal.track for animal in labels.animals())
    for place in dict.fromkeys(PurePosixPath(name).parent for name in names):
        rows = [row for row in placed if PurePosixPath(row[0]).parent == place]
        _write_folder(category, rows, individuals if several else [""], unique, folder / place)
    write_text(yaml_text(_config(category, individuals, unique, several)), folder / "config.yaml")
    unnamed = sum(not animal.track for animal in labels.animals()) if several else 0
    if unnamed:
        notes.append(f"Animals without a name, called individual1 and so on within their picture: {unnamed}.")
    return [*notes, *_lost(labels, hidden=True)]


_Row = tuple[str, Frame, Mapping[str, Animal]]
"""Path of the picture, its frame, and its animals by individual."""


def only_category(labels: Labels, what: str) -> Category:
    """The one category.

    Raises:
        ValueError: there are several.
    """
    used = {animal.category for animal in labels.animals()}
    categories = [category for category in labels.categories if category.key in used] or labels.categories[:1]
    if len(categories) != 1:
        names = shortened(category.key for category in categories)
        raise ValueError(f"{what} must have one category, but there are {len(categories)}: {names}; write COCO instead")
    return categories[0]


def _in_labeled_data(frame: Frame) -> str:
    """``labeled-data/FOLDER/PICTURE``, where the folder is the film or the picture's own folders in one word."""
    place = PurePosixPath(place_of(frame))
    folders = [part for part in place.parent.parts if part not in ("labeled-data", "images")]
    return f"labeled-data/{'_'.join(folders) or 'pictures'}/{place.name}"


def _named(frame: Frame) -> tuple[Frame, Mapping[str, Animal]]:
    """The animals of a frame by individual; those without a name of their own are numbered."""
    tracks = Counter(animal.track for animal in frame.animals)
    named = {animal.track: animal for animal in frame.animals if animal.track and tracks[animal.track] == 1}
    free = (name for i in range(1, 2 * len(frame.animals) + 1) if (name := f"individual{i}") not in named)
    return frame, {**named, **{next(free): a for a in frame.animals if a.track not in named}}


def _natural(name: str) -> tuple[str, int]:
    digits = len(name) - len(name.rstrip("0123456789"))
    return (name[:-digits], int(name[-digits:])) if digits else (name, 0)


def _write_folder(
    category: Category, rows: Sequence[_Row], individuals: Sequence[str], unique: Sequence[str], folder: Path
) -> None:
    """The tables of one folder of pictures: of people, and of a model where it placed some."""
    folder.mkdir(parents=True, exist_ok=True)
    predicted = [row for row in rows if any(animal.predicted for animal in row[2].values())]
    labelled = [row for row in rows if row not in predicted]
    for wanted, stem, coords in (
        (labelled, f"CollectedData_{SCORER}", ("x", "y")),
        (predicted, "machinelabels-iter0", ("x", "y", "likelihood")),
    ):
        if wanted:
            table = _table(folder / stem, category, wanted, individuals, unique, coords)
            csv = "machinelabels" if coords[2:] else stem
            write_text(csv_text(table), folder / f"{csv}.csv")
            write_hdf5(table, folder / f"{stem}.h5")


def _table(
    file: Path,
    category: Category,
    rows: Sequence[_Row],
    individuals: Sequence[str],
    unique: Sequence[str],
    coords: Sequence[str],
) -> Table:
    several = individuals != [""]
    columns = [Column(SCORER, name, part, c) for name in individuals for part in category.keypoints for c in coords]
    columns += [Column(SCORER, UNIQUE, part, coord) for part in unique for coord in coords]
    values = [
        np.concatenate(
            [
                *(_cells(_animal_of(animals, name), len(category.keypoints), len(coords)) for name in individuals),
                *(_loose(frame.unique_points.get(part), len(coords)) for part in unique),
            ]
        )
        for _, frame, animals in rows
    ]
    return Table(file, tuple(columns), tuple(name for name, _, _ in rows), np.array(values), several)


def _animal_of(animals: Mapping[str, Animal], name: str) -> Animal | None:
    """The animal of that individual; with an empty name the only one that there is."""
    return animals.get(name) if name else next(iter(animals.values()), None)


def _cells(animal: Animal | None, keypoints: int, coords: int) -> np.ndarray:
    """(K x coords,) coordinates, and confidences where there is a third."""
    cells = np.full((keypoints, coords), np.nan)
    if animal is not None:
        cells[:, :2] = xy_of(animal.points)
        if coords == 3:
            known = animal.point_scores if animal.point_scores is not None else np.full(keypoints, animal.score or 1.0)
            cells[:, 2] = np.where(animal.points[:, 2] > 0, known, np.nan)
    return cells.ravel()


def _loose(point: tuple[float, float] | None, coords: int) -> np.ndarray:
    cells = np.full(coords, np.nan)
    if point is not None:
        cells[:2] = point
    return cells


def _config(category: Category, individuals: Sequence[str], unique: Sequence[str], several: bool) -> dict[str, object]:
    """DeepLabCut's configuration. It completes what is not there and corrects the path when it opens the project."""
    names = list(category.keypoints)
    animals = {
        "multianimalproject": True,
        "identity": False,
        "individuals": list(individuals),
        "multianimalbodyparts": names,
        "uniquebodyparts": list(unique),
        "bodyparts": "MULTI!",
    }
    return {
        "Task": category.name,
        "scorer": SCORER,
        "date": "",
        "project_path": ".",
        "video_sets": {},
        **(animals if several else {"multianimalproject": False, "bodyparts": names}),
        "skeleton": [[names[a], names[b]] for a, b in category.limbs],
    }


def write_lightning_pose(labels: Labels, folder: Path) -> list[str]:
    """Write a data folder. Returns what is lost, in sentences.

    Raises:
        ValueError: there are several categories, several animals in a picture, or predictions.
    """
    category = only_category(labels, "a Lightning Pose folder")
    crowded = sum(len(frame.animals) > 1 for frame in labels.frames)
    if crowded:
        raise ValueError(
            f"a Lightning Pose folder must have one animal per picture, but {crowded} pictures have more; write a "
            f"DeepLabCut project or COCO instead"
        )
    if any(animal.predicted for animal in labels.animals()):
        raise ValueError("a Lightning Pose folder must hold labels of people, but some are predictions; write SLEAP's")
    names = places(labels, _in_labeled_data)
    notes = copy_pictures(labels, names, folder)
    columns = [Column(SCORER, "", part, coord) for part in category.keypoints for coord in ("x", "y", "visible")]
    values = [_with_flags(frame.animals[0] if frame.animals else None, len(columns)) for frame in labels.frames]
    table = Table(folder / "CollectedData.csv", tuple(columns), tuple(names), np.array(values), several=False)
    write_text(csv_text(table, in_parts=False), table.file)
    about = {"data_dir": ".", "view_names": [], "keypoint_names": list(category.keypoints)}
    write_text(yaml_text(about), folder / "project.yaml")
    tracks = sum(bool(animal.track) for animal in labels.animals())
    notes += [f"Names of individuals, which the format cannot hold: {tracks}."] if tracks else []
    notes += [f"Links, which the format cannot hold: {len(category.limbs)}."] if category.limbs else []
    return [*notes, *_lost(labels, hidden=False)]


def _with_flags(animal: Animal | None, width: int) -> np.ndarray:
    """(K x 3,) x, y and flag of every keypoint."""
    if animal is None:
        return np.full(width, np.nan)
    return np.column_stack([xy_of(animal.points), animal.points[:, 2]]).ravel()


def _lost(labels: Labels, hidden: bool) -> list[str]:
    """What such tables cannot hold.

    Args:
        hidden: they have no flag for hidden points.
    """
    boxes = sum(animal.box is not None for animal in labels.animals())
    flags = labels.flags()[1] if hidden else 0
    return [
        *([f"Boxes, which the format cannot hold: {boxes}."] if boxes else []),
        *([f"Hidden points, which become visible ones: {flags}."] if flags else []),
    ]
