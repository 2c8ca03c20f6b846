"""The table of DeepLabCut and Lightning Pose: three or four header rows, then one row of coordinates per picture.

CSV and HDF5 hold the same table. HDF5 is read with h5py and not with PyTables, which unpickles what a file brings.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from posebed.data.hdf5 import one_line, open_hdf5
from posebed.foreign_files import is_regular, read_text
from posebed.limits import MOST_TABLE_BYTES
from posebed.listing import amount, clipped, shortened

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
UNIQUE = "single"
"""DeepLabCut's pseudo individual for body parts that belong to no animal."""
KEY = "df_with_missing"
"""Of the tables that are written."""


class Column(NamedTuple):
    """The header of one column."""

    scorer: str
    individual: str
    """Empty in a table of one animal."""
    part: str
    coord: str
    """x, y, and in some tables visible or likelihood."""


@dataclass(frozen=True, eq=False)
class Table:
    """Labels of pictures."""

    file: Path
    columns: tuple[Column, ...]
    pictures: tuple[str, ...]
    """Path of the picture of each row, as stated, with forward slashes."""
    values: np.ndarray
    """(rows, columns) float64, NaN where a cell is empty."""
    several: bool
    """It has the header row of individuals."""

    def individuals(self) -> list[str]:
        return list(dict.fromkeys(column.individual for column in self.columns))

    def parts(self, individual: str) -> list[str]:
        return list(dict.fromkeys(column.part for column in self.columns if column.individual == individual))

    def coordinates(self, individual: str, parts: Sequence[str]) -> np.ndarray:
        """(rows, parts, 3): x, y and what the column ``visible`` holds; NaN where there is no such column."""
        place = {(c.part, c.coord): i for i, c in enumerate(self.columns) if c.individual == individual}
        blank = np.full(len(self.pictures), np.nan)
        cells = [
            [self.values[:, place[part, coord]] if (part, coord) in place else blank for coord in ("x", "y", "visible")]
            for part in parts
        ]
        return np.array(cells, np.float64).transpose(2, 0, 1).reshape(len(self.pictures), len(parts), 3)


