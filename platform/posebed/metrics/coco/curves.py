"""COCO's precision and recall of matched instances, for many resamples at once."""

from __future__ import annotations

import numpy as np

from posebed.metrics.coco.oks import Matches


def weighted_curves(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """(2, A, T, R), as ``Evaluation.curves``, where row n of the table is there weights[n, r] times."""
    drawn, truth = weights[matches.prediction], weights[matches.truth]
    areas, thresholds, _ = matches.right.shape
    curves = np.empty((2, areas, thresholds, weights.shape[1]))
    for a in range(areas):
        total = truth[matches.scored[a]].sum(0)
        for t in range(thresholds):
            curves[:, a, t] = _precision_and_recall(drawn, matches.right[a, t], matches.wrong[a, t], total)
    return curves


def _precision_and_recall(
    drawn: np.ndarray, right: np.ndarray, wrong: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) each, from (D, R) weights by falling score and the (R,) weight of all truths; nan where that is 0.

    Interpolated precision at a recall is the best one at or above it, so only right predictions matter: each answers
    for those of the recalls 0, 0.01, ..., 1 that it is the first to reach.
    """
    scored = right | wrong
    hits = np.cumsum(drawn[right], axis=0)
    seen = np.cumsum(drawn[scored], axis=0)[right[scored]]
    best = np.maximum.accumulate((hits / np.maximum(seen, 1))[::-1], axis=0)[::-1]
    some = np.where(total > 0, total, np.nan)
    recall = hits / some
    nearest = np.rint(100 * recall)
    reached = nearest + (recall >= 0.01 * nearest)
    answers = np.diff(reached, axis=0, prepend=0)
    precision = (best * answers).sum(0) / 101
    return np.where(total > 0, precision, np.nan), drawn[right].sum(0) / some
