"""What a search varies: the model's own space, as ``params.yaml`` narrows or widens it, the run's setting in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posebed.config import SearchConfig
from posebed.contracts import SEARCHED_EVERYWHERE
from posebed.experiment import Experiment
from posebed.listing import shortened
from posebed.space import Choice, Dimension, Space, When, check_order, read_dimension, with_value


def space_of(experiment: Experiment, settings: SearchConfig) -> Space:
    """The whole space of a search. It always holds the run's own setting, which is the first trial.

    Raises:
        ValueError: a name that is no parameter, a value that the parameter cannot have, or nothing left to vary.
    """
    trained = experiment.spec.trained
    space: Space = {**(SEARCHED_EVERYWHERE if trained else {}), **experiment.spec.space}
    unknown = sorted({*settings.only} - {*space})
    if unknown:
        raise ValueError(
            f"{experiment.key}.only must name dimensions of the model's space, but has {shortened(unknown)}; there is "
            f"{', '.join(space)}"
        )
    space = {n: d for n, d in space.items() if not settings.only or n in settings.only}
    for name, written in settings.space.items():
        _must_be_a_parameter(experiment, name)
        if not trained and name.startswith("train."):
            raise ValueError(
                f"{experiment.key}.space must name settings of {experiment.model} alone, which is not trained, but has "
                f"{name}"
            )
        if written is None:
            space.pop(name, None)
        else:
            space[name] = _typed(experiment, name, read_dimension(f"{experiment.key}.space.{name}", written))
    space = {name: kept for name, d in space.items() if (kept := _without_its_parent(experiment, space, d))}
    if not space:
        raise ValueError(f"{experiment.key}.space must leave something to vary, but leaves nothing")
    check_order(space)
    space = {name: with_value(d, own(experiment, name)) for name, d in space.items()}
    _must_be_accepted(experiment, space)
    return space


def _typed(experiment: Experiment, name: str, dimension: Dimension) -> Dimension:
    """The dimension with its values as the parameter holds them, each once: ``yes`` is true, 1 the number 1.0."""
    plain = dimension.then if isinstance(dimension, When) else dimension
    if isinstance(plain, Choice):
        plain = Choice(*_typed_values(experiment, name, plain.values))
    if isinstance(dimension, When):
        return When(dimension.name, _typed_values(experiment, dimension.name, dimension.values), plain)
    return plain


def _typed_values(experiment: Experiment, name: str, values: Sequence[object]) -> tuple[object, ...]:
    typed: list[object] = []
    for value in values:
        try:
            held = own(experiment.with_overrides({name: value}), name)
        except (ValueError, LookupError):
            held = value  # refused later, with the reason
        typed += [held] if held not in typed else []
    return tuple(typed)


def own_setting(experiment: Experiment, space: Space) -> dict[str, Any]:
    """The run's own values of every dimension, those that depend on others included."""
    return {name: own(experiment, name) for name in space}


def own(experiment: Experiment, name: str) -> Any:
    value = experiment.value_of(name)
    return value.model_dump() if hasattr(value, "model_dump") else value


def _must_be_a_parameter(experiment: Experiment, name: str) -> None:
    try:
        experiment.value_of(name)
    except LookupError as error:
        raise ValueError(str(error)) from error


def _without_its_parent(experiment: Experiment, space: Space, dimension: Dimension) -> Dimension | None:
    """A dimension that depends on one that is not searched is there always or never, as the run's own value of that
    one says."""
    if not isinstance(dimension, When) or dimension.name in space:
        return dimension
    return dimension.then if own(experiment, dimension.name) in dimension.values else None


def _must_be_accepted(experiment: Experiment, space: Space) -> None:
    """Try every value, or both ends, beside the run's own setting, so that a slip is told before the first trial."""
    for name, dimension in space.items():
        beside = {dimension.name: dimension.values[0]} if isinstance(dimension, When) else {}
        plain = dimension.then if isinstance(dimension, When) else dimension
        for value in plain.values if isinstance(plain, Choice) else (plain.low, plain.high):
            experiment.with_overrides({**beside, name: value})
