"""Dimensions of a search: what they hold, how they widen, and how ``params.yaml`` spells them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.space import (
    Choice,
    LogUniform,
    Steps,
    Unconditional,
    Uniform,
    When,
    check_order,
    holds,
    read_dimension,
    with_value,
)

numbers = st.floats(-1e6, 1e6)
plain_values = st.one_of(st.integers(), st.booleans(), st.text(max_size=5), numbers)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[float, float]:
    low = draw(st.floats(1e-6, 1e5))
    return low, low + draw(st.floats(1e-3, 1e5))


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    low, step = draw(st.integers(-50, 50)), draw(st.sampled_from([1, 2, 0.5, 0.1]))
    return Steps(low, low + step * draw(st.integers(1, 20)), step)


dimensions = st.one_of(
    st.builds(lambda values: Choice(*values), st.lists(plain_values, min_size=1, max_size=4)),
    ranges().map(lambda both: Uniform(*both)),
    ranges().map(lambda both: LogUniform(*both)),
    steps(),
)


def written(dimension: Unconditional) -> object:
    """As ``params.yaml`` has it."""
    if isinstance(dimension, Choice):
        return list(dimension.values)
    more = {"log": True} if isinstance(dimension, LogUniform) else {}
    more |= {"step": dimension.step} if isinstance(dimension, Steps) else {}
    return {"low": dimension.low, "high": dimension.high} | more


@given(dimensions)
def test_a_dimension_reads_back_as_it_is_written(dimension: Unconditional):
    assert read_dimension("train.lr", written(dimension)) == dimension
    if isinstance(dimension, Choice):
        assert read_dimension("train.lr", {"choice": written(dimension)}) == dimension
    else:
        conditional = {**dict(written(dimension)), "when": {"model.width": [1, 2]}}  # pyright: ignore
        assert read_dimension("train.lr", conditional) == When("model.width", (1, 2), dimension)


@given(dimensions)
def test_a_dimension_holds_its_ends_and_values_and_nothing_beyond(dimension: Unconditional):
    if isinstance(dimension, Choice):
        assert all(holds(dimension, value) for value in dimension.values)
        assert not holds(dimension, "a value of no list")
    else:
        assert holds(dimension, dimension.low) and holds(dimension, dimension.high)
        assert not holds(dimension, dimension.low - 1) and not holds(dimension, dimension.high + 1)
        assert not holds(dimension, "low") and not holds(dimension, math.nan)


@given(steps(), st.integers(0, 20), st.floats(0.2, 0.8))
def test_steps_hold_what_lies_on_a_step_alone(dimension: Steps, count: int, between: float):
    on = dimension.low + count * dimension.step
    assert holds(dimension, on) == (on <= dimension.high + 1e-9)
    assert not holds(dimension, dimension.low + between * dimension.step)


@given(dimensions, plain_values)
def test_a_widened_dimension_holds_the_value_and_all_it_held(dimension: Unconditional, value: object):
    try:
        wider = with_value(dimension, value)
    except ValueError:
        assert not isinstance(dimension, Choice), "a list takes anything in"
        return
    assert not isinstance(wider, When)
    assert holds(wider, value)
    kept = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    assert all(holds(wider, one) for one in kept)
    assert with_value(wider, value) == wider


def test_widening_reaches_through_a_condition():
    conditional = When("model.parts", (1, 2), Uniform(0.0, 1.0))
    assert with_value(conditional, 3.0) == When("model.parts", (1, 2), Uniform(0.0, 3.0))


@pytest.mark.parametrize(
    ("dimension", "value"),
    [(Steps(1, 5, 2), 2), (Uniform(0, 1), "wide"), (Uniform(0, 1), None), (LogUniform(0.1, 1), 0.0)],
)
def test_what_no_range_can_take_in_is_refused(dimension: Unconditional, value: object):
    with pytest.raises(ValueError, match=r"must be able to hold|low > 0 must hold"):
        with_value(dimension, value)


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        (0.1, "train.lr must be a list of values, or low and high"),
        ([], "must have at least one value"),
        ({"low": 1}, "train.lr must be a list of values"),
        ({"low": 2, "high": 1}, "low < high must hold"),
        ({"low": 0, "high": 1, "log": True}, "low > 0 must hold"),
        ({"low": 0, "high": 1, "stepp": 2}, "there is no stepp"),
        ({"low": 0, "high": 1, "log": True, "step": 1}, "train.lr must be a list|there is no step"),
        ({"low": "a", "high": 1}, "train.lr must be a list"),
        ({"low": 1, "high": 2, "log": "no"}, "log must be true or false, but is 'no'"),
        ({"low": None, "high": 1}, "train.lr must be a list"),
        ({"choice": 3}, "train.lr must be a list"),
        ({"choice": [1], "low": 0}, "train.lr must be a list"),
        ({"choice": [1, 2], "when": "model.width"}, "train.lr must be a list"),
        ({"choice": [1, 2], "when": {}}, "train.lr must be a list"),
        ({"choice": [1, 2], "when": {"model.width": []}}, "must name some of its values"),
        ({"choice": [1, 2], "when": {"model.width": [1], "model.depth": [1]}}, "train.lr must be a list"),
        ({"low": math.nan, "high": 1}, "low < high must hold"),
    ],
)
def test_a_wrong_spelling_is_refused_in_a_sentence_with_its_name(spelling: object, message: str):
    with pytest.raises(ValueError, match=message) as error:
        read_dimension("train.lr", spelling)
    if spelling:
        assert "train.lr" in str(error.value) and repr(spelling) in str(error.value)


def test_what_depends_on_another_must_stand_after_it():
    parent, child = {"model.parts": Choice(0, 1)}, {"model.how": When("model.parts", (1,), Choice("a", "b"))}
    check_order({**parent, **child})
    with pytest.raises(ValueError, match=r"model\.how must depend on an earlier dimension.*model\.parts"):
        check_order({**child, **parent})
    with pytest.raises(ValueError, match="earlier ones are none"):
        check_order({**child})


def test_lists_in_lists_are_kept_as_tuples():
    assert read_dimension("train.decay_at", [[0.5, 0.8], [0.9]]) == Choice((0.5, 0.8), (0.9,))
