"""Everything that a result says about accuracy, computed from the table of predictions alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from posebed.config import ScoringConfig, Section
from posebed.contracts import Metric, MetricSpec, Statistic, Units
from posebed.metrics.animal_kingdom import BOX, in_box
from posebed.metrics.distances import keypoint_pck, keypoint_shares
from posebed.metrics.symmetry import Confusion, by_pair
from posebed.predictions import Predictions
from posebed.records import Category
from posebed.scoring.drawn import drawn_predictions
from posebed.scoring.intervals import centred, hierarchical, interval
from posebed.scoring.measuring import measured_by, offers
from posebed.scoring.result import PairError, Score


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
    by_pair: dict[str, dict[str, PairError]]


@dataclass(frozen=True)
class Measures:
    """What can be measured on one table of predictions. A metric that has nothing to measure there is left out: AP_M
    where no instance is of medium size, every distance where the boxes are a detector's, so that no prediction has a
    truth of its own."""

    metrics: tuple[Metric, ...]
    of_images: Statistic
    of_categories: Statistic
    images: int
    categories: tuple[Category, ...]
    """Those in the table."""
    values: np.ndarray
    """(M,) on the whole table."""
    moved: np.ndarray
    """(M,) bool: whether resampled images' values are moved to the value."""

    @classmethod
    def of(cls, p: Predictions, specs: Iterable[MetricSpec]) -> Measures:
        images, image = np.unique(p.image, return_inverse=True)
        present, category = np.unique(p.category, return_inverse=True)
        specs = [spec for spec in specs if offers(p, spec.needs)]
        measured = [measured_by(spec, p) for spec in specs]
        of_images = _beside([of(Units("images", image)) for of in measured])
        of_categories = _beside([of(Units("categories", category)) for of in measured])
        return cls(
            metrics=tuple(metric for spec in specs for metric in spec.metrics),
            of_images=of_images,
            of_categories=of_categories,
            images=len(images),
            categories=tuple(p.categories[int(c)] for c in present),
            values=of_categories(np.ones((len(present), 1)))[0],
            moved=np.array([spec.centred for spec in specs for _ in spec.metrics]),
        )

    def centred(self, resamples: np.ndarray) -> np.ndarray:
        """Resampled images' values (R, M), those that lie to one side moved to their value."""
        moved = resamples.copy()
        moved[:, self.moved] = centred(resamples[:, self.moved], self.values[self.moved])
        return moved


def usable(specs: Mapping[str, MetricSpec]) -> tuple[dict[str, MetricSpec], list[str]]:
    """By the import paths of their modules those that measure a drawn table as the contract has it, and in sentences
    why the others do not."""
    complaints = {module: _complaint(spec) for module, spec in specs.items()}
    wrong = [f"metrics of {module} are left out: {what}" for module, what in complaints.items() if what]
    return {module: spec for module, spec in specs.items() if not complaints[module]}, wrong


def _complaint(spec: MetricSpec) -> str:
    """What a drawn table shows to be wrong; empty where nothing is."""
    table, number = drawn_predictions(0, categories=1), len(spec.metrics)
    try:
        if spec.per_query and (shape := np.shape(spec.per_query(table))) != (len(table), number):
            return (
                f"per_query must give {(len(table), number)} values of a table of {len(table)} rows, but gives {shape}"
            )
        if (shape := Measures.of(table, [spec]).values.shape) != (number,):
            return f"measure must give {number} values of every resample, but gives {shape[0]}"
    except Exception as error:
        raised = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return f"they must measure a table of {len(table)} rows, but raise {raised}"
    return ""


def score_predictions(predictions: Predictions, scoring: ScoringConfig, specs: Iterable[MetricSpec]) -> Scores:
    """Every metric with its intervals, per category, PCK@0.2 and Animal Kingdom's PCK@0.05 per keypoint, and left and
    right per pair."""
    p, measures = predictions, Measures.of(predictions, specs)
    label = labels(measures.categories)
    each = measures.of_categories(np.eye(len(measures.categories)))
    fine = keypoint_shares(p, *in_box(p)) if BOX in measures.metrics else {}
    return Scores(
        instances=len(np.unique(p.record[p.annotated & (p.predicted | p.counts.any(1))])),
        images=measures.images,
        queries=int(p.predicted.sum()),
        without_keypoints=int((p.annotated & p.predicted & ~p.counts.any(1)).sum()),
        scores=scores_of([measures], scoring),
        by_category={name: _named(measures.metrics, row) for name, row in zip(label.values(), each, strict=True)},
        by_keypoint={label[key]: table for key, table in keypoint_pck(p, 0.2).items()} if p.paired else {},
        by_keypoint_of_box={label[key]: table for key, table in fine.items()},
        by_pair={
            label[key]: {name: _pair_error(pair) for name, pair in table.items()}
            for key, table in (by_pair(p) if p.paired else {}).items()
        },
    )


def _pair_error(pair: Confusion) -> PairError:
    spe = pair.nearer / pair.judged if pair.judged else None
    return PairError(spe=spe, judged=pair.judged, too_close=pair.too_close)


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
        by_categories[:, _categories_with_value(statistics, len(first.categories)) < 2] = np.nan  # nothing to draw from
    return _scores(first.metrics, np.array([m.values for m in members]), by_images, by_categories)


def _categories_with_value(statistics: Sequence[Statistic], categories: int) -> np.ndarray:
    """(M,) number of categories in which every member has a value."""
    return np.all([np.isfinite(statistic(np.eye(categories))) for statistic in statistics], axis=0).sum(0)


def _beside(statistics: Sequence[Statistic]) -> Statistic:
    return lambda weights: np.concatenate([statistic(weights) for statistic in statistics], axis=1)


def _named(metrics: Sequence[Metric], values: np.ndarray) -> dict[str, float]:
    return {m.name: float(value) for m, value in zip(metrics, values, strict=True) if np.isfinite(value)}


def _scores(
    metrics: Sequence[Metric], values: np.ndarray, by_images: np.ndarray, by_categories: np.ndarray | None
) -> list[Score]:
    """From the values (S, M) of members, and the run's resampled ones."""
    scores: list[Score] = []
    for i, metric in enumerate(metrics):
        if not np.isfinite(values[:, i]).all():
            continue
        low, high = interval(by_images[:, i])
        over = None if by_categories is None or np.isnan(by_categories[:, i]).all() else by_categories[:, i]
        low_categories, high_categories = (None, None) if over is None else interval(over)
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
                unit=metric.unit,
                leads=metric.leads,
                column=metric.column,
            )
        )
    return scores


def labels(categories: Sequence[Category]) -> dict[str, str]:
    """Key to name, with the key beside it where several categories share the name."""
    names = Counter(c.name for c in categories)
    return {c.key: c.name if names[c.name] == 1 else f"{c.name} ({c.key})" for c in categories}
