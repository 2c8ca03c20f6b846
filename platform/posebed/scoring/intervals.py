"""Percentile bootstrap, vectorised: a resample is a weight per unit, and a statistic takes many resamples at once.

Units are what is drawn with replacement: images, or categories.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]
"""From weights (U units, R resamples) to values (R, M metrics); nan where a resample has nothing to measure."""

CHUNK = 32
"""Resamples computed at a time: what they need stays in the processor's cache, and memory does not grow with more."""


def resampled(statistic: Statistic, units: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, M) values of the statistic; each resample draws as many units as there are."""
    chance = np.full(units, 1 / units)
    sizes = [min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK)]
    return np.concatenate([statistic(rng.multinomial(units, chance, size).T.astype(np.float64)) for size in sizes])


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Ends of the middle ``level`` of a metric's resampled values, leaving out those with nothing to measure."""
    low, high = np.nanpercentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def mean_statistic(values: np.ndarray, unit: np.ndarray, is_query: np.ndarray) -> Statistic:
    """The mean over queries, from (N, M) values, the unit (N,) of each row and whether (N,) it is a query."""
    sums = np.zeros((unit.max() + 1, values.shape[1]))
    np.add.at(sums, unit[is_query], values[is_query])
    queries = np.bincount(unit, is_query)

    def means(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return weights.T @ sums / (weights.T @ queries)[:, None]

    return means
