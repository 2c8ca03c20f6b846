"""Metrics of keypoint distances, and the tables per keypoint.

Every query has a value, and the metric is their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from posebed.contracts import Metric, MetricSpec, Need
from posebed.predictions import Predictions


def box_side(predictions: Predictions) -> np.ndarray:
    """(N,) longer side of each query's box, clipped to the image and one pixel shorter, as MP-100's loaders have it.

    Raises:
        ValueError: a box has nothing left in the image.
    """
    p = predictions
    size = np.stack([p.width, p.height], 1)
    start = np.maximum(p.box[:, :2], 0)
    end = np.minimum(size - 1, start + p.box[:, 2:] - 1)
    side = (end - start).max(1)
    if (side <= 0).any():
        row = int(np.argmax(side <= 0))
        raise ValueError(
            f"a box must cover more than one pixel of its image, but record {str(p.record[row])!r} has "
            f"{p.box[row].tolist()} in {p.width[row]} x {p.height[row]}"
        )
    return side


def distance(predictions: Predictions) -> np.ndarray:
    """(N, K) pixels between prediction and truth; meaningful where the keypoint counts."""
    return np.linalg.norm(predictions.xy.astype(np.float64) - predictions.truth, axis=-1)


def normalised_distance(predictions: Predictions) -> np.ndarray:
    """(N, K) distance over the box side."""
    return distance(predictions) / box_side(predictions)[:, None]


def _over_counting(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(N, K) to their mean (N,) over the keypoints that count; 0 where none does."""
    return np.where(counts, values, 0).sum(1) / np.maximum(counts.sum(1), 1)


def pck(predictions: Predictions, thresholds: Sequence[float]) -> np.ndarray:
    """(N,) share of right keypoints per query, averaged over the thresholds."""
    return _pck_of(_Distances.of(predictions), thresholds)


def nme(predictions: Predictions) -> np.ndarray:
    """(N,) mean normalised distance per query."""
    return _nme_of(_Distances.of(predictions))


@dataclass(frozen=True)
class _Distances:
    """(N, K) each, measured once for all metrics."""

    pixels: np.ndarray
    share: np.ndarray
    """Over the box side."""
    counts: np.ndarray

    @classmethod
    def of(cls, predictions: Predictions) -> _Distances:
        pixels = distance(predictions)
        return cls(pixels, pixels / box_side(predictions)[:, None], predictions.counts)


def _pck_of(distances: _Distances, thresholds: Sequence[float]) -> np.ndarray:
    return np.mean([_over_counting(distances.share < t, distances.counts) for t in thresholds], axis=0)


def _nme_of(distances: _Distances) -> np.ndarray:
    return _over_counting(distances.share, distances.counts)


def _epe_of(distances: _Distances) -> np.ndarray:
    return _over_counting(distances.pixels, distances.counts)


NORMALISER = "the longer side of the query's box (clipped to the image, one pixel shorter)"
AVERAGING = (
    "mean over the keypoints that count (labelled in the query and in every support), then over all queries; "
    "a query where none counts adds 0, as in MP-100's official code"
)
PerQuery = Callable[[_Distances], np.ndarray]


def _pck(name: str, thresholds: Sequence[float], threshold: str, **facts: Any) -> tuple[Metric, PerQuery]:
    definition = f"share of keypoints closer to the truth than {threshold} x {NORMALISER}; {AVERAGING}."
    return Metric(name, definition, **facts), partial(_pck_of, thresholds=thresholds)


def _distance(name: str, definition: str, per_query: PerQuery, **facts: Any) -> tuple[Metric, PerQuery]:
    definition = f"distance between prediction and truth {definition}; {AVERAGING}."
    return Metric(name, definition, better="lower", **facts), per_query


_FOUR = "t, averaged over the four t = 0.05, 0.1, 0.15, 0.2,"
_FIVE = "t, averaged over the five t = 0.05, 0.1, 0.15, 0.2, 0.25,"
_TWENTY = "t, averaged over the twenty t = 0, 0.05, ..., 0.95 (0.95 is perfect),"
_MEASURED = (
    _pck("PCK@0.05", (0.05,), "0.05", column=True, paired=True),
    _pck("PCK@0.1", (0.1,), "0.1", paired=True),
    _pck("PCK@0.15", (0.15,), "0.15"),
    _pck("PCK@0.2", (0.2,), "0.2", leads=2, paired=True),
    _pck("PCK@0.25", (0.25,), "0.25"),
    _pck("mPCK@.05-.20", (0.05, 0.1, 0.15, 0.2), _FOUR, column=True, paired=True),
    _pck("mPCK@.05-.25", (0.05, 0.1, 0.15, 0.2, 0.25), _FIVE, column=True, paired=True),
    _pck("AUC", [i / 20 for i in range(20)], _TWENTY),
    _distance("NME", f"over {NORMALISER}", _nme_of, unit="box sides", column=True, paired=True),
    _distance("EPE", "in image pixels", _epe_of, unit="pixels"),
)


def per_query(predictions: Predictions) -> np.ndarray:
    """(N, M) values of every query."""
    distances = _Distances.of(predictions)
    return np.stack([measure(distances) for _, measure in _MEASURED], axis=1)


def keypoint_pck(predictions: Predictions, threshold: float) -> dict[str, dict[str, float]]:
    """``keypoint_shares`` of the keypoints that are nearer than the threshold."""
    return keypoint_shares(predictions, normalised_distance(predictions) < threshold, predictions.counts)


def keypoint_shares(predictions: Predictions, right: np.ndarray, counts: np.ndarray) -> dict[str, dict[str, float]]:
    """Category key to keypoint name to the share of queries where it is right, among those where it counts.

    Keypoints that count nowhere are left out.

    Args:
        right: (N, K) bool.
        counts: (N, K) bool.
    """
    table: dict[str, dict[str, float]] = {}
    for position in np.unique(predictions.category):
        category, rows = predictions.categories[int(position)], predictions.category == position
        times = counts[rows].sum(0)
        hits = (right & counts)[rows].sum(0)
        table[category.key] = {name: float(hits[k] / times[k]) for k, name in enumerate(category.keypoints) if times[k]}
    return table


SPEC = MetricSpec(metrics=tuple(metric for metric, _ in _MEASURED), per_query=per_query, needs=(Need.TRUTHS,))
