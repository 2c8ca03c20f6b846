"""JSON: with or without a byte order mark, and refused by name."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.annotations.jsonfile import parse_json, read_json
from posebed.json_bounds import memory_of
from posebed.limits import MOST_LEVELS
from posebed.listing import shown

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
        with pytest.raises(ValueError, match=r"must be a JSON file, but there is (none|a folder)"):
            read_json(path)


@pytest.mark.parametrize("piece", [b"{}", b"[]", b"1.5", b"12345", b'"abc"', b'{"a":1}', b'{"a":[1.5,2.5],"b":{}}'])
def test_content_is_refused_by_the_memory_that_it_would_take(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"[" + b",".join([piece] * 20_000) + b"]"
    tracemalloc.start()
    content = parse_json(data, "file")
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(content) == 20_000 and taken / 2 < memory_of(data) < 10 * taken
    monkeypatch.setattr("posebed.json_bounds.MOST_JSON_MEMORY", memory_of(data) - 1)
    with pytest.raises(ValueError, match=r"file must be JSON that takes at most .* of memory, but takes about"):
        parse_json(data, "file")


@given(levels=st.integers(1, 3 * MOST_LEVELS), kind=st.sampled_from([b"[]", b'{"a":}']), width=st.integers(0, 3))
def test_lists_and_objects_are_nested_up_to_a_limit(levels: int, kind: bytes, width: int) -> None:
    opening, closing = kind[:-1], kind[-1:]
    data = opening * levels + b"1" + closing * levels
    for _ in range(width):
        data = b"[[], " + data + b"]"
    if levels + width <= MOST_LEVELS:
        parse_json(data, "file")
    else:
        with pytest.raises(ValueError, match="file must be JSON, but is nested too deeply"):
            parse_json(data, "file")


@given(content=st.dictionaries(st.text(), st.integers(), min_size=1), data=st.data())
def test_a_key_twice_is_refused_wherever_it_stands(content: dict[str, int], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(content)))
    text = json.dumps(content)[:-1] + f", {json.dumps(key)}: 5}}"
    for outer in (text, f"[1, {text}]", f'{{"a": {{"b": {text}}}}}'):
        with pytest.raises(ValueError, match="every key once") as refused:
            parse_json(outer.encode(), "file")
        assert shown(key) in str(refused.value)


def test_whoever_trusts_a_large_file_can_allow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "large.json"
    file.write_text("[" + "1," * 200_000 + "1]")
    monkeypatch.setenv("POSEBED_JSON_GB", "0.005")
    with pytest.raises(
        ValueError, match=r"at most 5\.0 MB of memory, but takes about 6\.4 MB; POSEBED_JSON_GB=1 allows"
    ):
        read_json(file)
    monkeypatch.setenv("POSEBED_JSON_GB", "0.001")  # the text alone is too much
    with pytest.raises(
        ValueError, match=r"at most 1\.0 MB of memory, but takes about 1\.6 MB; POSEBED_JSON_GB=1 allows"
    ):
        read_json(file)
    for wrong in ("", "much", "-1", "nan"):
        monkeypatch.setenv("POSEBED_JSON_GB", wrong)
        with pytest.raises(ValueError, match="POSEBED_JSON_GB must be a number of gigabytes below 10000, such as 8"):
            read_json(file)
    monkeypatch.setenv("POSEBED_JSON_GB", "1")
    assert len(read_json(file)) == 200_001
