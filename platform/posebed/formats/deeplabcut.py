"""DeepLabCut projects: ``config.yaml`` and ``labeled-data/VIDEO/CollectedData_SCORER.csv`` or ``.h5``.

The tables say nothing of the half pixel; people click on pictures whose whole numbers are pixel centres, so that
coordinates are taken as they are. There is no flag for hidden points: what is labelled is visible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from posebed.foreign_files import is_regular, read_text
from posebed.formats.labels import (
    Animal,
    Frame,
    Labels,
    as_given,
    below,
    category_of,
    film_of,
    guessed_pairs,
    number_of,
    points_of,
)
from posebed.formats.tables import UNIQUE, Table, differences, is_table, read_csv, read_hdf5
from posebed.listing import counted, shortened
from posebed.records import Category
from posebed.yamlfile import read_yaml

NAME = "DeepLabCut"
LOOKED_FOR = "labeled-data/VIDEO/CollectedData_SCORER.csv or .h5 (DeepLabCut)"


def recognises(path: Path) -> bool:
    if path.is_dir():
        return bool(_tables_below(_project(path)))
    if path.suffix == ".csv":
        return is_table(path) and (_in_labeled_data(path) or read_header_levels(path) == 4)
    return (path.suffix == ".h5" and _in_labeled_data(path)) or (
        path.name == "config.yaml" and bool(_tables_below(path.parent))
    )


def read_header_levels(path: Path) -> int:
    """How many header rows a table of labels has: 3 of one animal, 4 of several."""
    lines = read_text(path, "a CSV file").split("\n", 2)
    return 4 if len(lines) > 1 and lines[1].startswith("individuals") else 3


def _in_labeled_data(path: Path) -> bool:
    return path.absolute().parent.parent.name == "labeled-data"


def _project(folder: Path) -> Path:
    """The project that a folder is, or is the ``labeled-data`` of."""
    return as_given(folder.absolute().parent, folder) if folder.absolute().name == "labeled-data" else folder


def _tables_below(project: Path) -> list[Path]:
    """The tables of labels of a project, each without its ending, sorted."""
    files = (file for ending in ("csv", "h5") for file in project.glob(f"labeled-data/*/CollectedData*.{ending}"))
    return sorted({file.with_suffix("") for file in files})


class _Project(NamedTuple):
    """What ``config.yaml`` says beside the tables."""

    name: str
    scorer: str
    parts: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def read(path: Path) -> Labels:
    """Read a project, its folder ``labeled-data``, its ``config.yaml``, or one of its tables.

    Raises:
        ValueError: a table or the configuration cannot be used, or several scorers labelled a film.
    """
    root, stems = _root_and_tables(path)
    project = _read_config(root)
    notes: list[str] = []
    tables = [_read_table(stem, notes) for stem in _of_one_scorer(stems, project, notes)]
    category = _category(tables, project, notes, root)
    unique = unique_parts(tables)
    frames = [frame for table in tables for frame in _frames(table, category, root)]
    notes += filter(None, (guessed_pairs(category), _unique_note(frames, unique), empty_note(frames)))
    return Labels(root, (category,), tuple(frames), tuple(notes))


def _root_and_tables(path: Path) -> tuple[Path, list[Path]]:
    if path.is_dir() or path.name == "config.yaml":
        root = _project(path) if path.is_dir() else path.parent
        return root, _tables_below(root)
    folder = path.absolute().parent
    return as_given(folder.parent.parent if _in_labeled_data(path) else folder, path), [path]


def _of_one_scorer(stems: Sequence[Path], project: _Project, notes: list[str]) -> list[Path]:
    """The tables, one of each folder: where several scorers labelled it, that of the configuration's scorer."""
    chosen: list[Path] = []
    for folder in dict.fromkeys(stem.parent for stem in stems):
        own = [stem for stem in stems if stem.parent == folder]
        wanted = [stem for stem in own if stem.name == f"CollectedData_{project.scorer}"] if len(own) > 1 else own
        if len(wanted) != 1:
            names = shortened(stem.name for stem in own)
            raise ValueError(f"{folder} must hold one table of labels, but holds {names}; name the one to read")
        if others := [stem.name for stem in own if stem not in wanted]:
            notes.append(f"Tables of other scorers in {folder.name}, left out: {shortened(others)}.")
        chosen += wanted
    return chosen


