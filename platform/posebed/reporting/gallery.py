"""Chooses the queries of a run that are worth seeing, its worst, median and best, and draws them.

Episodes stand with their support images at their left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from posebed.records import Category, Record
from posebed.reporting.draw import draw_pose, window
from posebed.scoring.metrics import nme, normalised_distance
from posebed.scoring.predictions import Predictions, read_predictions

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
        share = normalised_distance(query)[query.counts]
        note = f"{(share < NEAR).sum()} of {len(share)} keypoints found, mean error {share.mean():.1%} of the box"
        picture = _query(query, category, decode)
        supports = [records[name] for name in query.supports[0][:SUPPORTS]]
        if supports:
            gap = np.zeros((TILE, GAP, 4), np.uint8)
            picture = np.hstack([_columns([_support(r, category, decode) for r in supports]), gap, picture])
        yield GalleryPicture(run, f"{kind}: {category.name}", encoded(picture), note)


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


def _query(query: Predictions, category: Category, decode: Decode) -> np.ndarray:
    crop, corner = window(decode(str(query.image[0])), query.box[0])
    k = len(category.keypoints)
    xy, truth, shown = query.xy[0, :k], query.truth[0, :k], query.labelled[0, :k]
    return _square(draw_pose(crop, xy - corner, shown, category, truth=truth - corner, longest=TILE), TILE)


def _support(record: Record, category: Category, decode: Decode) -> np.ndarray:
    crop, corner = window(decode(record.image), record.box)
    xy, shown = record.keypoints[:, :2], record.keypoints[:, 2] > 0
    return _square(draw_pose(crop, xy - corner, shown, category, longest=TILE // 2), TILE // 2)


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
