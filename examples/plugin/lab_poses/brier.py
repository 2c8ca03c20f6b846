"""Brier score: whether confidences are the chances that keypoints are right (G. W. Brier, 1950, equation 2)."""

from __future__ import annotations

import numpy as np

from posebed.contracts import Metric, MetricSpec, Need
from posebed.metrics.distances import normalised_distance
from posebed.predictions import Predictions


def per_query(predictions: Predictions) -> np.ndarray:
    """(N, 1) mean squared difference between confidence and 1 or 0, over the keypoints that count."""
    right, counts = normalised_distance(predictions) < 0.2, predictions.counts
    error = np.where(counts, (predictions.confidence - right.astype(float)) ** 2, 0)
    return (error.sum(1) / np.maximum(counts.sum(1), 1))[:, None]


SPEC = MetricSpec(
    metrics=(
        Metric(
            name="Brier@0.2",
            definition="Mean squared difference between a keypoint's confidence and 1 where it is right, closer than "
            "0.2 x the longer side of the box, or else 0.",
            better="lower",
            column=True,
            paired=True,
        ),
    ),
    per_query=per_query,
    needs=(Need.TRUTHS,),
    exceptions={"nothing_is_better_than_the_truth": "to be right and unsure costs more than to be wrong and unsure"},
    contract=1,
)
