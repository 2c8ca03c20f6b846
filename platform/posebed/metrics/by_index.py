"""PCK averaged over keypoint indices, as ProtoPose's released code reports it.

A keypoint's index within its category counts across categories: index 0 is shared by all of them, the last ones by the
largest category alone, and all weigh alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from posebed.contracts import Metric, MetricSpec, Need, Statistic, Units
from posebed.metrics.distances import NORMALISER, normalised_distance
from posebed.predictions import Predictions

THRESHOLDS = (0.05, 0.1, 0.15, 0.2)

_AVERAGING = (
    "for each keypoint index over the queries, of whatever category, in which it counts (labelled in the query and in "
    "every support), then over the indices that count somewhere, as in ProtoPose's code"
)


def _metric(name: str, threshold: str) -> Metric:
    return Metric(name, f"share of keypoints closer to the truth than {threshold} x {NORMALISER}; mean {_AVERAGING}.")


METRICS = (
    *(_metric(f"PCK@{threshold} by index", str(threshold)) for threshold in THRESHOLDS),
    _metric("mPCK@.05-.20 by index", "t, averaged over the four t = 0.05, 0.1, 0.15, 0.2,"),
)


def measure(predictions: Predictions) -> Callable[[Units], Statistic]:
    """The five of resampled units."""
    right = np.stack([normalised_distance(predictions) < threshold for threshold in THRESHOLDS], 1)
    return lambda units: _shares(right & predictions.counts[:, None], predictions.counts, units.row)


def _shares(right: np.ndarray, counts: np.ndarray, unit: np.ndarray) -> Statistic:
    # How often each index is right in a unit by each threshold, (U, 4, K), and how often it counts, (U, K).
    hits, times = (np.zeros((unit.max() + 1, *of.shape[1:])) for of in (right, counts))
    np.add.at(hits, unit, right)
    np.add.at(times, unit, counts)

    def shares(weights: np.ndarray) -> np.ndarray:
        hit, time = (np.tensordot(weights.T, table, 1) for table in (hits, times))
        with np.errstate(invalid="ignore"):
            share = (hit / np.maximum(time, 1)[:, None]).sum(-1) / (time > 0).sum(-1)[:, None]
        return np.concatenate([share, share.mean(1, keepdims=True)], 1)

    return shares


SPEC = MetricSpec(metrics=METRICS, measure=measure, needs=(Need.TRUTHS,))
