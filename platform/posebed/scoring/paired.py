"""How runs compare on their common ground: the same queries for all, so that differences are taken pair by pair.

A run with several members enters once, with the mean over its members for every query. A bootstrap draws categories
with replacement, the same ones for every run, and of each run its members. Which differences are sure says a sign-flip
test over categories (``sign_flips``), corrected for all pairs of runs. Words and looks are left to
``reporting.common_ground``. Shape letters: R runs, M metrics, C categories, N queries, B resamples, S members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr

from posebed.config import ScoringConfig
from posebed.contracts import Metric, MetricSpec, Statistic, Units
from posebed.metrics.distances import nme
from posebed.predictions import Predictions
from posebed.records import Category
from posebed.scoring.common_ground import Answers
from posebed.scoring.intervals import interval, member_weights, resampled
from posebed.scoring.measuring import mean_statistic, measured_by, offers, value_of
from posebed.scoring.power import detectable
from posebed.scoring.result import Result
from posebed.scoring.sign_flips import DIGITS, LEVEL, holm, sign_flip_p

HEADLINE = 0
"""Place of the metric by which runs are ordered."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval, resampling members and categories; where one category has a value, there is no
    interval."""

    value: float
    low: float | None
    high: float | None
    spread: float | None = None
    """Of a run with several members, the standard deviation over them."""
    p: float | None = None
    """Of a difference, its p over categories, corrected for all pairs of runs; None where there is one category."""

    @property
    def sign(self) -> int:
        """Of a difference: 1 or -1 where it is sure, since its p is at most 0.05 and its interval leaves out 0; else
        0."""
        if self.low is None or self.high is None or self.p is None or self.p > LEVEL:
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
    """(B, R, M); empty where there is one category, nan where fewer than two have a value."""
    p: np.ndarray
    """(R, R) of the differences in the headline over categories, corrected for all pairs; nan where there is nothing to
    test."""
    wins: np.ndarray
    """(R, R) number of categories in which the run of the row beats that of the column: where its headline over the
    category's queries is surely higher. By Student's test of the paired difference, whose units are images, corrected
    for all pairs and categories; n images allow no p below 2 / 2^n."""
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
        estimate = _estimate(values[run] - values[other], resamples[:, run] - resamples[:, other])
        return with_p(estimate, self.p[run, other]) if metric == HEADLINE else estimate

    def against(self, other: int) -> np.ndarray:
        """(R, M) p of the differences to one run, corrected for all other runs, each metric for itself; of the headline
        ``p``, which is corrected for all pairs."""
        corrected = np.full((len(self.runs), len(self.metrics)), np.nan)
        runs = np.flatnonzero(np.arange(len(self.runs)) != other)
        for m in range(1, len(self.metrics)):
            values = _with_value(self.by_category[:, :, m])
            if len(values) > 1:
                corrected[runs, m] = holm(sign_flip_p(values[:, runs] - values[:, [other]]))
        corrected[:, HEADLINE] = self.p[:, other]
        return corrected

    def sign(self, run: int, other: int) -> int:
        """1 or -1 where the first run's headline is surely higher or lower than the other's, else 0."""
        # An interval takes its time.
        return self.difference(run, other).sign if self.p[run, other] <= LEVEL else 0

    def pairs(self) -> int:
        """Number of pairs of runs, for which is corrected."""
        return len(self.runs) * (len(self.runs) - 1) // 2

    def detectable(self) -> float | None:
        """The difference in the headline that is told between two runs of typical spread; None where there is no pair
        or the categories are too few to tell any."""
        a, b = np.triu_indices(len(self.runs), 1)
        if not len(a) or len(self.categories) < 2:
            return None
        values = self.by_category[:, :, HEADLINE]
        deviation = (values[:, a] - values[:, b]).std(0, ddof=1)
        members = np.array([len(run.seeds) for run in self.runs])
        seeds = np.nan_to_num(self.spreads[:, HEADLINE]) ** 2 / members
        told = detectable(deviation, len(values), len(a), seeds[a] + seeds[b])
        return None if told is None else float(np.median(told))


def with_p(estimate: Estimate, p: float) -> Estimate:
    """The estimate with a p, where that was tested."""
    return estimate if np.isnan(p) else replace(estimate, p=float(p))


def _estimate(value: float, resamples: np.ndarray) -> Estimate:
    low, high = interval(resamples) if np.isfinite(resamples).any() else (None, None)
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
        metrics = [m for spec in specs for m in spec.metrics if m.paired and _measurable(m, spec, table)]
        # Of equal ones the first: that sort is stable.
        return cls(tuple(specs), tuple(sorted(metrics, key=lambda m: m.name != _headline(specs).name)))

    def measured(self, table: Predictions, category: np.ndarray) -> tuple[Statistic, np.ndarray]:
        """Values (B, M) of resampled categories, and the headline (N,) of every query."""
        places: list[Metric] = []
        statistics: list[Statistic] = []
        headline = np.zeros(0)
        for spec in self.specs:
            quick = spec.on_common_ground
            if spec.per_query and not quick:
                values = spec.per_query(table)
                statistics.append(mean_statistic(values, category, table.predicted))
                if self.metrics[HEADLINE] in spec.metrics:
                    headline = values[:, spec.metrics.index(self.metrics[HEADLINE])]
            else:
                of = quick(table) if quick else measured_by(spec, table)
                statistics.append(of(Units("categories", category)))
            places += [m for m in spec.metrics if m.paired or not quick]
        order = [places.index(m) for m in self.metrics]
        return lambda weights: np.concatenate([s(weights) for s in statistics], axis=1)[:, order], headline


def _measurable(metric: Metric, spec: MetricSpec, table: Predictions) -> bool:
    """Whether the queries have what the metric measures, such as pairs of keypoints."""
    return spec.on_common_ground is not None or bool(np.isfinite(value_of(metric.name, spec, table)))


def _headline(specs: Sequence[MetricSpec]) -> Metric:
    """The leading one of those that have a value for every query."""
    return max((m for s in specs if s.per_query for m in s.metrics if m.paired), key=lambda m: m.leads)


def compared(answers: Answers, scoring: ScoringConfig, specs: Sequence[MetricSpec]) -> Comparison:
    """Measure all runs on all queries."""
    queries = answers.tables[0][0]
    paired = _Paired.of(specs, queries)
    present, category = np.unique(queries.category, return_inverse=True)
    measured = [[paired.measured(table, category) for table in tables] for tables in answers.tables]
    members = [[statistic for statistic, _ in run] for run in measured]

    def statistic(weights: np.ndarray) -> np.ndarray:
        """(B, R, M): of each run the mean over its members."""
        return np.stack([np.mean([of(weights) for of in run], axis=0) for run in members], axis=1)

    def every_member(weights: np.ndarray) -> np.ndarray:
        """(B, S, M): of the members of all runs, one after another."""
        return np.stack([of(weights) for run in members for of in run], axis=1)

    whole = np.ones((len(present), 1))
    values = statistic(whole)[0]
    order = sorted(range(len(values)), key=lambda i: (-values[i, HEADLINE], answers.runs[i].key))
    resamples, by_category = np.zeros((0, *values.shape)), statistic(np.eye(len(present)))[:, order]
    if len(present) > 1:
        rng = np.random.default_rng(scoring.seed)
        drawing = rng.spawn(1)[0]
        drawn = resampled(every_member, len(present), scoring.resamples, rng)
        resamples = _of_runs(drawn, [len(run) for run in members], drawing)[:, order]
        resamples[:, np.isfinite(by_category).sum(0) < 2] = np.nan  # nothing to draw from
    headline = np.array([np.mean([of_queries for _, of_queries in run], axis=0) for run in measured])
    error = np.mean([np.mean([nme(table) for table in tables], axis=0) for tables in answers.tables], axis=0)
    return Comparison(
        runs=tuple(answers.runs[i] for i in order),
        categories=tuple(queries.categories[int(c)] for c in present),
        metrics=paired.metrics,
        values=values[order],
        spreads=np.array([_spread(np.array([of(whole)[0] for of in members[i]])) for i in order]),
        by_category=by_category,
        resamples=resamples,
        p=_corrected(_with_value(by_category[:, :, HEADLINE]), scoring.seed),
        wins=_wins(headline[order], category, queries.image),
        hardest=_hardest(queries, headline.mean(0), error),
    )


def _spread(values: np.ndarray) -> np.ndarray:
    """(M,) standard deviation over the members of a run, from their values (S, M)."""
    return values.std(0, ddof=1) if len(values) > 1 else np.full(len(values[0]), np.nan)


def _of_runs(values: np.ndarray, members: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """(B, R, M) mean over as many members of each run as it has, drawn with replacement, from the resampled values
    (B, S, M) of the members of all runs."""
    runs = np.split(values, np.cumsum(members)[:-1], axis=1)
    return np.stack([(run * member_weights(run.shape[1], len(run), rng)).sum(1) for run in runs], axis=1)


def _with_value(values: np.ndarray) -> np.ndarray:
    """Those of the categories (C, R) that have a value."""
    return values[np.isfinite(values).all(1)]


def _corrected(values: np.ndarray, seed: int) -> np.ndarray:
    """``Comparison.p`` from the headline (C, R) of categories."""
    runs = values.shape[1]
    a, b = np.triu_indices(runs, 1)
    corrected = np.full((runs, runs), np.nan)
    if len(values) > 1:
        corrected[a, b] = corrected[b, a] = holm(sign_flip_p(values[:, a] - values[:, b], seed=seed))
    return corrected


def _wins(headline: np.ndarray, category: np.ndarray, image: np.ndarray) -> np.ndarray:
    """``Comparison.wins`` from the headline (R, N) of every query."""
    a, b = np.triu_indices(len(headline), 1)
    among = [category == c for c in np.unique(category)]
    ratio = np.stack([_standardised(headline[:, rows], image[rows])[a, b] for rows in among])
    images = np.array([[len(np.unique(image[rows]))] for rows in among])
    # Few images may differ by the same by accident, which leaves no spread to compare with.
    p = np.maximum(2 * stdtr(np.maximum(images - 1, 1), -np.abs(ratio)), 2.0 ** (1 - images))
    sure = holm(p.ravel()).reshape(p.shape) <= LEVEL
    won = np.zeros((len(headline), len(headline)), int)
    won[a, b], won[b, a] = (sure & (ratio > 0)).sum(0), (sure & (ratio < 0)).sum(0)
    return won


def _standardised(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(R, R) paired differences between the means of runs over their standard errors, from the values (R, N) of the
    queries of a category; 0 where the queries are of one image."""
    mean = values.mean(1)
    images, unit = np.unique(image, return_inverse=True)
    if len(images) < 2:
        return np.zeros((len(values), len(values)))
    residual = np.zeros((len(images), len(values)))
    np.add.at(residual, unit, (values - mean[:, None]).T)
    products = residual.T @ residual
    own = np.diag(products)
    squares = np.maximum(own[:, None] + own - 2 * products, 0)
    error = np.sqrt(squares * len(images) / (len(images) - 1)) / len(unit)
    difference = (mean[:, None] - mean).round(DIGITS)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(difference / error, posinf=np.inf, neginf=-np.inf)


def _hardest(queries: Predictions, headline: np.ndarray, error: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(queries.counts.any(1))
    rows = rows[np.lexsort((-error[rows], headline[rows]))]
    _, first = np.unique(queries.record[rows], return_index=True)
    return rows[np.sort(first)]
