"""How runs compare on their common ground: the same queries for all, so that differences are taken pair by pair.

A run with several members enters once, with the mean over its members for every query. A bootstrap draws categories
with replacement, and the same ones for every run. Words and looks are left to ``reporting.common_ground``. Shape
letters: R runs, M metrics, C categories, N queries, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from posebed.config import ScoringConfig
from posebed.records import Category
from posebed.scoring.average_precision import OKS_METRICS, OksMetric
from posebed.scoring.common_ground import Answers
from posebed.scoring.intervals import Statistic, interval, mean_statistic, resampled
from posebed.scoring.metrics import METRICS, Metric
from posebed.scoring.predictions import Predictions
from posebed.scoring.result import Result
from posebed.scoring.single_pose import average_precision

_NAMES = ("PCK@0.2", "PCK@0.1", "PCK@0.05", "mPCK@.05-.20", "mPCK@.05-.25", "NME")
_PER_QUERY = tuple(metric for name in _NAMES for metric in METRICS if metric.name == name)
MEASURED: tuple[Metric | OksMetric, ...] = (*_PER_QUERY, OKS_METRICS[0])
"""M metrics. The first is the headline; higher is better there."""
HEADLINE = 0
_ERROR = _NAMES.index("NME")
_WIN_MARGIN = 1.96
"""Standard errors by which a run must lead to win rather than tie."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval, resampling categories; where there is one category, there is no interval."""

    value: float
    low: float | None
    high: float | None
    spread: float | None = None
    """Of a run with several members, the standard deviation over them."""

    @property
    def sign(self) -> int:
        """Of a difference: 1 or -1 where the interval leaves out 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """R runs on one ground, the highest headline first."""

    runs: tuple[Result, ...]
    categories: tuple[Category, ...]
    """C categories that are asked for."""
    values: np.ndarray
    """(R, M)"""
    spreads: np.ndarray
    """(R, M) standard deviations over members; nan of runs with one."""
    by_category: np.ndarray
    """(C, R, M)"""
    resamples: np.ndarray
    """(B, R, M); empty where there is one category."""
    wins: np.ndarray
    """(R, R) number of categories in which the run of the row beats that of the column: where its headline over the
    category's queries is higher by more than 1.96 standard errors of the paired difference, whose units are images."""
    hardest: np.ndarray
    """Rows of the queries by the mean headline over the runs, lowest first; of equal ones that with the larger mean
    NME. Each record once, those without a keypoint that counts never."""

    def score(self, run: int, metric: int = HEADLINE) -> Estimate:
        spread = float(self.spreads[run, metric])
        estimate = _estimate(self.values[run, metric], self.resamples[:, run, metric])
        return estimate if np.isnan(spread) else replace(estimate, spread=spread)

    def difference(self, run: int, other: int, metric: int = HEADLINE) -> Estimate:
        """The first run's value less the other's."""
        values, resamples = self.values[:, metric], self.resamples[:, :, metric]
        return _estimate(values[run] - values[other], resamples[:, run] - resamples[:, other])


def _estimate(value: float, resamples: np.ndarray) -> Estimate:
    low, high = interval(resamples) if len(resamples) else (None, None)
    return Estimate(float(value), low, high)


def compared(answers: Answers, scoring: ScoringConfig) -> Comparison:
    """Measure all runs on all queries."""
    queries = answers.tables[0][0]
    present, category = np.unique(queries.category, return_inverse=True)
    measured = [_of_members(tables) for tables in answers.tables]
    per_query = np.array([values.mean(0) for values, _ in measured])
    precision = np.stack([values.mean(0) for _, values in measured], axis=1)
    statistic = _statistic(per_query, precision, category)

    values = statistic(np.ones((len(present), 1)))[0]
    order = sorted(range(len(values)), key=lambda i: (-values[i, HEADLINE], answers.runs[i].key))
    resamples = np.zeros((0, *values.shape))
    if len(present) > 1:
        resamples = resampled(statistic, len(present), scoring.resamples, np.random.default_rng(scoring.seed))
    return Comparison(
        runs=tuple(answers.runs[i] for i in order),
        categories=tuple(queries.categories[c] for c in present),
        values=values[order],
        spreads=np.array([_spread(*measured[i], category) for i in order]),
        by_category=statistic(np.eye(len(present)))[:, order],
        resamples=resamples[:, order],
        wins=_wins(per_query[order, HEADLINE], category, queries.image),
        hardest=_hardest(queries, per_query[:, HEADLINE].mean(0), per_query[:, _ERROR].mean(0)),
    )


def _of_members(tables: Sequence[Predictions]) -> tuple[np.ndarray, np.ndarray]:
    """Of a run with S members their values per query (S, M - 1, N) and their AP per category (S, C)."""
    return (
        np.array([[metric.per_query(table) for metric in _PER_QUERY] for table in tables]),
        np.array([average_precision(table) for table in tables]),
    )


def _spread(per_query: np.ndarray, precision: np.ndarray, category: np.ndarray) -> np.ndarray:
    """(M,) standard deviation over the members of a run."""
    if len(per_query) == 1:
        return np.full(len(MEASURED), np.nan)
    whole = np.ones((precision.shape[1], 1))
    return _statistic(per_query, precision.T, category)(whole)[0].std(0, ddof=1)


def _statistic(per_query: np.ndarray, precision: np.ndarray, category: np.ndarray) -> Statistic:
    """Values (B, R, M) of resampled categories: means over queries, and the mean AP over the categories that have one.

    Args:
        per_query: (R, M - 1, N)
        precision: (C, R)
        category: (N,) numbers from 0.
    """
    runs, metrics, queries = per_query.shape
    means = mean_statistic(per_query.reshape(-1, queries).T, category, np.ones(queries, bool))
    known = np.isfinite(precision).all(1)

    def statistic(weights: np.ndarray) -> np.ndarray:
        drawn = weights[known].T
        with np.errstate(invalid="ignore"):
            averaged = drawn @ precision[known] / drawn.sum(1, keepdims=True)
        return np.concatenate([means(weights).reshape(-1, runs, metrics), averaged[..., None]], axis=2)

    return statistic


def _wins(headline: np.ndarray, category: np.ndarray, image: np.ndarray) -> np.ndarray:
    """``Comparison.wins`` from the headline (R, N) of every query."""
    won = np.zeros((len(headline), len(headline)), int)
    for c in np.unique(category):
        values = headline[:, category == c]
        mean = values.mean(1)
        images, unit = np.unique(image[category == c], return_inverse=True)
        residual = np.zeros((len(images), len(headline)))
        np.add.at(residual, unit, (values - mean[:, None]).T)
        products = residual.T @ residual
        own = np.diag(products)
        squares = np.maximum(own[:, None] + own - 2 * products, 0)
        if len(images) > 1:
            error = np.sqrt(squares * len(images) / (len(images) - 1)) / len(unit)
            won += mean[:, None] - mean > _WIN_MARGIN * error
    return won


def _hardest(queries: Predictions, headline: np.ndarray, error: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(queries.counts.any(1))
    rows = rows[np.lexsort((-error[rows], headline[rows]))]
    _, first = np.unique(queries.record[rows], return_index=True)
    return rows[np.sort(first)]
