"""An identity changes with everything that it is made of and with nothing else, and says with what."""

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
identities = st.builds(Identity, settings.map(flattened), hashes, hashes, hashes)


def reordered(mapping: dict[str, Any]) -> dict[str, Any]:
    return {
        name: reordered(value) if isinstance(value, dict) else value for name, value in reversed(list(mapping.items()))
    }


@given(settings, hashes, hashes, hashes)
def test_the_order_of_names_does_not_count(written: dict, data: dict, after: dict, code: dict):
    first = Identity(flattened(written), data, after, code)
    second = Identity(flattened(reordered(written)), reordered(data), reordered(after), reordered(code))
    assert first.hash == second.hash and not second.changes_since(first)


@given(identities, identities)
def test_two_identities_are_equal_where_nothing_is_another_and_only_there(one: Identity, other: Identity):
    assert (one.hash == other.hash) == (not other.changes_since(one)) == (not one.changes_since(other))


@given(identities, st.sampled_from(["data", "after", "code"]), names)
def test_a_changed_part_is_named(identity: Identity, part: str, name: str):
    other = Identity(**{**vars_of(identity), part: {**getattr(identity, part), name: "another"}})
    label = f"code of {name}" if part == "code" else name
    assert other.changes_since(identity) == [label] and other.hash != identity.hash


@given(identities, names)
def test_a_changed_setting_is_named_with_both_values(identity: Identity, name: str):
    before = Identity(**{**vars_of(identity), "settings": {**identity.settings, name: 0.001}})
    after = Identity(**{**vars_of(identity), "settings": {**identity.settings, name: 0.002}})
    assert after.changes_since(before) == [f"{name} 0.001 -> 0.002"]
    without = Identity(**{**vars_of(identity), "settings": {n: v for n, v in identity.settings.items() if n != name}})
    assert without.changes_since(before) == [f"{name} 0.001 -> absent"]


def vars_of(identity: Identity) -> dict[str, Any]:
    return {name: getattr(identity, name) for name in ("settings", "data", "after", "code")}


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.binary(max_size=3), min_size=1))
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
