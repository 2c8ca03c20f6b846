"""sketch: the share of queries whose every keypoint is right. Put your metric in its place."""

from __future__ import annotations

import numpy as np

from posebed.contracts import Metric, MetricSpec, Need
from posebed.metrics.distances import normalised_distance
from posebed.predictions import Predictions

THRESHOLD = 0.2
"""Of the longer side of the box."""


def per_query(predictions: Predictions) -> np.ndarray:
    """(N, 1): one column per metric. ``counts`` says which of the K keypoints are scored."""
    right = normalised_distance(predictions) < THRESHOLD
    counts = predictions.counts
    whole = np.all(right | ~counts, axis=1) & np.any(counts, axis=1)
    return whole[:, None].astype(float)


SPEC = MetricSpec(
    metrics=(
        Metric(
            name="sketch",
            definition=f"Share of queries whose every keypoint that counts is closer than {THRESHOLD} x the longer "
            "side of the box.",
            column=True,
            paired=True,
        ),
    ),
    per_query=per_query,
    needs=(Need.TRUTHS,),
    contract=1,
)
