"""Everything that a result says about accuracy, computed from the table of predictions alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from posebed.config import ScoringConfig, Section
from posebed.records import Category
from posebed.scoring.average_precision import OKS_METRICS, category_statistic, centred, image_statistic
from posebed.scoring.intervals import Statistic, interval, mean_statistic, resampled
from posebed.scoring.metrics import METRICS, keypoint_pck
from posebed.scoring.oks import evaluate
from posebed.scoring.predictions import Predictions
from posebed.scoring.result import Score

ALL = (*METRICS, *OKS_METRICS)
OF_INSTANCES = slice(len(METRICS), None)
"""The OKS metrics among all."""


class Scores(Section):
    """Those fields of a ``Result`` that are measured on its predictions."""

    instances: int
    """Distinct records."""
    images: int
    queries: int
    without_keypoints: int
    scores: list[Score]
    by_category: dict[str, dict[str, float]]
    by_keypoint: dict[str, dict[str, float]]


def score_predictions(predictions: Predictions, scoring: ScoringConfig) -> Scores:
    """Every metric with its intervals, per category, and PCK@0.2 per keypoint.

    A metric that has nothing to measure, such as AP_M where no instance is of medium size, is left out.
    """
    images, image = np.unique(predictions.image, return_inverse=True)
    present, category = np.unique(predictions.category, return_inverse=True)
    queries = np.stack([m.per_query(predictions) for m in METRICS], axis=1)
    evaluations = evaluate(predictions)
    of_images = _beside(mean_statistic(queries, image), image_statistic(evaluations, image))
    of_categories = _beside(mean_statistic(queries, category), category_statistic(evaluations))

    values = of_categories(np.ones((len(present), 1)))[0]
    rng = np.random.default_rng(scoring.seed)
    by_images = resampled(of_images, len(images), scoring.resamples, rng)
    by_images[:, OF_INSTANCES] = centred(by_images[:, OF_INSTANCES], values[OF_INSTANCES])
    by_categories = resampled(of_categories, len(present), scoring.resamples, rng) if len(present) > 1 else None

    label = _labels([predictions.categories[c] for c in present])
    return Scores(
        instances=len(np.unique(predictions.record)),
        images=len(images),
        queries=len(predictions),
        without_keypoints=int((~predictions.counts.any(1)).sum()),
        scores=_scores(values, by_images, by_categories),
        by_category=dict(zip(label.values(), map(_named, of_categories(np.eye(len(present)))), strict=True)),
        by_keypoint={label[key]: table for key, table in keypoint_pck(predictions, 0.2).items()},
    )


def _beside(*statistics: Statistic) -> Statistic:
    return lambda weights: np.concatenate([statistic(weights) for statistic in statistics], axis=1)


def _named(values: np.ndarray) -> dict[str, float]:
    return {m.name: float(value) for m, value in zip(ALL, values, strict=True) if np.isfinite(value)}


def _scores(values: np.ndarray, by_images: np.ndarray, by_categories: np.ndarray | None) -> list[Score]:
    scores: list[Score] = []
    for i, metric in enumerate(ALL):
        if not np.isfinite(values[i]):
            continue
        low, high = interval(by_images[:, i])
        low_categories, high_categories = (None, None) if by_categories is None else interval(by_categories[:, i])
        scores.append(
            Score(
                metric=metric.name,
                definition=metric.definition,
                value=float(values[i]),
                low=low,
                high=high,
                low_categories=low_categories,
                high_categories=high_categories,
                better=metric.better,
            )
        )
    return scores


def _labels(categories: Sequence[Category]) -> dict[str, str]:
    """Key to name, with the key beside it where several categories share the name."""
    names = Counter(c.name for c in categories)
    return {c.key: c.name if names[c.name] == 1 else f"{c.name} ({c.key})" for c in categories}
