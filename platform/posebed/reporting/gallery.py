"""Chooses the queries of a run that are worth seeing, its worst, median and best, and draws them.

Episodes stand with their support images at their left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from posebed.metrics.distances import nme, normalised_distance
from posebed.predictions import Predictions, read_predictions
from posebed.records import Category, Record
from posebed.reporting.draw import draw_pose, window

TILE = 320
"""Longer side of a query in pixels; supports have half of it."""
GAP = 8
"""Pixels between supports and query."""
SUPPORTS = 4
"""Support images that are drawn at most."""
NEAR = 0.2
"""Share of the box's longer side within which a keypoint counts as found, for the caption."""

Decode = Callable[[str], np.ndarray]
"""From a record's image path to its RGB picture."""


@dataclass(frozen=True)
class GalleryPicture:
    run: str
    title: str
    image_bytes: bytes
    """An encoded JPEG, PNG or WebP."""
    note: str = ""

    def size(self) -> tuple[int, int]:
        """Width and height in pixels.

        Raises:
            ValueError: the bytes are no picture.
        """
        picture = cv2.imdecode(np.frombuffer(self.image_bytes, np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise ValueError(f"image_bytes must hold a picture, but start with {self.image_bytes[:4]!r}")
        return picture.shape[1], picture.shape[0]


def gallery_of(
    run: str, predictions: Path, decode: Decode, records: Mapping[str, Record], each: int = 2
) -> list[GalleryPicture]:
    """The ``each`` worst, median and best queries of a run by mean error, drawn with prediction and truth.

    Queries without a keypoint that counts are left out.

    Args:
        predictions: The run's table of predictions.
        records: By identity; must hold the support records of episodes.
    """
    return list(_pictures(run, read_predictions(predictions), decode, records, each))


def _pictures(
    run: str, table: Predictions, decode: Decode, records: Mapping[str, Record], each: int
) -> Iterator[GalleryPicture]:
    counted = table.counts.any(1) & table.predicted
    errors = np.where(counted, nme(table), np.nan)
    for kind, row in chosen(errors, each):
        query = table.take(np.array([row]))
        category = table.categories[query.category[0]]
        supports = [records[name] for name in query.supports[0]]
        picture = beside_supports(answer_tile(query, category, decode), supports, category, decode)
        yield GalleryPicture(run, f"{kind}: {category.name}", encoded(picture), describe_distance(query))


def chosen(errors: np.ndarray, each: int) -> list[tuple[str, int]]:
    """Names and rows of the worst, median and best queries; no row twice, however few there are."""
    ranked = [int(i) for i in np.argsort(-errors, kind="stable") if np.isfinite(errors[i])]
    middle = max(0, (len(ranked) - each) // 2)
    parts = {"Worst": ranked[:each], "Median": ranked[middle : middle + each], "Best": ranked[-each:][::-1]}
    seen: dict[int, str] = {}
    for kind, rows in parts.items():
        for row in rows:
            seen.setdefault(row, kind)
    return [(kind, row) for row, kind in seen.items()]


def describe_distance(query: Predictions) -> str:
    """In words, how near the one prediction of a table is to its truth."""
    share = normalised_distance(query)[query.counts]
    return f"{(share < NEAR).sum()} of {len(share)} keypoints found, mean error {share.mean():.1%} of the box"


def answer_tile(query: Predictions, category: Category, decode: Decode) -> np.ndarray:
    """RGBA: the one prediction of a table, with its truth."""
    crop, corner = window(decode(str(query.image[0])), query.box[0])
    k = len(category.keypoints)
    xy, truth, shown = query.xy[0, :k], query.truth[0, :k], query.labelled[0, :k]
    return _square(draw_pose(crop, xy - corner, shown, category, truth=truth - corner, longest=TILE), TILE)


def record_tile(record: Record, category: Category, decode: Decode, side: int = TILE) -> np.ndarray:
    """RGBA: a record with its own keypoints."""
    crop, corner = window(decode(record.image), record.box)
    xy, shown = record.keypoints[:, :2], record.keypoints[:, 2] > 0
    return _square(draw_pose(crop, xy - corner, shown, category, longest=side), side)


def beside_supports(tile: np.ndarray, supports: Sequence[Record], category: Category, decode: Decode) -> np.ndarray:
    """The tile with the first supports, if there are any, at its left."""
    if not supports:
        return tile
    tiles = [record_tile(record, category, decode, TILE // 2) for record in supports[:SUPPORTS]]
    return np.hstack([_columns(tiles), np.zeros((TILE, GAP, 4), np.uint8), tile])


def _columns(tiles: list[np.ndarray]) -> np.ndarray:
    """Columns of two supports, from top to bottom."""
    tiles = [*tiles, *[np.zeros_like(tiles[0])] * (len(tiles) % 2)]
    return np.hstack([np.vstack(tiles[i : i + 2]) for i in range(0, len(tiles), 2)])


def _square(picture: np.ndarray, side: int) -> np.ndarray:
    """RGBA: the picture in the middle of a transparent square."""
    height, width = picture.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    ground = np.zeros((side, side, 4), np.uint8)
    ground[top : top + height, left : left + width, :3] = picture
    ground[top : top + height, left : left + width, 3] = 255
    return ground


def encoded(picture: np.ndarray, quality: int = 72) -> bytes:
    """WebP of an RGB or RGBA picture."""
    colours = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, data = cv2.imencode(".webp", cv2.cvtColor(picture, colours), [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} must encode as WebP, but did not")
    return data.tobytes()
