"""Files by the hash of their content: put once, fetched once per machine, verified, bounded."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.contents import CACHE_GB, Cache, fetch, inside, place_of, put, remove_unused, store
from posebed.files import file_hash
from posebed.storage import Storage, StorageError

TREES = st.dictionaries(
    st.lists(st.text("abc", min_size=1, max_size=3), min_size=2, max_size=3).map("/".join),
    st.binary(max_size=50),
    min_size=1,
    max_size=5,
).filter(lambda tree: not any(a != b and b.startswith(a + "/") for a in tree for b in tree))


def written(tree: dict[str, bytes], folder: Path) -> None:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@given(tree=TREES)
def test_a_folder_comes_back_as_it_was_and_each_content_is_stored_once(
    tree: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
):
    place = tmp_path_factory.mktemp("tree")
    project, back, storage = place / "project", place / "back", Storage(str(place / "storage"))
    written(tree, project)
    files = put(storage, {Path(path).parts[0] and Path(path.split("/")[0]) for path in tree}, project)
    fetch(storage, files, back)
    assert {path: (back / path).read_bytes() for path in files} == tree
    there = [path for path in (place / "storage").rglob("*") if path.is_file()]
    assert len(there) == len({*tree.values()})
    with patch.object(Storage, "put") as copied:
        store(storage, files, project)
    copied.assert_not_called()


def test_unfinished_files_of_other_writers_are_left_out(tmp_path: Path):
    written({"a/.b.0123456789abcdef.part/c": b"x", "a/d": b"y"}, tmp_path / "project")
    assert [*put(Storage(str(tmp_path / "storage")), [Path("a")], tmp_path / "project")] == ["a/d"]


def test_one_of_which_half_was_put_is_put_again(tmp_path: Path):
    written({"a": b"whole"}, tmp_path)
    storage = Storage(str(tmp_path / "storage"))
    (content,) = put(storage, [Path("a")], tmp_path).values()
    (tmp_path / "storage" / place_of(content)).write_bytes(b"who")
    store(storage, {"a": content}, tmp_path)
    assert (tmp_path / "storage" / place_of(content)).read_bytes() == b"whole"


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", ""])
def test_a_path_that_leads_out_of_its_folder_is_refused(path: str, tmp_path: Path):
    with pytest.raises(ValueError, match="must stay in its folder"):
        inside(path)
    with pytest.raises(ValueError, match="must stay in its folder"):
        fetch(Storage(str(tmp_path)), {path: "0" * 64}, tmp_path / "out")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


def contents(storage: Storage, tmp_path: Path, count: int, size: int) -> list[str]:
    written({f"project/{i}": bytes([i]) * size for i in range(count)}, tmp_path)
    return [*put(storage, [Path()], tmp_path / "project").values()]


def test_a_content_crosses_the_network_once(storage: Storage, tmp_path: Path):
    (content,) = contents(storage, tmp_path, 1, 10)
    cache = Cache(tmp_path / "cache")
    with ExitStack() as uses:
        place = cache.file(storage, content, uses)
        assert file_hash(place) == content
        with patch.object(Storage, "get") as fetched:
            assert cache.file(storage, content, uses) == place
        fetched.assert_not_called()


def test_one_that_was_damaged_in_the_storage_is_refused_and_leaves_nothing(storage: Storage, tmp_path: Path):
    (content,) = contents(storage, tmp_path, 1, 10)
    (tmp_path / "storage" / place_of(content)).write_bytes(b"damaged")
    cache = Cache(tmp_path / "cache")
    with ExitStack() as uses, pytest.raises(StorageError, match="as it was put"):
        cache.file(storage, content, uses)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_what_was_not_used_for_longest_gives_way_but_what_is_in_use_stays(storage: Storage, tmp_path: Path):
    first, second, third = contents(storage, tmp_path, 3, 10)
    cache = Cache(tmp_path / "cache", bytes_at_most=25)
    with ExitStack() as uses:
        used = cache.file(storage, first, uses)
        with ExitStack() as others:
            cache.file(storage, second, others)
        cache.file(storage, third, uses)
        assert {path.name for path in cache.contents()} == {first, third}
        assert not remove_unused(used)
    assert remove_unused(used)
    assert {path.name for path in cache.contents()} == {third}


def test_the_bound_must_be_a_number(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHE_GB, "much")
    with pytest.raises(ValueError, match="must be a number of gigabytes, 0 or more, but is 'much'"):
        Cache()