def is_table(path: Path) -> bool:
    """Whether a CSV file starts as such a table, of labels or of predictions."""
    if not is_regular(path):
        return False
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = [line for line, _ in zip(csv.reader(file), range(4), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    names = [line[0] if line else "" for line in head]
    return names[:3] == ["scorer", "bodyparts", "coords"] or names == list(LEVELS)


def read_csv(path: Path) -> Table:
    """Read a table of labels.

    Raises:
        ValueError: it is no such table, or holds predictions.
    """
    text = read_text(path, "a CSV file")
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise ValueError(f"{path} must be a CSV file in UTF-8 that can be read, but: {error}") from error
    several = len(rows) > 1 and rows[1][0] == "individuals"
    levels = [level for level in LEVELS if several or level != "individuals"]
    head, body = rows[: len(levels)], rows[len(levels) :]
    if [row[0] for row in head] != levels:
        raise ValueError(f"{path} must start with the header rows {', '.join(levels)}, but does not")
    before = _index_columns(head[-1])
    width = len(head[-1])
    if long := [n for n, row in enumerate(rows, 1) if len(row) > width or (n <= len(head) and len(row) < width)]:
        raise ValueError(f"{path} must have {width} cells in every row, but row {long[0]} has {len(rows[long[0] - 1])}")
    body = [row + [""] * (width - len(row)) for row in body]  # empty cells at the end may be left out
    named = dict(zip(levels, head, strict=True))
    columns = [
        Column(*(named[level][i].strip() if level in named else "" for level in LEVELS)) for i in range(before, width)
    ]
    values = [[_number(cell, path, n) for cell in row[before:]] for n, row in enumerate(body, len(levels) + 1)]
    index = ["/".join(cell for cell in row[:before] if cell) for row in body]
    return _checked(path, columns, index, np.array(values, np.float64).reshape(len(body), len(columns)), several)


def _index_columns(coords: Sequence[str]) -> int:
    """How many columns come before the first coordinate."""
    return 3 if len(coords) > 3 and coords[1:3] == ["", ""] else 1


def _number(cell: str, path: Path, row: int) -> float:
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError as error:
        raise ValueError(f"{path} must hold numbers, but row {row} has {clipped(cell)!r}") from error
    if math.isinf(value):
        raise ValueError(f"{path} must hold finite numbers, but row {row} has {cell}")
    return value


def read_hdf5(path: Path) -> Table:
    """Read a table that pandas wrote in its fixed form, as DeepLabCut does.

    Raises:
        ValueError: h5py is not installed, or the file is damaged or no such table.
    """
    with open_hdf5(path) as file:
        try:
            group = _only_table(file)
            header, index = _multi_index(group, "axis0"), _multi_index(group, "axis1")
            names = [_name(group, "axis0", level) for level in range(len(header[0]) if header else 0)]
            values = _values(group, header, len(index))
        except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, AttributeError) as error:
            raise ValueError(
                f"{path} must hold one table of DeepLabCut in pandas' fixed form, but does not: "
                f"{one_line(error)}; give the CSV file instead"
            ) from error
    several = "individuals" in names or len(names) == 4
    levels = [level for level in LEVELS if several or level != "individuals"]
    columns = [Column(**{"individual": "", **_named(levels, entry)}) for entry in header]
    return _checked(path, columns, ["/".join(entry) for entry in index], values, several)


def _only_table(file: Any) -> Any:
    """The table of a file: DeepLabCut calls it ``df_with_missing``, its labelling tool ``keypoints``."""
    names = list(file.keys())
    if len(names) != 1:
        raise ValueError(f"it holds {shortened(names, 5)}")
    return file[names[0]]


def _values(group: Any, header: Sequence[tuple[str, ...]], rows: int) -> np.ndarray:
    """(rows, columns) float64. Columns of each type are a block of their own."""
    place = {entry: i for i, entry in enumerate(header)}
    values = np.full((rows, len(header)), np.nan)
    for block in range(int(group.attrs["nblocks"])):
        columns = [place[entry] for entry in _multi_index(group, f"block{block}_items")]
        cells = group[f"block{block}_values"]
        if cells.nbytes > MOST_TABLE_BYTES:
            raise ValueError(f"it states a table of {amount(cells.nbytes)}, more than {amount(MOST_TABLE_BYTES)}")
        values[:, columns] = np.asarray(cells, np.float64)
    return values


def _named(levels: Sequence[str], entry: Sequence[str]) -> dict[str, str]:
    fields: dict[str, str] = dict(zip(LEVELS, Column._fields, strict=True))
    return {fields[level]: value for level, value in zip(levels, entry, strict=True)}


def _name(group: Any, axis: str, level: int) -> str:
    name = group[f"{axis}_level{level}"].attrs.get("name", b"")
    return name.decode() if isinstance(name, bytes) else str(name)


def _multi_index(group: Any, axis: str) -> list[tuple[str, ...]]:
    """The entries of an index, each a text per level. Only fixed-length texts: others would be pickled."""
    if axis in group:
        return [(text,) for text in _texts(group[axis])]
    levels = int(group.attrs[f"{axis}_nlevels"])
    texts = [_texts(group[f"{axis}_level{level}"]) for level in range(levels)]
    codes = [np.asarray(group[f"{axis}_label{level}"]) for level in range(levels)]
    if any((of < 0).any() for of in codes):
        raise ValueError(f"{axis} has an entry without a name")
    return [tuple(of[code] for of, code in zip(texts, entry, strict=True)) for entry in zip(*codes, strict=True)]


def _texts(data: Any) -> list[str]:
    if data.dtype.kind in "iu":
        return [str(value) for value in data[:]]
    if data.dtype.kind != "S":
        raise ValueError(f"{data.name} is no list of texts")
    return [value.decode() for value in data[:]]


def _checked(path: Path, columns: list[Column], index: list[str], values: np.ndarray, several: bool) -> Table:
    if values.shape != (len(index), len(columns)):
        raise ValueError(
            f"{path} must have a value for {len(index)} rows and {len(columns)} columns, but has "
            f"{' x '.join(map(str, values.shape))}"
        )
    if any(c.coord == "likelihood" for c in columns) or (index and all(entry.isdecimal() for entry in index)):
        raise ValueError(
            f"{path} must hold labels, but is a table of predictions (a column likelihood, or frame numbers in place "
            f"of pictures); give the file that a person labelled"
        )
    if several and any(not column.individual for column in columns):
        raise ValueError(f"{path} must name the individual of every column, but some have no name")
    if any(not column.part for column in columns):
        raise ValueError(f"{path} must name the body part of every column, but some have no name")
    for names, what in ((columns, "column"), (index, "picture")):
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise ValueError(f"{path} must have every {what} once, but has {_shown(twice[0])} more than once")
    pictures = tuple(_forward(entry) for entry in index)
    table = Table(path, tuple(columns), pictures, values, several)
    _must_be_pairs(table)
    return table


def _shown(name: object) -> str:
    return "/".join(filter(None, name)) if isinstance(name, tuple) else str(name)


def _forward(picture: str) -> str:
    return PurePosixPath(picture.replace("\\", "/")).as_posix()


def _must_be_pairs(table: Table) -> None:
    """Raise where one of x and y is there without the other."""
    torn: list[str] = []
    for individual in table.individuals():
        parts = table.parts(individual)
        empty = np.isnan(table.coordinates(individual, parts)[..., :2])
        for row, part in np.argwhere(empty[..., 0] != empty[..., 1]):
            torn.append(" ".join(filter(None, (table.pictures[row], individual, parts[part]))))
    if torn:
        raise ValueError(f"{table.file} must have both x and y of a point or none, but has one of {shortened(torn, 5)}")


def differences(first: Table, second: Table) -> list[str]:
    """What two tables of the same labels do not share, in words; empty where they agree to 1e-6 pixels."""
    places = [{cell: i for i, cell in enumerate(table.columns)} for table in (first, second)]
    rows = [{picture: i for i, picture in enumerate(table.pictures)} for table in (first, second)]
    alone = [*(places[0].keys() ^ places[1].keys()), *(rows[0].keys() ^ rows[1].keys())]
    found = sorted(_shown(name) for name in alone)
    if found:
        return found
    order = np.ix_([rows[1][p] for p in first.pictures], [places[1][c] for c in first.columns])
    unequal = ~np.isclose(first.values, second.values[order], rtol=0, atol=1e-6, equal_nan=True)
    return [f"{_shown(first.columns[c][1:])} of {first.pictures[r]}" for r, c in np.argwhere(unequal)]


def csv_text(table: Table, in_parts: bool = True) -> str:
    """The table as CSV.

    Args:
        in_parts: the paths of pictures have three parts, each in a column of its own, as newer DeepLabCut writes them.
    """
    split = [picture.split("/") for picture in table.pictures]
    blank = ["", ""] if in_parts else []
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for level, cells in zip(LEVELS, zip(*table.columns, strict=True), strict=True):
        if level != "individuals" or table.several:
            writer.writerow([level, *blank, *cells])
    for picture, parts, row in zip(table.pictures, split, table.values, strict=True):
        cells = ["" if np.isnan(v) else repr(float(v)) for v in row]
        writer.writerow([*(parts if in_parts else [picture]), *cells])
    return text.getvalue()


def write_hdf5(table: Table, path: Path) -> None:
    """Write the table as DeepLabCut does.

    Raises:
        ValueError: PyTables is not installed.
    """
    import pandas as pd

    levels = [level for level in LEVELS if table.several or level != "individuals"]
    cells = [column if table.several else (column.scorer, column.part, column.coord) for column in table.columns]
    index = pd.MultiIndex.from_tuples([tuple(picture.split("/")) for picture in table.pictures])
    frame = pd.DataFrame(table.values, index, pd.MultiIndex.from_tuples([tuple(c) for c in cells], names=levels))
    try:
        frame.to_hdf(path, key=KEY, mode="w")
    except ImportError as error:
        raise ValueError(
            f"{path} must be written by PyTables, which is not installed: pip install posebed[formats]"
        ) from error
