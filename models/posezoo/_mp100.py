"""How the papers of category-agnostic pose publish their results: PCK@0.2 on the five splits of MP-100."""

from __future__ import annotations

from posebed.contracts import Claim

SPLITS = ("split 1", "split 2", "split 3", "split 4", "split 5", "average")


def mp100_claims(source: str, setting: str, *values: float) -> tuple[Claim, ...]:
    """PCK@0.2 on splits 1 to 5 and, where a sixth value is given, the published average."""
    return tuple(
        Claim("MP-100", split, setting, "PCK@0.2", value, source) for split, value in zip(SPLITS, values, strict=False)
    )
