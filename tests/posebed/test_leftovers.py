"""Leftovers on a machine: of caches and of killed writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.contents import Cache, put
from posebed.files import scratch_folder, writing
from posebed.leftovers import DAY, Cleared, at, cache_leftovers, clear, lines
from posebed.storage import Storage


def filled(cache: Cache, storage: Storage, folder: Path, count: int, uses: ExitStack) -> list[Path]:
    folder.mkdir()
    for i in range(count):
        (folder / str(i)).write_text(str(i))
    return [cache.file(storage, content, uses) for content in put(storage, [Path()], folder).values()]


def aged(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def test_contents_go_that_were_not_used_for_long_but_not_while_they_are_in_use(tmp_path: Path):
    cache, storage = Cache(tmp_path / "cache"), Storage(str(tmp_path / "storage"))
    with ExitStack() as uses:
        (used,) = filled(cache, storage, tmp_path / "used", 1, uses)
        with ExitStack() as former:
            _, recent, old = filled(cache, storage, tmp_path / "unused", 3, former)
        aged(used, 8)
        aged(old, 8)
        aged(recent, 6)
        there = {*cache.contents()}
        assert [one.name for one in clear(cache_leftovers(cache, 7), dry_run=True)] == [str(old)]
        assert {*cache.contents()} == there
        assert [one.name for one in clear(cache_leftovers(cache, 7), dry_run=False)] == [str(old)]
        assert {*cache.contents()} == there - {old}
        assert [*clear(cache_leftovers(cache, 7), dry_run=False)] == []
    assert [one.name for one in clear(cache_leftovers(cache, 7), dry_run=False)] == [str(used)]


def test_compiled_code_goes_that_was_not_used_for_long(tmp_path: Path):
    old, used = tmp_path / "compiled/torch-1", tmp_path / "compiled/torch-2"
    for folder in (old, used):
        (folder / "ab").mkdir(parents=True)
        (folder / "ab/step.so").write_bytes(b"code")
    aged(old, 8)
    assert [one.name for one in clear(cache_leftovers(Cache(tmp_path), 7), dry_run=False)] == [str(old)]
    assert not old.exists() and (used / "ab/step.so").is_file()


WORKER = """
import sys, time
from pathlib import Path
from posebed.files import scratch_folder, writing
cache = Path(sys.argv[1])
with scratch_folder(cache / "work") as folder, writing(cache / "contents/ab" / ("ab" * 32)) as unfinished:
    (folder / "weights").write_text("x" * 1000)
    unfinished.write_text("y" * 500)
    print("ready", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_worker_left_goes_and_what_a_living_one_has_stays(tmp_path: Path):
    cache = Cache(tmp_path)
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert worker.stdout and worker.stdout.readline() == b"ready\n"
        assert [*clear(cache_leftovers(cache, 7), dry_run=False)] == []
        worker.send_signal(signal.SIGKILL)
    finally:
        worker.kill()
        worker.wait()
    with scratch_folder(tmp_path / "another") as living, writing(tmp_path / "contents/ab/cd") as unfinished:
        there = sorted(tmp_path.rglob("*"))
        named = [*clear(cache_leftovers(cache, 7), dry_run=True)]
        assert sorted(one.size or 0 for one in named) == [500, 1000]
        assert sorted(tmp_path.rglob("*")) == there
        assert {one.name for one in clear(cache_leftovers(cache, 7), dry_run=False)} == {one.name for one in named}
        assert living.is_dir() and unfinished.is_file()
        assert not [path for one in named for path in there if str(path).startswith(one.name) and path.exists()]
        assert [*clear(cache_leftovers(cache, 7), dry_run=False)] == []


def test_a_link_is_removed_and_what_it_leads_to_stays(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("x" * 5000)
    (tmp_path / "link").symlink_to("elsewhere")
    (one,) = clear([at("packs", tmp_path / "link")], dry_run=False)
    assert one.size is not None and one.size < 100 and not one.failed
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").is_file()


@given(sizes=st.lists(st.integers(0, 10**10), min_size=1, max_size=5))
def test_a_line_per_kind_has_number_and_sum(sizes: list[int]):
    printed = [*lines([Cleared("jobs", f"job-{size}", size) for size in sizes], dry_run=False)]
    total = sum(sizes)
    shown = f"{total / 1e9:.1f} GB" if total >= 1e9 else f"{total / 1e6:.1f} MB"
    assert printed == [f"jobs: {len(sizes)}, {shown}"]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_names_each_and_a_failure_counts_for_nothing(dry_run: bool):
    found = [
        Cleared("jobs", "a", 2_000_000),
        Cleared("jobs", "b", 1, failed="not yours"),
        Cleared("studies", "c", None),
    ]
    named = ["  a, 2.0 MB", "  c"] if dry_run else []
    printed = [*lines(found, dry_run)]
    assert [line for line in printed if line.startswith("  ")] == named
    assert "b must be removed, but that fails with: not yours" in printed
    assert printed[-2:] == ["jobs: 1, 2.0 MB", "studies: 1"]
