"""The few annotated pictures that show a category-agnostic run what to look for: read, and drawn beside an answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posebed.data.images import Images
from posebed.datasets.coco_folder import check_path
from posebed.listing import shortened
from posebed.records import Category, Dataset, Problem, Record
from posebed.reporting.draw import GAP, LEAST, LINE, blank, draw_pose, window, write_line

SHOWN = 9
"""Supports that are drawn at most."""


@dataclass(frozen=True)
class Shots:
    """Sound annotated records of one category."""

    category: Category
    records: tuple[Record, ...]
    images: Images

    def pictures(self) -> Iterator[tuple[np.ndarray, Record]]:
        """Each record on its RGB picture, which is decoded on the way."""
        return ((self.images.decode(record.image), record) for record in self.records)


def read_shots(path: Path, key: str | None) -> Shots:
    """Read a COCO file, or a folder that holds one, as ``coco_folder`` does. Records that are not sound are left out,
    and counted on standard error.

    Args:
        key: of the category, where the file has several.

    Raises:
        LookupError: there is no such category.
        ValueError: the file or the category's skeleton has a fault, or there is no sound record.
    """
    dataset = check_path(path)
    of_all = [p for p in dataset.problems if not p.record]
    _refuse([p for p in of_all if not (p.category and dataset.categories)], path)
    category = _chosen(dataset, path, key)
    of_it = [p for p in dataset.problems if p.category in (category.key, category.name)]
    _refuse([p for p in of_it if not p.record], path)
    records = tuple(r for r in dataset.records if r.category == category.key and r.keypoints[:, 2].any())
    if not records:
        _refuse(of_it, path)
        raise ValueError(f"{path} must have an annotation of {category.key!r} with a visible keypoint, but has none")
    if left_out := len({p.record for p in of_it}):
        print(f"{path}: {left_out} faulty annotations are left out; `posebed check` tells them", file=sys.stderr)
    return Shots(category, records, Images(dataset.root, dataset.reading))


def _chosen(dataset: Dataset, path: Path, key: str | None) -> Category:
    known = {category.key: category for category in dataset.categories}
    choices = shortened(known)
    if key is None and len(known) != 1:
        raise ValueError(f"{path} must be of one category, or --category choose one, but it has {choices}")
    if key is not None and key not in known:
        raise LookupError(f"{path} must have the category {key!r}, but has {choices}")
    return known[key] if key is not None else dataset.categories[0]


def _refuse(problems: Sequence[Problem], path: Path) -> None:
    if problems:
        first = problems[0]
        parts = (first.field or "the file", first.record and f"record {first.record}", first.category)
        place = " of ".join(filter(None, parts))
        raise ValueError(f"{path}: {place} must be {first.must}, but is {first.found}")


def beside(picture: np.ndarray, shots: Shots) -> np.ndarray:
    """The picture with the supports and their keypoints at its left, in columns of two, or of three where there are
    more than four."""
    height, shown = max(len(picture), LEAST // 2), shots.records[:SHOWN]
    rows = 2 if len(shown) <= 4 else 3
    side = (height - GAP) // rows - LINE - GAP
    tiles = [_tile(shots, number, side) for number in range(len(shown))]
    columns = [_column(tiles[start : start + rows], height) for start in range(0, len(tiles), rows)]
    below = blank(height - len(picture), picture.shape[1])
    return np.hstack([*columns, blank(height, GAP), np.vstack([picture, below])])


def _tile(shots: Shots, number: int, side: int) -> np.ndarray:
    """One support above a line of text, both within ``side`` pixels of width."""
    record = shots.records[number]
    crop, corner = window(shots.images.decode(record.image), record.box)
    xy, labelled = record.keypoints[:, :2] - corner, record.keypoints[:, 2] > 0
    drawn = draw_pose(crop, xy, labelled, shots.category, longest=side)
    tile = blank(len(drawn) + LINE + GAP, side)
    tile[: len(drawn), : drawn.shape[1]] = drawn
    write_line(tile, f"support {number + 1} of {len(shots.records)}", (0, len(drawn) + 15), side)
    return tile


def _column(tiles: Sequence[np.ndarray], height: int) -> np.ndarray:
    """Tiles from top to bottom on paper of that height, which is wider by the space at their left."""
    width = tiles[0].shape[1]
    stacked = np.vstack([blank(GAP, width), *tiles])
    column = blank(height, GAP + width)
    column[: len(stacked), GAP:] = stacked
    return column
