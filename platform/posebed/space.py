"""What may vary in a search, said without any search library, and how ``params.yaml`` says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from posebed.listing import shortened


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
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low < high must hold for two numbers, but got low={self.low}, high={self.high}")


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

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.step > 0:
            raise ValueError(f"step > 0 must hold for Steps, but got step={self.step}")


Unconditional = Choice | Uniform | LogUniform | Steps


@dataclass(frozen=True)
class When:
    """A dimension that is there only where an earlier one has certain values, such as a loss's shape where its weight
    is above 0."""

    name: str
    """The earlier dimension."""
    values: tuple[object, ...]
    then: Unconditional

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"a dimension that depends on {self.name} must name some of its values, but names none")


Dimension = Unconditional | When
Space = dict[str, Dimension]
"""Dotted names (``model.width``, ``train.lr``) to what they may be; what depends on another stands after it."""


def check_order(space: Space) -> None:
    """Refuse a space in which something depends on what is not searched, or stands after it.

    Raises:
        ValueError: with the first such dimension.
    """
    earlier: list[str] = []
    for name, dimension in space.items():
        if isinstance(dimension, When) and dimension.name not in earlier:
            raise ValueError(
                f"{name} must depend on an earlier dimension, but depends on {dimension.name}; earlier ones are "
                f"{shortened(earlier)}"
            )
        earlier.append(name)


def read_dimension(name: str, written: object) -> Dimension:
    """A dimension as ``params.yaml`` writes it: a list of values, or ``{low, high}`` with ``log: true`` or a ``step``;
    either may stand as ``{choice: [...]}`` and have ``when: {OTHER: [values]}`` beside it.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(written, list):
        return Choice(*_values(cast("list[object]", written)))
    how = "a list of values, or low and high with log or step, or choice; with or without when"
    if not isinstance(written, Mapping):
        raise ValueError(f"{name} must be {how}, but is {written!r}")
    content = dict(cast("Mapping[str, Any]", written))
    condition = content.pop("when", None)
    try:
        dimension = _unconditional(content)
        if condition is None:
            return dimension
        ((other, values),) = condition.items()
        return When(other, _values(values if isinstance(values, list) else [values]), dimension)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(f"{name} must be {how}, but is {written!r}: {error}") from error


def _unconditional(content: dict[str, Any]) -> Unconditional:
    if content.keys() == {"choice"} and isinstance(content["choice"], list):
        return Choice(*_values(content["choice"]))
    low, high = float(content.pop("low")), float(content.pop("high"))
    log = content.pop("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"log must be true or false, but is {log!r}")
    if log:
        dimension: Unconditional = LogUniform(low, high)
    elif "step" in content:
        dimension = Steps(low, high, float(content.pop("step")))
    else:
        dimension = Uniform(low, high)
    if content:
        raise ValueError(f"there is no {shortened(content)}")
    return dimension


def _values(written: list[object]) -> tuple[object, ...]:
    """YAML's lists as tuples, which can be compared and stored."""
    return tuple(_values(cast("list[object]", v)) if isinstance(v, list) else v for v in written)


def holds(dimension: Unconditional, value: object) -> bool:
    """Whether the value is one that the dimension may take."""
    if isinstance(dimension, Choice):
        return value in dimension.values
    if not isinstance(value, int | float) or not dimension.low <= value <= dimension.high:
        return False
    if not isinstance(dimension, Steps):
        return True
    steps = (value - dimension.low) / dimension.step
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def with_value(dimension: Dimension, value: object) -> Dimension:
    """The dimension made just wide enough to take a value in.

    Raises:
        ValueError: a range cannot hold it.
    """
    if isinstance(dimension, When):
        return replace(dimension, then=with_value(dimension.then, value))
    if holds(dimension, value):
        return dimension
    if isinstance(dimension, Choice):
        return Choice(value, *dimension.values)
    if not isinstance(value, int | float) or isinstance(dimension, Steps):
        raise ValueError(f"{dimension} must be able to hold {value!r}, but is not; a list of values is")
    return replace(dimension, low=min(dimension.low, value), high=max(dimension.high, value))
