"""JSON: with or without a byte order mark, and refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.annotations.jsonfile import read_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(value=values, mark=st.booleans(), escaped=st.booleans())
def test_a_byte_order_mark_changes_nothing(
    value: Any, mark: bool, escaped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_bytes(json.dumps(value, ensure_ascii=escaped).encode("utf-8-sig" if mark else "utf-8"))
    assert read_json(path) == value


@pytest.mark.parametrize("data", [b"", b"{", b"[] []", b"[" * 100_000, b"\xff\xff", b"\xef\xbb\xbf", b"1" * 10**5])
def test_what_is_no_json_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"file\.json must be JSON"):
        read_json(tmp_path / "file.json")


def test_what_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(ValueError, match="must be a JSON file, but there is none"):
            read_json(path)