def _read_table(stem: Path, notes: list[str]) -> Table:
    """A table from its CSV, or from its HDF5 where there is no CSV; where there are both they are compared."""
    if stem.suffix in (".csv", ".h5"):
        return read_csv(stem) if stem.suffix == ".csv" else read_hdf5(stem)
    file, binary = (stem.with_name(f"{stem.name}.{ending}") for ending in ("csv", "h5"))
    if not is_regular(file):
        return read_hdf5(binary)
    table = read_csv(file)
    if binary.is_file():
        try:
            unequal = differences(table, read_hdf5(binary))
        except ValueError as error:
            notes.append(f"Not compared with its CSV file: {error}.")
        else:
            if unequal:
                where = shortened(unequal, 3)
                notes.append(
                    f"{file.name} and its HDF5 file differ in {counted(len(unequal), 'place')}: {where}; read: CSV."
                )
    return table


def _read_config(root: Path) -> _Project:
    """What the configuration says; nothing where there is none.

    Raises:
        ValueError: it is no YAML.
    """
    file = root / "config.yaml"
    given = read_yaml(file) if file.is_file() else {}
    content: Mapping[str, Any] = given if isinstance(given, dict) else {}
    several = content.get("multianimalproject") is True
    parts = content.get("multianimalbodyparts" if several else "bodyparts")
    links = content.get("skeleton")
    return _Project(
        str(content.get("Task") or "animal"),
        str(content.get("scorer") or ""),
        tuple(map(str, parts)) if isinstance(parts, list) else (),
        tuple((str(a), str(b)) for a, b in filter(_is_pair, links)) if isinstance(links, list) else (),
    )


def _is_pair(link: object) -> bool:
    return isinstance(link, list) and len(link) == 2


def unique_parts(tables: Sequence[Table]) -> list[str]:
    """Body parts of the pseudo individual for what belongs to no animal."""
    return list(dict.fromkeys(p for t in tables if len(t.individuals()) > 1 for p in t.parts(UNIQUE)))


def _animals_of(table: Table) -> list[str]:
    return [name for name in table.individuals() if name != UNIQUE or len(table.individuals()) == 1]


def _category(tables: Sequence[Table], project: _Project, notes: list[str], root: Path) -> Category:
    """The skeleton: the table says which body parts there are, the configuration in which order."""
    names = list(dict.fromkeys(p for table in tables for name in _animals_of(table) for p in table.parts(name)))
    if project.parts and set(project.parts) == set(names):
        names = list(project.parts)
    elif project.parts:
        notes.append(
            f"Body parts are taken from the tables, {shortened(names)}; config.yaml says {shortened(project.parts)}."
        )
    usable = [(names.index(a), names.index(b)) for a, b in project.links if a in names and b in names and a != b]
    if len(usable) < len(project.links):
        notes.append(
            f"Links of config.yaml to body parts that no table has, left out: {len(project.links) - len(usable)}."
        )
    return category_of(project.name, names, list(dict.fromkeys(usable)), where=str(root))


def _frames(table: Table, category: Category, root: Path) -> list[Frame]:
    parts = category.keypoints
    animals = {name: table.coordinates(name, parts) for name in _animals_of(table)}
    unique = unique_parts([table])
    loose = table.coordinates(UNIQUE, unique) if unique else np.empty((len(table.pictures), 0, 3))

    def named(cells: np.ndarray) -> list[tuple[str, float, float]]:
        return [(part, float(x), float(y)) for part, (x, y, _) in zip(unique, cells, strict=True)]

    return [
        Frame(
            picture=_place(picture, table.file, root),
            animals=tuple(
                Animal(category.key, points, name, source=f"{table.file.name}: {picture}")
                for name, of in animals.items()
                if (points := points_of_row(of[row])) is not None
            ),
            film=film_of(picture),
            number=number_of(picture),
            unique_points={p: (x, y) for p, x, y in named(loose[row]) if not math.isnan(x)},
        )
        for row, picture in enumerate(table.pictures)
    ]


def points_of_row(cells: np.ndarray) -> np.ndarray | None:
    """(K, 3) points from x, y and the flag of a column ``visible``, where there is one; None without any point."""
    flags = np.where(np.isnan(cells[:, 2]), 2, cells[:, 2])
    points = points_of(cells[:, :2], flags)
    return points if points[:, 2].any() else None


def _place(picture: str, table: Path, root: Path) -> str:
    """The picture's path below the root: as stated, or beside the table where only its name is right."""
    beside = table.with_name(PurePosixPath(picture).name)
    return below(beside, root) if is_regular(beside) and not is_regular(root / picture) else picture


def _unique_note(frames: Sequence[Frame], unique: Sequence[str]) -> str:
    groups = sum(bool(frame.unique_points) for frame in frames)
    if not unique:
        return ""
    where = counted(groups, "frame")
    return f"Unique body parts belong to no animal and are kept apart: {shortened(unique)}, labelled in {where}."


def empty_note(frames: Sequence[Frame]) -> str:
    empty = sum(not frame.animals for frame in frames)
    return f"Pictures without a label: {empty}; nobody can say whether they hold an animal." if empty else ""
