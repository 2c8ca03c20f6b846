"""How large a difference must be for a table to tell it."""

from __future__ import annotations

from functools import cache

import numpy as np

from posebed.scoring.sign_flips import LEVEL, sign_flip_p, smallest_p

POWER = 0.8
"""Chance with which such a difference is found."""
_TRIALS = 1000
_STEPS = 12


def detectable(deviation: np.ndarray, categories: int, tests: int, seeds: np.ndarray) -> np.ndarray | None:
    """(P,) the true differences that the corrected sign-flip test finds with a chance of ``POWER``; None where the
    categories are too few for it to find any.

    Args:
        deviation: (P,) standard deviation of each difference over categories.
        tests: number of tests that are corrected for; the hardest of Holm's steps counts.
        seeds: (P,) variance of each difference that new seeds would bring, which all categories share.
    """
    effect = effect_size(categories, LEVEL / tests)
    return None if effect is None else effect * np.sqrt(deviation**2 + categories * seeds)


@cache
def effect_size(categories: int, level: float) -> float | None:
    """The mean over the standard deviation of normal differences that the test finds at a level: by trials."""
    if smallest_p(categories) > level or categories < 2:
        return None
    noise = np.random.default_rng(0).normal(size=(categories, _TRIALS))
    low, high = 0.0, 8.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = (sign_flip_p(noise + middle) <= level).mean()
        low, high = (middle, high) if found < POWER else (low, middle)
    return high
