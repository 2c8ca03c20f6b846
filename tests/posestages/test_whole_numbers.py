"""Whole numbers of the command line: what is in bounds is taken, all else refused in a short sentence."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st
from typer.main import get_command

from posestages.cli import app
from posestages.commands.curve import numbers
from posestages.commands.import_checkpoint import read_size
from posestages.whole_numbers import whole, whole_number

NONE_IN_PLAIN_DIGITS = st.one_of(
    st.integers(10**10, 10**40).map(str), st.integers(max_value=-1).map(str), st.text(max_size=40), st.floats().map(str)
).filter(lambda text: not (text.isascii() and text.isdigit() and len(text) < 10))


@given(st.integers(1, 100))
def test_what_is_in_bounds_is_taken(number: int):
    assert whole_number(str(number), 1, 100) == whole(1, 100)(str(number)) == number


@given(NONE_IN_PLAIN_DIGITS)
@example("9" * 400)
@example("9" * 5000)
@example("\u0663")
@example("")
def test_all_else_is_told_in_a_short_sentence_with_the_bounds(text: str):
    for read in (
        whole(1),
        lambda text: numbers(text.replace(",", "."), "--shots"),
        lambda text: read_size(f"{text}x8"),
    ):
        with pytest.raises((typer.BadParameter, ValueError), match=r"must be .*") as told:
            read(text)
        assert len(str(told.value)) < 300


def test_every_option_of_a_number_has_bounds():
    commands: Any = get_command(app)
    described = [p.type_descriptor for command in commands.commands.values() for p in command.params]
    numeric = [one.parameter_info for one in described if one.annotation in (int, float, list[int], list[float])]
    assert len(numeric) > 4
    for info in numeric:
        with pytest.raises(typer.BadParameter, match="must be a whole number from"):
            info.parser("9" * 5000)
