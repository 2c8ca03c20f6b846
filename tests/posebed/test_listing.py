"""Lists in messages are bounded, whatever the data holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posebed.listing import shortened, shown


@given(names=st.lists(st.text(max_size=300), max_size=400), most=st.integers(1, 20))
def test_a_list_is_short_and_counts_the_rest(names: list[str], most: int) -> None:
    text = shortened(names, most)
    assert len(text) <= most * 102 + 20
    assert text.endswith(f" and {len(names) - most} more") or len(names) <= most
    assert names or text == "none"


@given(value=st.text() | st.lists(st.integers(), max_size=200))
def test_a_shown_value_is_short_ascii(value: object) -> None:
    assert len(shown(value)) <= 100 and shown(value).isascii()
