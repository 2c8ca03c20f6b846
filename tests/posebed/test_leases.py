"""Leases: what one of them names stays in the storage, all else goes once it is old, in a folder and on a server."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed import leases
from posebed.contents import place_of, put
from posebed.leases import Lease, lease_of, project_identity, stored_leftovers, write_lease
from posebed.leftovers import DAY, clear
from posebed.storage import Storage

KINDS = pytest.mark.parametrize("stored", ["folder", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
OWN, OTHER, THIRD = "1" * 32, "2" * 32, "3" * 32


def cleared(storage: Storage, own: Lease | None = None, dry_run: bool = False, days: float = 7) -> list[str]:
    """Names of what was removed."""
    found = [*clear(stored_leftovers(storage, OWN, own or Lease(), days), dry_run)]
    assert not [one.failed for one in found if one.failed]
    return sorted(one.name for one in found)


def names(storage: Storage) -> set[str]:
    return {file.name for folder in ("contents", "jobs", "leases", "checks") for file in storage.files(folder)}


def later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """The storage's clock goes on."""
    now = Storage.now
    monkeypatch.setattr(Storage, "now", lambda self: now(self) + days * DAY)


def contents(storage: Storage, folder: Path, texts: Sequence[str]) -> list[str]:
    """Hashes of these texts, which lie in the storage then."""
    folder.mkdir(exist_ok=True)
    for i, text in enumerate(texts):
        (folder / str(i)).write_text(text)
    return [*put(storage, [Path(str(i)) for i in range(len(texts))], folder).values()]


def job(storage: Storage, folder: Path, name: str) -> None:
    (folder / "weights").write_text("weights")
    storage.put(folder / "weights", f"jobs/{name}/000001-abcd/weights")


@KINDS
def test_what_a_lease_names_stays_and_all_else_that_is_old_goes(
    stored: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mine, others, nobodys = contents(stored, tmp_path / "files", ["mine", "others'", "nobody's"])
    for name in ("a-0-0123456789abcdef", "b-0-0123456789abcdef", "search@a-0123456789abcdef", "search@b-0"):
        job(stored, tmp_path, name)
    other = Lease(contents=frozenset({others}), jobs=frozenset({"search@a"}))
    write_lease(stored, OTHER, other)
    own = Lease(contents=frozenset({mine}), jobs=frozenset({"a-0-0123456789abcdef"}))
    assert cleared(stored, own) == []  # all of it is young
    later(monkeypatch, 2)
    before = names(stored)
    gone = [place_of(nobodys), "jobs/b-0-0123456789abcdef", "jobs/search@b-0"]
    assert cleared(stored, own, dry_run=True) == sorted(gone)
    assert names(stored) == before
    assert cleared(stored, own) == sorted(gone)
    assert {name for name in before if not name.startswith(tuple(gone))} == names(stored)
    assert cleared(stored, own) == []
    assert lease_of(stored, OTHER) == other
    later(monkeypatch, 8)
    gone = [place_of(others), f"leases/{OTHER}.json", "jobs/search@a-0123456789abcdef"]
    assert cleared(stored, own) == sorted(gone)
    assert names(stored) == {place_of(mine), "jobs/a-0-0123456789abcdef/000001-abcd/weights"}


@KINDS
def test_a_file_is_as_old_as_its_upload_by_the_storages_clock(stored: Storage, tmp_path: Path):
    (tmp_path / "old").write_text("old")
    os.utime(tmp_path / "old", (0, 0))
    stored.put(tmp_path / "old", "folder/old")
    (file,) = stored.files("folder")
    assert (file.name, file.size) == ("folder/old", 3)
    assert abs(stored.now() - file.modified) < 600
    assert stored.files("checks") == []
    stored.remove_file("folder/old")
    stored.remove_file("folder/old")
    assert stored.files("folder") == []


@KINDS
def test_compiled_code_goes_when_it_is_old(stored: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "code").write_text("code")
    stored.put(tmp_path / "code", "compiled/torch-1/cpu/a-0-0123456789abcdef")
    later(monkeypatch, 6)
    assert cleared(stored) == []
    later(monkeypatch, 2)
    assert cleared(stored) == ["compiled/torch-1/cpu/a-0-0123456789abcdef"]
    assert stored.files("compiled") == []


AGES = st.floats(0, 20).filter(lambda age: min(abs(age - 1), abs(age - 7)) > 0.01)
STATES = st.lists(st.tuples(AGES, st.sets(st.integers(0, 2))), max_size=6)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=STATES, ages=st.lists(AGES, min_size=3, max_size=3))
def test_named_or_young_is_the_same_as_kept(
    state: list[tuple[float, set[int]]], ages: list[float], tmp_path_factory: pytest.TempPathFactory
):
    """Contents of any age, named by any of three projects, whose leases are of any age."""
    folder = tmp_path_factory.mktemp("any")
    storage, projects = Storage(str(folder / "storage")), (OWN, OTHER, THIRD)
    hashes = contents(storage, folder / "files", [str(i) for i in range(len(state))])
    own = Lease()
    for number, project in enumerate(projects):
        named = frozenset(content for content, (_, by) in zip(hashes, state, strict=True) if number in by)
        lease = Lease(contents=named)
        write_lease(storage, project, lease)
        aged(storage, f"leases/{project}.json", ages[number])
        own = lease if project == OWN else own
    for content, (age, _) in zip(hashes, state, strict=True):
        aged(storage, place_of(content), age)
    valid = {0, *(number for number in (1, 2) if ages[number] < 7)}
    kept = {place_of(c) for c, (age, by) in zip(hashes, state, strict=True) if age < 1 or by & valid}
    before = names(storage)
    cleared(storage, own, dry_run=True)
    assert names(storage) == before
    cleared(storage, own)
    after = names(storage)
    assert {name for name in after if name.startswith("contents")} == kept
    assert {name for name in after if name.startswith("leases")} == {f"leases/{projects[n]}.json" for n in valid}
    assert cleared(storage, own) == []


