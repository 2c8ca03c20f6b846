"""Average ranks of runs over categories, and how far two must lie apart (Nemenyi's test, as in Demsar 2006)."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata, studentized_range

from posebed.scoring.sign_flips import DIGITS, LEVEL


def average_ranks(values: np.ndarray) -> np.ndarray:
    """(R,) mean over categories of the place of each of R runs; 1 is best, equal ones share their places.

    Args:
        values: (C, R); higher is better.
    """
    return rankdata(-np.round(values, DIGITS), axis=1).mean(0)


def critical_difference(runs: int, categories: int) -> float:
    """Average ranks further apart than this differ at ``LEVEL``, whichever two of the runs are looked at."""
    quantile = studentized_range.ppf(1 - LEVEL, runs, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(runs * (runs + 1) / (6 * categories)))


def groups(ranks: np.ndarray, critical: float) -> list[tuple[int, int]]:
    """First and last place of each largest group whose members lie no further apart than the critical difference.

    Args:
        ranks: in ascending order.
    """
    ends = np.searchsorted(ranks, ranks + critical, side="right") - 1
    spans = [(start, int(end)) for start, end in enumerate(ends) if end > start]
    return [span for span in spans if not any(a <= span[0] and span[1] <= b for a, b in spans if (a, b) != span)]
