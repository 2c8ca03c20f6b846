"""Everything that a result says about accuracy, computed from the table of predictions alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posebed.config import ScoringConfig, Section
from posebed.records import Category
from posebed.scoring.animal_kingdom import BOX, KEYPOINT_METRICS, KeypointMetric, keypoint_statistic
from posebed.scoring.average_precision import OKS_METRICS, OksMetric, category_statistic, centred, image_statistic
from posebed.scoring.intervals import Statistic, hierarchical, interval, mean_statistic
from posebed.scoring.metrics import METRICS, Metric, keypoint_pck, keypoint_shares
from posebed.scoring.oks import evaluate
from posebed.scoring.predictions import Predictions
from posebed.scoring.result import Score

AnyMetric = Metric | KeypointMetric | OksMetric


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
    by_keypoint_of_box: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Measures:
    """What can be measured on one table of predictions. A metric that has nothing to measure there is left out: AP_M
    where no instance is of medium size, every distance where the boxes are a detector's, so that no prediction has a
    truth of its own."""

    metrics: tuple[AnyMetric, ...]
    of_images: Statistic
    of_categories: Statistic
    images: int
    categories: tuple[Category, ...]
    """Those in the table."""
    values: np.ndarray
    """(M,) on the whole table."""

    @classmethod
    def of(cls, p: Predictions) -> Measures:
        images, image = np.unique(p.image, return_inverse=True)
        present, category = np.unique(p.category, return_inverse=True)
        metrics, of_images, of_categories = _measured(p, image, category)
        values = of_categories(np.ones((len(present), 1)))[0]
        kinds = tuple(p.categories[c] for c in present)
        return cls(tuple(metrics), of_images, of_categories, len(images), kinds, values)

    def centred(self, resamples: np.ndarray) -> np.ndarray:
        """Resampled images' values (R, M), those of instances moved to their mean."""
        instances = slice(-len(OKS_METRICS), None)
        moved = centred(resamples[:, instances], self.values[instances])
        return np.concatenate([resamples[:, : instances.start], moved], axis=1)


def score_predictions(predictions: Predictions, scoring: ScoringConfig) -> Scores:
    """Every metric with its intervals, per category, and PCK@0.2 and Animal Kingdom's PCK@0.05 per keypoint."""
    p, measures = predictions, Measures.of(predictions)
    label = labels(measures.categories)
    each = measures.of_categories(np.eye(len(measures.categories)))
    fine = keypoint_shares(p, *BOX.judge(p)) if BOX in measures.metrics else {}
    return Scores(
        instances=len(np.unique(p.record[p.annotated & (p.predicted | p.counts.any(1))])),
        images=measures.images,
        queries=int(p.predicted.sum()),
        without_keypoints=int((p.annotated & p.predicted & ~p.counts.any(1)).sum()),
        scores=scores_of([measures], scoring),
        by_category={name: _named(measures.metrics, row) for name, row in zip(label.values(), each, strict=True)},
        by_keypoint={label[key]: table for key, table in keypoint_pck(p, 0.2).items()} if p.paired else {},
        by_keypoint_of_box={label[key]: table for key, table in fine.items()},
    )


def scores_of(members: Sequence[Measures], scoring: ScoringConfig) -> list[Score]:
    """The scores of a run from those of its members, which answered the same queries: means, how far members lie apart,
    and intervals over members with images, and with categories."""
    first = members[0]
    rng = np.random.default_rng(scoring.seed)

    def adjusted(values: np.ndarray, member: int) -> np.ndarray:
        return members[member].centred(values)

    by_images = hierarchical([m.of_images for m in members], first.images, scoring.resamples, rng, adjusted)
    by_categories = None
    if len(first.categories) > 1:
        statistics = [m.of_categories for m in members]
        by_categories = hierarchical(statistics, len(first.categories), scoring.resamples, rng)
    return _scores(first.metrics, np.array([m.values for m in members]), by_images, by_categories)


def _measured(p: Predictions, image: np.ndarray, category: np.ndarray) -> tuple[list[AnyMetric], Statistic, Statistic]:
    """The metrics that mean something here, and their values for resampled images and for resampled categories."""
    groups: list[tuple[Sequence[AnyMetric], Statistic, Statistic]] = []
    if p.paired:
        queries = np.stack([m.per_query(p) for m in METRICS], axis=1)
        groups.append(
            (METRICS, mean_statistic(queries, image, p.predicted), mean_statistic(queries, category, p.predicted))
        )
    if p.paired and (p.episode < 0).all() and len({c.keypoints for c in p.categories}) == 1:
        groups.append((KEYPOINT_METRICS, keypoint_statistic(p, image), keypoint_statistic(p, category)))
    evaluations = evaluate(p)
    groups.append((OKS_METRICS, image_statistic(evaluations, image), category_statistic(evaluations)))
    metrics, of_images, of_categories = zip(*groups, strict=True)
    return [m for group in metrics for m in group], _beside(of_images), _beside(of_categories)


def _beside(statistics: Sequence[Statistic]) -> Statistic:
    return lambda weights: np.concatenate([statistic(weights) for statistic in statistics], axis=1)


def _named(metrics: Sequence[AnyMetric], values: np.ndarray) -> dict[str, float]:
    return {m.name: float(value) for m, value in zip(metrics, values, strict=True) if np.isfinite(value)}


def _scores(
    metrics: Sequence[AnyMetric], values: np.ndarray, by_images: np.ndarray, by_categories: np.ndarray | None
) -> list[Score]:
    """From the values (S, M) of members, and the run's resampled ones."""
    scores: list[Score] = []
    for i, metric in enumerate(metrics):
        if not np.isfinite(values[:, i]).all():
            continue
        low, high = interval(by_images[:, i])
        low_categories, high_categories = (None, None) if by_categories is None else interval(by_categories[:, i])
        scores.append(
            Score(
                metric=metric.name,
                definition=metric.definition,
                value=float(values[:, i].mean()),
                spread=float(values[:, i].std(ddof=1)) if len(values) > 1 else None,
                low=low,
                high=high,
                low_categories=low_categories,
                high_categories=high_categories,
                better=metric.better,
            )
        )
    return scores


def labels(categories: Sequence[Category]) -> dict[str, str]:
    """Key to name, with the key beside it where several categories share the name."""
    names = Counter(c.name for c in categories)
    return {c.key: c.name if names[c.name] == 1 else f"{c.name} ({c.key})" for c in categories}
