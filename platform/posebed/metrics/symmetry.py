"""Left and right confused: keypoints that have a mirror partner, such as two eyes.

A keypoint is judged where it and its partner count and their truths lie apart. Tables without such pairs have no value.
Shape letters: N rows, K keypoints, U units, R resamples, T thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from posebed.contracts import Metric, MetricSpec, Need, Statistic, Units
from posebed.metrics.distances import AVERAGING, NORMALISER, box_side, distance
from posebed.predictions import Predictions
from posebed.records import Category

APART = 0.05
"""Shares of the box side that partners must lie apart to be told from each other."""
THRESHOLDS = (0.05, 0.1, 0.2)

SPE = Metric(
    "SPE",
    "symmetric-pair error: share of keypoints that are predicted strictly nearer to the truth of their mirror partner "
    "than to their own, over all keypoints whose partner counts as well (labelled in the query and in every support) "
    f"and lies at least {APART} x {NORMALISER} away; who is blind to sides has 0.5.",
    better="lower",
    column=True,
    paired=True,
)
FORGIVEN = tuple(
    Metric(
        f"PCK@{t} sides forgiven",
        f"share of keypoints closer to the truth than {t} x {NORMALISER}, where a pair of mirror partners that both "
        f"count may exchange its two predictions if more are right so; {AVERAGING}.",
        column=t == 0.2,
        paired=t == 0.2,
    )
    for t in THRESHOLDS
)


@dataclass(frozen=True)
class _Sides:
    """The pairs of a table."""

    partner: np.ndarray
    """(N, K) the mirror partner's place; a keypoint's own where it has none."""
    both: np.ndarray
    """(N, K) bool: has a partner, and both count."""
    judged: np.ndarray
    """(N, K) bool: those of ``both`` whose truths lie apart."""
    to_partner: np.ndarray
    """(N, K) pixels between the prediction and the partner's truth."""

    @classmethod
    def of(cls, p: Predictions) -> _Sides:
        own = np.arange(int(p.counts.shape[1]))
        partner = np.stack([own] * len(p.categories))
        for row, category in zip(partner, p.categories, strict=True):
            row[: len(category.keypoints)] = category.flip_index()
        partner = np.asarray(partner[p.category])
        both: np.ndarray = p.counts & np.take_along_axis(p.counts, partner, 1) & (partner != own)
        other = np.take_along_axis(p.truth, partner[..., None], 1).astype(np.float64)
        apart = np.linalg.norm(other - p.truth, axis=-1) >= APART * box_side(p)[:, None]
        return cls(partner, both, both & apart, np.linalg.norm(p.xy - other, axis=-1))

    def nearer(self, p: Predictions) -> np.ndarray:
        """(N, K) bool: judged, and nearer to the partner's truth."""
        return self.judged & (self.to_partner < distance(p))

    def forgiven(self, p: Predictions) -> np.ndarray:
        """(N, T) PCK of every query after the better of the two assignments per pair."""
        side, own = box_side(p)[:, None], distance(p)
        values: list[np.ndarray] = []
        for threshold in THRESHOLDS:
            right, exchanged = own / side < threshold, self.to_partner / side < threshold
            better = np.maximum(self._of_pairs(right), self._of_pairs(exchanged)) / 2
            found = np.where(self.both, better, right)
            values.append(np.where(p.counts, found, 0).sum(1) / np.maximum(p.counts.sum(1), 1))
        return np.stack(values, axis=1)

    def _of_pairs(self, right: np.ndarray) -> np.ndarray:
        """(N, K) number of a keypoint and its partner that are right."""
        return right.astype(int) + np.take_along_axis(right, self.partner, 1)


def measure(p: Predictions) -> Callable[[Units], Statistic]:
    """SPE of resampled units, nan where none of their pairs is judged, and the forgiven PCK, nan where the table holds
    no pair."""
    sides, asked = _Sides.of(p), p.predicted
    # (N, 3 + T): keypoints that are confused, and judged; queries; and PCK.
    columns = [sides.nearer(p).sum(1), sides.judged.sum(1), np.ones(len(p))]
    values = np.concatenate([np.stack(columns, 1), sides.forgiven(p)], axis=1)
    has_pairs = bool(sides.both[asked].any())

    def of(units: Units) -> Statistic:
        sums = np.zeros((units.row.max() + 1, values.shape[1]))
        np.add.at(sums, units.row[asked], values[asked])

        def statistic(weights: np.ndarray) -> np.ndarray:
            nearer, judged, queries, *right = (weights.T @ sums).T
            with np.errstate(invalid="ignore"):
                means = [total / queries if has_pairs else np.full(len(total), np.nan) for total in right]
                return np.stack([nearer / judged, *means], axis=1)

        return statistic

    return of


@dataclass(frozen=True)
class Confusion:
    """How often two mirror partners are taken for each other."""

    nearer: int
    """Keypoints nearer to the partner's truth than to their own."""
    judged: int
    """Keypoints whose partner lies apart from them."""
    too_close: int
    """Keypoints whose partner counts, but lies too close to tell."""


def by_pair(p: Predictions) -> dict[str, dict[str, Confusion]]:
    """Category key to pair, such as ``left_eye / right_eye``; pairs that never count together are left out."""
    sides = _Sides.of(p)
    nearer = sides.nearer(p)
    table: dict[str, dict[str, Confusion]] = {}
    for position in np.unique(p.category):
        category, rows = p.categories[int(position)], (p.category == position) & p.predicted
        for pair in category.flip_pairs:
            both, judged = sides.both[rows][:, pair].sum(), sides.judged[rows][:, pair].sum()
            if both:
                confused = int(nearer[rows][:, pair].sum())
                found = Confusion(confused, int(judged), int(both - judged))
                table.setdefault(category.key, {})[_name(category, pair)] = found
    return table


def _name(category: Category, pair: tuple[int, int]) -> str:
    return " / ".join(category.keypoints[end] for end in pair)


SPEC = MetricSpec(metrics=(SPE, *FORGIVEN), measure=measure, needs=(Need.TRUTHS,))
