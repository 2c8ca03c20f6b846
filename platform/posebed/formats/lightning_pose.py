"""Lightning Pose data folders: ``CollectedData.csv`` beside ``labeled-data/``, one animal per picture.

The table is DeepLabCut's of one animal, and a third column ``visible`` may hold COCO's flag. As there, coordinates are
taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posebed.formats.deeplabcut import empty_note, points_of_row, read_header_levels
from posebed.formats.labels import Animal, Frame, Labels, category_of, film_of, guessed_pairs, number_of
from posebed.formats.tables import Table, is_table, read_csv
from posebed.listing import shortened
from posebed.yamlfile import read_yaml

NAME = "Lightning Pose"
LOOKED_FOR = "CollectedData.csv beside labeled-data/ (Lightning Pose)"


def recognises(path: Path) -> bool:
    if path.is_dir():
        return any(map(is_table, _tables_in(path)))
    return path.suffix == ".csv" and is_table(path) and read_header_levels(path) == 3


def _tables_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("CollectedData*.csv"))


def read(path: Path) -> Labels:
    """Read a data folder, or one of its tables.

    Raises:
        ValueError: there is no table, or it holds no labels.
    """
    root = path if path.is_dir() else path.parent
    tables = [read_csv(file) for file in (_tables_in(path) if path.is_dir() else [path])]
    parts = list(dict.fromkeys(part for table in tables for part in table.parts("")))
    notes: list[str] = []
    stated = _stated_parts(root)
    if stated and set(stated) == set(parts):
        parts = stated
    elif stated:
        notes.append(f"Keypoints are taken from the tables, {shortened(parts)}; project.yaml says {shortened(stated)}.")
    category = category_of("animal", parts, where=str(root))
    frames = [frame for table in tables for frame in _frames(table, parts)]
    if len(tables) > 1:
        notes.append(
            f"Tables of {len(tables)} cameras are read as pictures of their own: which rows belong together is lost."
        )
    notes += filter(None, (guessed_pairs(category), empty_note(frames)))
    return Labels(root, (category,), tuple(frames), tuple(notes))


def _stated_parts(root: Path) -> list[str]:
    file = root / "project.yaml"
    given = read_yaml(file) if file.is_file() else {}
    content: Mapping[str, Any] = given if isinstance(given, dict) else {}
    names = content.get("keypoint_names")
    return [str(name) for name in names] if isinstance(names, list) else []


def _frames(table: Table, parts: list[str]) -> list[Frame]:
    cells = table.coordinates("", parts)
    wrong = ~np.isnan(cells[..., 2]) & ~np.isin(cells[..., 2], (0, 1, 2))
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise ValueError(f"{table.file} must have 0, 1 or 2 as visible, but has another value at {table.pictures[row]}")
    return [
        Frame(
            picture=picture,
            animals=() if points is None else (Animal("animal", points, source=f"{table.file.name}: {picture}"),),
            film=film_of(picture),
            number=number_of(picture),
        )
        for picture, points in ((p, points_of_row(cells[row])) for row, p in enumerate(table.pictures))
    ]
