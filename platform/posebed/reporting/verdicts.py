"""A published number beside ours, and in words how they compare.

Papers print shares in percent, and so does everything here; a ``Score`` is a share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean, stdev

from posebed.scoring.result import Member, Score

TOLERANCE = 1.0
"""Percent points. Both numbers are of the same pictures, so that an interval over pictures, which tells what others
would give, excuses no difference; what is left is chance in training."""
PERCENT = 100.0
NOT_RUN, NOT_MEASURED = "not run", "not measured here"


@dataclass(frozen=True)
class Ours:
    """Percent."""

    value: float
    """Mean over seeds."""
    low: float | None
    """Lowest seed; of a single one, the lower end of its 95 % interval over images, where it has one."""
    high: float | None
    seeds: int = 1
    spread: float | None = None
    """Standard deviation over seeds; None of a single one."""


@dataclass(frozen=True)
class Cell:
    claimed: float | None
    """Percent; None where no number is known."""
    ours: Ours | None
    missing: str = NOT_RUN
    """Why there is none of ours."""

    def difference(self) -> float | None:
        """Ours less the claimed one, in percent points."""
        # What is beyond the eighth digit comes from counting in binary.
        return None if self.ours is None or self.claimed is None else round(self.ours.value - self.claimed, 8)

    def verdict(self) -> str:
        """Empty where there is nothing to compare with."""
        difference = self.difference()
        if difference is None:
            return "" if self.ours else self.missing
        if abs(difference) <= TOLERANCE or self._between_seeds():
            return f"reproduced within {ceil(round(abs(difference) * 100, 6)) / 100:.2f}"
        return f"{'short' if difference < 0 else 'above'} by {abs(difference):.2f}"

    def _between_seeds(self) -> bool:
        ours, claimed = self.ours, self.claimed
        if ours is None or claimed is None or ours.low is None or ours.high is None:
            return False
        return ours.seeds > 1 and ours.low <= claimed <= ours.high


def ours_of(metric: str, seeds: Sequence[Sequence[Member]], single: Score | None = None) -> Ours | None:
    """Mean and spread over seeds, each of which is the mean over its runs; None where one did not measure it.

    Args:
        single: the score with its interval where there is one seed of one run.
    """
    if not seeds or any(metric not in member.scores for members in seeds for member in members):
        return None
    values = [PERCENT * fmean(member.scores[metric] for member in members) for members in seeds]
    if len(values) > 1:
        return Ours(fmean(values), min(values), max(values), len(values), stdev(values))
    if single is None:
        return Ours(values[0], None, None)
    return Ours(values[0], PERCENT * single.low, PERCENT * single.high)
