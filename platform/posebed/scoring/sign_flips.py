"""The test of differences between runs: exchange two runs in some categories, and see how often the mean difference is
as large as it was.

Categories are what a statement about new ones generalises over, so they are the units. Where two runs are alike, each
category's difference could as well have had the other sign: p is the share of all 2^C ways to give signs whose mean is
at least as extreme. No distribution is assumed, but C categories allow no p below 2 / 2^C. Shape letters: C categories,
P pairs of runs, F flips.
"""

from __future__ import annotations

import numpy as np

LEVEL = 0.05
"""Corrected p up to which a difference is called sure."""
EXACT = 24
"""Categories up to which all flips are counted."""
DRAWN = 2_000
"""Flips that are drawn where there are more categories."""
DIGITS = 12
"""Digits behind the point that a difference has; further ones are rounding."""
_CHUNK = 1024
"""Pairs at a time."""
_SLICE = 100
"""Drawn flips at a time."""


def sign_flip_p(differences: np.ndarray, *, two_sided: bool = True, seed: int = 0) -> np.ndarray:
    """(P,) p of differences (C, P) that have a mean of 0 if runs are alike.

    Args:
        differences: finite; of one category every p is 1, or one-sided at least 1/2.
        two_sided: whether a mean below 0 counts as well; else only one above 0 does.
        seed: of the flips that are drawn beyond ``EXACT`` categories.
    """
    differences = np.round(differences, DIGITS)
    observed = differences.sum(0)
    if two_sided:
        differences, observed = differences * np.where(observed < 0, -1, 1), np.abs(observed)
    # Sums of the same numbers in another order differ in their last digits.
    least = observed - 1e-9 * np.abs(differences).sum(0)
    counted = _exact if len(differences) <= EXACT else _drawn
    chunks = [slice(start, start + _CHUNK) for start in range(0, differences.shape[1], _CHUNK)]
    shares = [counted(differences[:, chunk], least[chunk], seed) for chunk in chunks]
    tail = np.concatenate([np.zeros(0), *shares])
    # The other tail is as large, as signs are exchanged in all.
    return np.where(least > 0, np.minimum(2 * tail, 1), 1.0) if two_sided else tail


def _exact(differences: np.ndarray, least: np.ndarray, seed: int) -> np.ndarray:
    """(P,) share of all flips whose sum is at least ``least``: for every sum of one half of the categories, how many
    of the other half's are large enough, which takes the square root of the time."""
    half = len(differences) // 2
    first, second = _sums(differences[:half]), np.sort(_sums(differences[half:]), axis=1)
    missed = np.zeros(len(least))
    for pair in range(len(least)):
        missed[pair] = second[pair].searchsorted(least[pair] - first[pair]).sum()
    return 1 - missed / 2 ** len(differences)


def _sums(differences: np.ndarray) -> np.ndarray:
    """(P, 2^C) the sums of all flips."""
    sums = np.zeros((differences.shape[1], 1))
    for row in differences:
        sums = np.concatenate([sums + row[:, None], sums - row[:, None]], axis=1)
    return sums


def _drawn(differences: np.ndarray, least: np.ndarray, seed: int) -> np.ndarray:
    """(P,) share of all flips whose sum is at least ``least``, estimated from drawn ones.

    Each sign is drawn with the chance that makes the expected sum ``least``, and what is large enough is weighted back
    (importance sampling), so that shares far below one in ``DRAWN`` are found as well.
    """
    tilt = _tilt(differences, least)
    tilted = tilt * differences
    positive = (1 + np.tanh(tilted)) / 2
    log_mean = (np.abs(tilted) + np.log1p(np.exp(-2 * np.abs(tilted))) - np.log(2)).sum(0)
    rng, share = np.random.default_rng(seed), np.zeros(len(least))
    for start in range(0, DRAWN, _SLICE):
        uniform = rng.random((min(_SLICE, DRAWN - start), len(differences), 1))
        sums = np.where(uniform < positive, differences, -differences).sum(1)
        share += np.where(sums >= least, np.exp(log_mean - tilt * sums), 0).sum(0)
    return np.clip(share / DRAWN, 2.0 ** -len(differences), 1)


def _tilt(differences: np.ndarray, least: np.ndarray) -> np.ndarray:
    """(P,) exponents, at least 0, with which signs whose odds are exp(2 exponent difference) have the expected sum
    ``least``, by bisection; where that needs all signs at their largest, 20 over the mean difference."""
    low: np.ndarray = np.zeros(len(least))
    high: np.ndarray = 20 / np.maximum(np.abs(differences).mean(0), 10.0**-DIGITS)
    for _ in range(40):
        middle = (low + high) / 2
        small = (differences * np.tanh(middle * differences)).sum(0) < least
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return np.where(least > 0, low, 0)


def smallest_p(categories: int, *, two_sided: bool = True) -> float:
    """The smallest p that so many categories allow."""
    return min((2 if two_sided else 1) * 2.0**-categories, 1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """(P,) corrected p: at ``LEVEL``, the chance that any of the differences is called sure by accident stays below it
    (Holm 1979). Where p is nan, nothing was tested."""
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    corrected = np.full(len(p), np.nan)
    raised = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return corrected


def against(values: np.ndarray, floor: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """p and corrected p (P,) of each method being above the floor, one-sided.

    Args:
        values: (C, P) of P methods in C categories.
        floor: (C,) of the floor.

    Raises:
        ValueError: a number is not finite.
    """
    if not (np.isfinite(values).all() and np.isfinite(floor).all()):
        raise ValueError("each method and the floor must have a number in every category, but some are not finite")
    p = sign_flip_p(values - floor[:, None], two_sided=False, seed=seed)
    return p, holm(p)
