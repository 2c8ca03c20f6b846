"""The numbers of COCO's keypoint evaluation, from its curves, and those curves for many resamples at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posebed.scoring.intervals import Statistic
from posebed.scoring.oks import Evaluation, Matches


@dataclass(frozen=True)
class OksMetric:
    """One of COCO's numbers; values are kept per category and averaged."""

    name: str
    definition: str
    curve: int
    """0 precision, 1 recall."""
    area: int
    """Position in ``oks.AREAS``."""
    thresholds: slice
    """Of ``oks.THRESHOLDS``."""
    better: str = "higher"


_ALL = slice(None)
_MEAN = "averaged over the OKS thresholds 0.50, 0.55, ..., 0.95 and over categories"
_PRECISION = "COCO's 101-point interpolated precision of instances by object keypoint similarity (OKS)"
_RECALL = "COCO's highest recall of instances by object keypoint similarity (OKS)"
_SCALE = (
    "with each category's own sigmas, over the keypoints that count, at most 20 predictions per image and category, "
    "none of which repeats a surer one (OKS above 0.9)"
)

OKS_METRICS = (
    OksMetric("AP", f"{_PRECISION}, {_MEAN}, {_SCALE}.", 0, 0, _ALL),
    OksMetric("AP50", f"{_PRECISION}, at OKS 0.50, averaged over categories, {_SCALE}.", 0, 0, slice(0, 1)),
    OksMetric("AP75", f"{_PRECISION}, at OKS 0.75, averaged over categories, {_SCALE}.", 0, 0, slice(5, 6)),
    OksMetric("AP_M", "AP of instances of 32^2 to 96^2 square pixels.", 0, 1, _ALL),
    OksMetric("AP_L", "AP of instances from 96^2 square pixels on.", 0, 2, _ALL),
    OksMetric("AR", f"{_RECALL}, {_MEAN}, {_SCALE}.", 1, 0, _ALL),
)


def category_statistic(evaluations: Sequence[Evaluation]) -> Statistic:
    """``OKS_METRICS`` of resampled categories; with weights of 1 the values themselves."""
    values = np.stack([_numbers(e.curves) for e in evaluations])[..., None]
    return lambda weights: _mean_over_categories(values, weights)


def image_statistic(evaluations: Sequence[Evaluation], image: np.ndarray) -> Statistic:
    """``OKS_METRICS`` of resampled images, from the number (N,) of each query's image."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        drawn = weights[image]
        values = np.stack([_numbers(weighted_curves(e.matches, drawn)) for e in evaluations])
        return _mean_over_categories(values, np.ones((len(evaluations), 1)))

    return statistic


def centred(resamples: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Resampled images' metrics (R, M), moved so that their mean lies at the values (M,), within 0..1.

    Interpolation takes the best precision ahead and so gains from instances that a resample holds twice: resamples
    lie above the value, by as much as they are wide where categories have some fifty instances.
    """
    known = np.isfinite(resamples)
    mean = np.where(known, resamples, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.clip(resamples + (values - mean), 0, 1)


def _numbers(curves: np.ndarray) -> np.ndarray:
    """(M, ...) values of ``OKS_METRICS`` from (2, A, T, ...) curves."""
    return np.stack([curves[m.curve, m.area, m.thresholds].mean(0) for m in OKS_METRICS])


def _mean_over_categories(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R, M) from values (C, M, 1 or R) and weights (C, 1 or R), over the categories that have a value."""
    known = np.isfinite(values) * weights[:, None]
    with np.errstate(invalid="ignore"):
        return (np.nan_to_num(values) * known).sum(0).T / known.sum(0).T


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
