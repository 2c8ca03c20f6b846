"""Percentile bootstrap, vectorised: a resample is a weight per unit, and a statistic takes many resamples at once.

Units are what is drawn with replacement: images, or categories. Of a run with several members, which differ in their
seed alone, members are drawn as well. Shape letters: U units, S members, R resamples, M metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from posebed.contracts import Statistic

Adjust = Callable[[np.ndarray, int], np.ndarray]
"""From the resampled values (R, M) of a member and its place to those that count."""

CHUNK = 32
"""Resamples computed at a time: what they need stays in the processor's cache, and memory does not grow with more."""


def resampled(statistic: Statistic, units: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, ...) values of the statistic; each resample draws as many units as there are."""
    chance = np.full(units, 1 / units)
    sizes = [min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK)]
    return np.concatenate([statistic(rng.multinomial(units, chance, size).T.astype(np.float64)) for size in sizes])


def hierarchical(
    statistics: Sequence[Statistic],
    units: int,
    resamples: int,
    rng: np.random.Generator,
    adjust: Adjust = lambda values, member: values,
) -> np.ndarray:
    """(resamples, M) values of a run: the mean over as many members as there are, drawn with replacement, each measured
    on the same drawn units, since all of them answered the same queries.

    Of one member it is ``resampled``. Two or three seeds tell little of how far seeds lie apart: where that is most of
    what is uncertain, the interval of two covers the truth in about 90 % of all cases.

    Args:
        statistics: one per member.
        adjust: what is done with the resampled values of each member before members are drawn.
    """

    def of_members(weights: np.ndarray) -> np.ndarray:
        return np.stack([statistic(weights) for statistic in statistics], axis=1)

    members = len(statistics)
    drawing = rng.spawn(1)[0]
    values = resampled(of_members, units, resamples, rng)
    values = np.stack([adjust(values[:, s], s) for s in range(members)])
    times = member_weights(members, resamples, drawing).transpose(1, 0, 2) * np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return (np.nan_to_num(values) * times).sum(0) / times.sum(0)


def member_weights(members: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, members, 1) the share of each member among as many as there are, drawn with replacement."""
    return rng.multinomial(members, np.full(members, 1 / members), resamples)[..., None] / members


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Ends of the middle ``level`` of a metric's resampled values, leaving out those with nothing to measure."""
    low, high = np.nanpercentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def centred(resamples: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Resampled shares (R, M), moved so that their mean lies at the values (M,), within 0..1."""
    known = np.isfinite(resamples)
    mean = np.where(known, resamples, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.clip(resamples + (values - mean), 0, 1)