def test_what_is_leased_while_others_are_removed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A project that rested for long goes on in that moment."""
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.0)
    storage = Storage(str(tmp_path / "storage"))
    hashes = sorted(contents(storage, tmp_path / "files", ["one", "two", "three"]))
    for name in ("a-0-0123456789abcdef", "b-0-0123456789abcdef"):
        job(storage, tmp_path, name)
    write_lease(storage, OTHER, Lease(contents=frozenset(hashes)))
    for name in names(storage):
        aged(storage, name, 30)
    found = stored_leftovers(storage, OWN, Lease(), days=7)
    first = next(found)
    left = {content for content in hashes if place_of(content) != first.name}
    write_lease(storage, OTHER, Lease(contents=frozenset(left), jobs=frozenset({"b-0-0123456789abcdef"})))
    assert [leftover.name for leftover in found] == ["jobs/a-0-0123456789abcdef"]


def aged(storage: Storage, name: str, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(storage.path(name), (then, then))


def test_a_lease_that_cannot_be_understood_protects_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    storage = Storage(str(tmp_path / "storage"))
    contents(storage, tmp_path / "files", ["nobody's"])
    (tmp_path / "broken").write_text('{"schema": 1, "contents": [')
    storage.put(tmp_path / "broken", f"leases/{OTHER}.json")
    later(monkeypatch, 2)
    before = names(storage)
    (told,) = clear(stored_leftovers(storage, OWN, Lease(), 7), dry_run=False)
    assert "must be a lease as a JSON object" in told.failed
    assert names(storage) == before


def test_what_cannot_be_removed_is_told_and_the_rest_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    storage = Storage(str(tmp_path / "storage"))
    first, second = (place_of(content) for content in contents(storage, tmp_path / "files", ["a", "b"]))
    later(monkeypatch, 2)
    removed = Storage.remove_file

    def refusing(self: Storage, name: str) -> None:
        if name == first:
            raise PermissionError("not yours")
        removed(self, name)

    monkeypatch.setattr(Storage, "remove_file", refusing)
    found = {one.name: one.failed for one in clear(stored_leftovers(storage, OWN, Lease(), 7), dry_run=False)}
    assert found == {first: "not yours", second: ""}
    assert names(storage) == {first}


def test_a_copy_of_a_project_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    own = project_identity()
    assert project_identity() == own
    copied = leases.PROJECT.read_bytes()
    monkeypatch.chdir(tmp_path / "two")
    leases.PROJECT.parent.mkdir()
    leases.PROJECT.write_bytes(copied)
    assert project_identity() != own


@given(jobs=st.frozensets(st.text("ab-0", min_size=1, max_size=4)), job=st.text("ab-0", min_size=1, max_size=8))
def test_a_job_is_needed_by_its_name_or_by_what_comes_before_its_hash(jobs: frozenset[str], job: str):
    lease = Lease(jobs=jobs)
    assert all(lease.needs(name) and lease.needs(f"{name}-{secrets.token_hex(8)}") for name in jobs)
    head = job[: job.rindex("-")] if "-" in job else ""
    assert lease.needs(job) == bool({job, head} & jobs)
