"""An identity changes with everything that it is made of and with nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from posebed.identity import Identity, content_hash, flattened

names = st.text("abcdefg", min_size=1, max_size=3)
values = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("xyz", max_size=2)
leaves = values | st.lists(values, max_size=2)
settings = st.dictionaries(names, leaves | st.dictionaries(names, leaves, max_size=3), max_size=4)
hashes = st.dictionaries(names, st.text("0123", min_size=1, max_size=4), max_size=3)


def reordered(mapping: dict[str, Any]) -> dict[str, Any]:
    return {
        name: reordered(value) if isinstance(value, dict) else value for name, value in reversed(list(mapping.items()))
    }


@given(settings, hashes, hashes, hashes)
def test_the_order_of_names_does_not_count(written: dict, data: dict, start: dict, code: dict):
    first = Identity(flattened(written), data, start, code)
    second = Identity(flattened(reordered(written)), reordered(data), reordered(start), reordered(code))
    assert first.hash == second.hash


@given(settings, hashes, hashes, hashes, st.sampled_from(["settings", "data", "start", "code"]), names)
def test_a_change_of_any_part_changes_the_hash(
    written: dict, data: dict, start: dict, code: dict, part: str, name: str
):
    parts = {"settings": flattened(written), "data": data, "start": start, "code": code}
    changed = {**parts, part: {**parts[part], name: "another"}}
    assert Identity(**changed).hash != Identity(**parts).hash


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.binary(max_size=3)))
def test_content_is_that_of_the_named_files(tmp_path_factory: Any, files: dict[str, bytes]):
    folder, same = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (same / name).write_bytes(content)
    (same / "unnamed").write_bytes(b"does not count")
    before = content_hash(folder, ("a", "b", "c"))
    assert content_hash(same, ("a", "b", "c")) == before
    (same / "a").write_bytes(files.get("a", b"") + b"more")
    assert content_hash(same, ("a", "b", "c")) != before
