"""What may vary in a search, said without any search library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One of the given values."""

    values: tuple[object, ...]

    def __init__(self, *values: object) -> None:
        if not values:
            raise ValueError("a Choice must have at least one value, but got none")
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class _Range:
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low < high must hold, but got low={self.low}, high={self.high}")


@dataclass(frozen=True)
class Uniform(_Range):
    """Any number from low to high."""


@dataclass(frozen=True)
class LogUniform(_Range):
    """Any number from low to high, evenly spread in its logarithm; low is above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ValueError(f"low > 0 must hold for a LogUniform, but got low={self.low}")


@dataclass(frozen=True)
class Steps(_Range):
    """low, low + step, ... up to and with high."""

    step: float = 1


Dimension = Choice | Uniform | LogUniform | Steps
Space = dict[str, Dimension]
"""Dotted names (``model.width``, ``train.lr``) to what they may be."""
