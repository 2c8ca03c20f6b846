"""How the metrics of a spec are measured on a table. Trainings reach this module, and no metric by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from posebed.contracts import MetricSpec, Need, Statistic, Units
from posebed.predictions import Predictions


def offers(p: Predictions, needs: Iterable[Need]) -> bool:
    """Whether a table offers all that metrics need."""
    one_skeleton = (p.episode < 0).all() and len({c.keypoints for c in p.categories}) == 1
    return all({Need.TRUTHS: p.paired, Need.ONE_SKELETON: one_skeleton}[need] for need in needs)


def measured_by(spec: MetricSpec, p: Predictions) -> Callable[[Units], Statistic]:
    """From units that are drawn to all metrics of resamples of a table."""
    if spec.measure:
        return spec.measure(p)
    assert spec.per_query  # one or the other is there
    values = spec.per_query(p)
    return lambda units: mean_statistic(values, units.row, p.predicted)


def value_of(metric: str, spec: MetricSpec, p: Predictions) -> float:
    """One of the spec's metrics on a whole table.

    Raises:
        ValueError: the table does not offer what it needs.
    """
    if not offers(p, spec.needs):
        raise ValueError(f"{metric} must be measured on a table with {' and '.join(spec.needs)}, but this one has less")
    present, category = np.unique(p.category, return_inverse=True)
    values = measured_by(spec, p)(Units("categories", category))(np.ones((len(present), 1)))[0]
    return float(values[[m.name for m in spec.metrics].index(metric)])


def mean_statistic(values: np.ndarray, unit: np.ndarray, is_query: np.ndarray) -> Statistic:
    """The mean over queries, from (N, M) values, the unit (N,) of each row and whether (N,) it is a query."""
    sums = np.zeros((unit.max() + 1, values.shape[1]))
    np.add.at(sums, unit[is_query], values[is_query])
    queries = np.bincount(unit, is_query)

    def means(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return weights.T @ sums / (weights.T @ queries)[:, None]

    return means
