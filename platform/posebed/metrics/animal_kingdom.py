"""The three numbers that are published for Animal Kingdom as PCK@0.05, each under a name of its own.

They average over keypoints instead of queries, and so have a meaning only where all categories share one skeleton.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from posebed.contracts import Metric, MetricSpec, Need, Statistic, Units
from posebed.predictions import Predictions

CELL = 4
"""Crop pixels that a heatmap cell is wide."""

Judged = tuple[np.ndarray, np.ndarray]
"""(N, K) bool which keypoints are right, and which of them count."""


def in_box(p: Predictions) -> Judged:
    return _distance(p.xy - p.truth) < 0.05 * _longer_side(p)[:, None], p.counts


def in_crop(p: Predictions) -> Judged:
    predicted, truth = _cells(p, p.xy), _cells(p, p.truth)
    shape = np.array(p.size[::-1]) / CELL
    return _distance((predicted - truth) / shape) < 0.05, p.counts & ((truth > 1) & (truth < shape)).all(-1)


def in_diagonal(p: Predictions) -> Judged:
    return _distance(p.xy + 1 - p.truth) <= 0.1 * 2**0.5 * _longer_side(p)[:, None], p.counts


def _distance(offset: np.ndarray) -> np.ndarray:
    return np.linalg.norm(offset.astype(np.float64), axis=-1)


def _longer_side(p: Predictions) -> np.ndarray:
    """(N,) pixels, of the part of the box that lies in the image."""
    image = np.stack([p.width, p.height], 1)
    start, end = np.clip(p.box[:, :2], 0, image), np.clip(p.box[:, :2] + p.box[:, 2:], 0, image)
    return (end - start).max(1)


def _cells(p: Predictions, xy: np.ndarray) -> np.ndarray:
    """(N, K, 2) whole heatmap cells, of points in image pixels."""
    scale = np.array(p.size[::-1]) / CELL / p.crop[:, 2:]
    return np.floor((xy - p.crop[:, None, :2]) * scale[:, None] + 0.5)


_BY_KEYPOINT = "per keypoint over the instances in which it counts, then averaged over keypoints"

BOX = Metric(
    "PCK@0.05 of the box",
    "Share of keypoints closer to the truth than 0.05 x the longer side of the box (clipped to the image), "
    f"{_BY_KEYPOINT}, as in MMPose's PCKAccuracy and KITPose.",
)
CROP = Metric(
    "PCK@0.05 of the crop",
    "Share of keypoints closer to the truth than 0.05 x the side of the crop, both in whole heatmap cells of 4 crop "
    "pixels and without truths outside of the crop or in its first two rows and columns of cells, "
    f"{_BY_KEYPOINT}, as in HRNet's accuracy(), which the dataset's README names.",
)
DIAGONAL = Metric(
    "PCK@0.1 of the diagonal",
    "Share of keypoints not further from the truth than 0.1 x 1.41 x the longer side of the box once a pixel is added "
    "to x and y of the prediction, over all keypoints of all instances alike, as in the dataset's released code, which "
    "calls it PCK@0.05.",
)
_JUDGES = {BOX: in_box, CROP: in_crop, DIAGONAL: in_diagonal}
_POOLED = np.array([metric is DIAGONAL for metric in _JUDGES])[:, None]
"""Where each keypoint weighs as often as it counts; elsewhere all that count somewhere weigh alike."""


def measure(predictions: Predictions) -> Callable[[Units], Statistic]:
    """The three of resampled units."""
    judged = [judge(predictions) for judge in _JUDGES.values()]
    right, counts = (np.stack(columns, 1) for columns in zip(*judged, strict=True))
    return lambda units: _shares(right & counts, counts, units.row)


def _shares(right: np.ndarray, counts: np.ndarray, unit: np.ndarray) -> Statistic:
    # (U, M, K): how often each keypoint is right in a unit, and how often it counts.
    hits, times = (np.zeros((unit.max() + 1, *counts.shape[1:])) for _ in range(2))
    np.add.at(hits, unit, right)
    np.add.at(times, unit, counts)

    def shares(weights: np.ndarray) -> np.ndarray:
        hit, time = (np.tensordot(weights.T, table, 1) for table in (hits, times))
        weight = np.where(_POOLED, time, time > 0)
        with np.errstate(invalid="ignore"):
            return (weight * hit / np.maximum(time, 1)).sum(-1) / weight.sum(-1)

    return shares


SPEC = MetricSpec(metrics=tuple(_JUDGES), measure=measure, needs=(Need.TRUTHS, Need.ONE_SKELETON))
