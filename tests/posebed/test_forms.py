"""Values of JSON are what their form says, unconverted, or refused in our words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.forms import Form, Whole, checked


class Inner(Form):
    share: float


class Thing(Form):
    number: Whole
    name: str
    inner: Inner
    several: list[Inner] = []


SOUND: dict[str, Any] = {"number": 1, "name": "a", "inner": {"share": 1}, "several": [{"share": 0.5}]}


def refusal(content: object) -> str:
    with pytest.raises(ValueError, match="must be a thing") as error:
        checked(content, Thing, Path("x.json"), "a thing", "write it again")
    assert type(error.value) is ValueError
    return str(error.value)


def test_a_whole_number_is_a_number_and_what_a_form_does_not_name_may_be_there():
    assert checked({**SOUND, "further": [1]}, Thing, Path("x.json"), "a thing", "").inner.share == 1.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"number": "1"}, "number must be a whole number and is '1'"),
        ({"number": True}, "number must be a whole number and is True"),
        ({"number": 10**400}, "number must be"),
        ({"name": 1}, "name must be a text and is 1"),
        ({"name": None}, "name must be a text and is None"),
        ({"inner": []}, "inner must be an object and is []"),
        ({"inner": {"share": float("nan")}}, "inner.share must be a finite number and is nan"),
        ({"inner": {}}, "has no inner.share"),
        ({"several": {}}, "several must be a list and is another object"),
        ({"several": [{"share": 1}, 3]}, "several.1 must be an object and is 3"),
    ],
)
def test_a_mistake_is_told_by_its_place_and_value(change: dict[str, Any], says: str):
    text = refusal({**SOUND, **change})
    assert text.startswith(f"x.json must be a thing, but {says}") and text.endswith("; write it again")


def test_of_several_mistakes_the_first_is_told_and_the_others_are_counted():
    assert "has no number, and 2 more values are wrong; write it again" in refusal({})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*SOUND, "x"]), VALUES) | VALUES)
def test_any_value_is_taken_or_refused_in_one_bounded_line(content: Any):
    try:
        checked(content, Thing, Path("x.json"), "a thing", "write it again")
    except ValueError as error:
        assert re.fullmatch(r"x\.json must be a thing, but .{1,400}; write it again", str(error)), str(error)
