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
from posebed.contracts import Metric, MetricSpec, Statistic, Units
from posebed.metrics.distances import nme
from posebed.predictions import Predictions
from posebed.records import Category
from posebed.scoring.common_ground import Answers
from posebed.scoring.intervals import interval, resampled
from posebed.scoring.measuring import measured_by, offers
from posebed.scoring.result import Result

HEADLINE = 0
"""Place of the metric by which runs are ordered."""
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
    metrics: tuple[Metric, ...]
    """M metrics. The first is the headline; higher is better there."""
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


@dataclass(frozen=True)
class _Paired:
    """What is measured on common ground."""

    specs: tuple[MetricSpec, ...]
    """Those with paired metrics that the ground's tables can be measured by."""
    metrics: tuple[Metric, ...]
    """Their paired ones, the headline first."""

    @classmethod
    def of(cls, specs: Sequence[MetricSpec], table: Predictions) -> _Paired:
        specs = [s for s in specs if any(m.paired for m in s.metrics) and offers(table, s.needs)]
        metrics = [m for spec in specs for m in spec.metrics if m.paired]
        # Of equal ones the first: that sort is stable.
        return cls(tuple(specs), tuple(sorted(metrics, key=lambda m: m.name != _headline(specs).name)))

    def statistic(self, table: Predictions, category: np.ndarray) -> Statistic:
        """Values (B, M) of resampled categories."""
        places: list[Metric] = []
        statistics: list[Statistic] = []
        for spec in self.specs:
            quick = spec.on_common_ground
            of = quick(table) if quick else measured_by(spec, table)
            statistics.append(of(Units("categories", category)))
            places += [m for m in spec.metrics if m.paired or not quick]
        order = [places.index(m) for m in self.metrics]
        return lambda weights: np.concatenate([s(weights) for s in statistics], axis=1)[:, order]

    def headline(self, table: Predictions) -> np.ndarray:
        """(N,) values of every query."""
        spec = next(s for s in self.specs if self.metrics[HEADLINE] in s.metrics)
        assert spec.per_query
        return spec.per_query(table)[:, spec.metrics.index(self.metrics[HEADLINE])]


def _headline(specs: Sequence[MetricSpec]) -> Metric:
    """The leading one of those that have a value for every query."""
    return max((m for s in specs if s.per_query for m in s.metrics if m.paired), key=lambda m: m.leads)


def compared(answers: Answers, scoring: ScoringConfig, specs: Sequence[MetricSpec]) -> Comparison:
    """Measure all runs on all queries."""
    queries = answers.tables[0][0]
    paired = _Paired.of(specs, queries)
    present, category = np.unique(queries.category, return_inverse=True)
    members = [[paired.statistic(table, category) for table in tables] for tables in answers.tables]

    def statistic(weights: np.ndarray) -> np.ndarray:
        """(B, R, M): of each run the mean over its members."""
        return np.stack([np.mean([of(weights) for of in run], axis=0) for run in members], axis=1)

    whole = np.ones((len(present), 1))
    values = statistic(whole)[0]
    order = sorted(range(len(values)), key=lambda i: (-values[i, HEADLINE], answers.runs[i].key))
    resamples = np.zeros((0, *values.shape))
    if len(present) > 1:
        resamples = resampled(statistic, len(present), scoring.resamples, np.random.default_rng(scoring.seed))
    headline = np.array([np.mean([paired.headline(table) for table in tables], axis=0) for tables in answers.tables])
    error = np.mean([np.mean([nme(table) for table in tables], axis=0) for tables in answers.tables], axis=0)
    return Comparison(
        runs=tuple(answers.runs[i] for i in order),
        categories=tuple(queries.categories[int(c)] for c in present),
        metrics=paired.metrics,
        values=values[order],
        spreads=np.array([_spread(np.array([of(whole)[0] for of in members[i]])) for i in order]),
        by_category=statistic(np.eye(len(present)))[:, order],
        resamples=resamples[:, order],
        wins=_wins(headline[order], category, queries.image),
        hardest=_hardest(queries, headline.mean(0), error),
    )


def _spread(values: np.ndarray) -> np.ndarray:
    """(M,) standard deviation over the members of a run, from their values (S, M)."""
    return values.std(0, ddof=1) if len(values) > 1 else np.full(len(values[0]), np.nan)


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
