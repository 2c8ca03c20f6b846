"""JSON files are read with and without a byte order mark; others are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.data.jsonfile import read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=VALUES, mark=st.sampled_from(["utf-8", "utf-8-sig"]), plain=st.booleans())
def test_what_was_written_is_read_with_and_without_a_byte_order_mark(
    tmp_path: Path, value: object, mark: str, plain: bool
):
    file = tmp_path / "a.json"
    file.write_bytes(json.dumps(value, ensure_ascii=not plain).encode(mark, "surrogatepass" if plain else "strict"))
    try:
        assert read_json(file) == value
    except ValueError as refused:
        assert plain and "\\ud" in ascii(value) and "a.json" in str(refused), "lone surrogates are no UTF-8"


@pytest.mark.parametrize("content", [b"", b"{", b"\xef\xbb\xbf", b"\xff\xfe{\x00}\x00", b"[" * 10**6, b"1" * 10**5])
def test_a_file_without_json_is_refused_by_name(tmp_path: Path, content: bytes):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json must be JSON in UTF-8"):
        read_json(tmp_path / "a.json")


def test_a_file_that_is_not_there_or_no_file_is_refused_by_name(tmp_path: Path):
    for path in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(ValueError, match=f"{path.name} must be a file that can be read"):
            read_json(path)
