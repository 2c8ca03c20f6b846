"""Lists in messages are bounded, whatever the data holds."""

from __future__ import annotations

import re
import time
import unicodedata
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from posebed.listing import cell, shortened, shown, visible


@given(names=st.lists(st.text(max_size=300), max_size=400), most=st.integers(1, 20))
def test_a_list_is_short_and_counts_the_rest(names: list[str], most: int) -> None:
    text = shortened(names, most)
    assert len(text) <= most * 102 + 20
    assert text.endswith(f" and {len(names) - most} more") or len(names) <= most
    assert names or text == "none"


@given(value=st.text() | st.lists(st.integers(), max_size=200))
def test_a_shown_value_is_short_ascii(value: object) -> None:
    assert len(shown(value)) <= 100 and shown(value).isascii()


@given(st.text(), st.sampled_from(["", "\n"]))
def test_a_visible_text_gives_no_orders_and_is_as_long(text: str, keep: Literal["", "\n"]) -> None:
    seen = visible(text, keep)
    assert len(seen) == len(text) and visible(seen, keep) == seen
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in keep for c in seen)
    assert isinstance(seen.encode(), bytes), "it can be written to any file in UTF-8"


def test_control_characters_have_signs_of_their_own() -> None:
    assert visible("a\x1b[31m\x07\x7f\x9b\u202e") == "a\u241b[31m\u2407\u2421\ufffd\ufffd"
    assert visible("Ä 犬 \U0001f469\u200d\U0001f52c") == "Ä 犬 \U0001f469\u200d\U0001f52c"


def test_a_value_is_shown_in_a_moment_however_large_it_is() -> None:
    nested: object = "x"
    for _ in range(40):
        nested = [nested] * 9
    for value in (nested, 16**100_000, "x" * 10**8, dict.fromkeys(range(10**6))):
        started = time.process_time()
        assert len(shown(value)) <= 100
        assert time.process_time() - started < 1


@given(st.text() | st.sampled_from(["=1+1", "@SUM(A1)", "-2+3", "+cmd|' /C calc'!A0", "a\rb", "\t=1"]))
def test_a_cell_is_one_line_and_no_formula(text: str) -> None:
    shown = str(cell(text))
    assert "\n" not in shown and "\r" not in shown
    assert not shown.startswith(("=", "@"))
    assert not shown.startswith(("+", "-")) or re.fullmatch(r"[-+][0-9.]+(e[-+]?[0-9]+)?", shown, re.IGNORECASE)


@given(st.floats() | st.integers() | st.none() | st.floats(allow_nan=False, allow_infinity=False).map(str))
def test_a_cell_keeps_numbers(value: object) -> None:
    assert cell(value) is value or cell(value) == value
