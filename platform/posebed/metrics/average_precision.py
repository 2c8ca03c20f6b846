"""The numbers of COCO's keypoint evaluation, kept per category and averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from posebed.contracts import Metric, MetricSpec, Statistic, Units
from posebed.metrics.coco.curves import weighted_curves
from posebed.metrics.coco.oks import Evaluation, evaluate
from posebed.metrics.coco.single_pose import average_precision
from posebed.predictions import Predictions

_MEAN = "averaged over the OKS thresholds 0.50, 0.55, ..., 0.95 and over categories"
_PRECISION = "COCO's 101-point interpolated precision of instances by object keypoint similarity (OKS)"
_RECALL = "COCO's highest recall of instances by object keypoint similarity (OKS)"
_SCALE = (
    "with each category's own sigmas, over the keypoints that count, at most 20 predictions per image and category, "
    "none of which repeats a surer one (OKS above 0.9)"
)

# Each with where it stands in the curves: 0 precision or 1 recall, the place in oks.AREAS, those in oks.THRESHOLDS.
_MEASURED = (
    (Metric("AP", f"{_PRECISION}, {_MEAN}, {_SCALE}.", leads=1, column=True, paired=True), (0, 0, slice(None))),
    (Metric("AP50", f"{_PRECISION}, at OKS 0.50, averaged over categories, {_SCALE}."), (0, 0, slice(0, 1))),
    (Metric("AP75", f"{_PRECISION}, at OKS 0.75, averaged over categories, {_SCALE}."), (0, 0, slice(5, 6))),
    (Metric("AP_M", "AP of instances of 32^2 to 96^2 square pixels."), (0, 1, slice(None))),
    (Metric("AP_L", "AP of instances from 96^2 square pixels on."), (0, 2, slice(None))),
    (Metric("AR", f"{_RECALL}, {_MEAN}, {_SCALE}."), (1, 0, slice(None))),
)


def measure(predictions: Predictions) -> Callable[[Units], Statistic]:
    """All of them, of resampled units."""
    evaluations = evaluate(predictions)

    def of(units: Units) -> Statistic:
        if units.kind == "categories":
            return category_statistic(evaluations)
        return image_statistic(evaluations, units.row)

    return of


def category_statistic(evaluations: Sequence[Evaluation]) -> Statistic:
    """Of resampled categories; with weights of 1 the values themselves."""
    values = np.stack([_numbers(e.curves) for e in evaluations])[..., None]
    return lambda weights: _mean_over_categories(values, weights)


def image_statistic(evaluations: Sequence[Evaluation], image: np.ndarray) -> Statistic:
    """Of resampled images, from the number (N,) of each row's image."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        drawn = weights[image]
        values = np.stack([_numbers(weighted_curves(e.matches, drawn)) for e in evaluations])
        return _mean_over_categories(values, np.ones((len(evaluations), 1)))

    return statistic


def _numbers(curves: np.ndarray) -> np.ndarray:
    """(M, ...) values from (2, A, T, ...) curves."""
    return np.stack([curves[curve, area, thresholds].mean(0) for _, (curve, area, thresholds) in _MEASURED])


def _mean_over_categories(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R, M) from values (C, M, 1 or R) and weights (C, 1 or R), over the categories that have a value."""
    known = np.isfinite(values) * weights[:, None]
    with np.errstate(invalid="ignore"):
        return (np.nan_to_num(values) * known).sum(0).T / known.sum(0).T


def on_common_ground(predictions: Predictions) -> Callable[[Units], Statistic]:
    """AP alone, of resampled categories."""
    values = average_precision(predictions)[:, None, None]
    return lambda units: lambda weights: _mean_over_categories(values, weights)


SPEC = MetricSpec(
    metrics=tuple(metric for metric, _ in _MEASURED),
    measure=measure,
    # Interpolation takes the best precision ahead and so gains from instances that a resample holds twice: resamples
    # lie above the value, by as much as they are wide where categories have some fifty instances.
    centred=True,
    on_common_ground=on_common_ground,
    exceptions={
        "keypoints_that_do_not_count_change_nothing": "the area of a prediction without a truth is that of "
        "all its keypoints, as in COCO's evaluation"
    },
)
