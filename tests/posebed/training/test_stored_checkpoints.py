"""Checkpoints in the storage: the newest undamaged one is found on another machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from posebed.storage import Storage
from posebed.training.checkpoint_integrity import SEAL, seal
from posebed.training.stored_checkpoints import KEPT, StoredCheckpoints


@pytest.fixture
def stored(tmp_path: Path) -> StoredCheckpoints:
    return StoredCheckpoints(Storage(str(tmp_path / "storage")), "jobs/one")


def checkpoint(folder: Path, content: str) -> Path:
    """Engines may have folders of their own in it."""
    (folder / "engine").mkdir(parents=True)
    (folder / "engine/state").write_text(content)
    seal(folder, rank=0)
    return folder


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "storage/jobs/one").iterdir())


def test_the_newest_is_fetched_and_few_are_kept(stored: StoredCheckpoints, tmp_path: Path):
    assert not stored.fetch(tmp_path / "back", print)
    for number in range(5):
        stored.put(checkpoint(tmp_path / f"made-{number}", str(number)))
        assert len(kept(tmp_path)) <= KEPT
        assert stored.fetch(tmp_path / "back", print)
        assert (tmp_path / "back/engine/state").read_text() == str(number)


@pytest.mark.parametrize("harm", ["content", "seal", "a half seal", "a lost file"])
def test_one_that_is_damaged_or_whose_writer_was_killed_is_passed_over(
    stored: StoredCheckpoints, tmp_path: Path, harm: str
):
    for number in range(2):
        stored.put(checkpoint(tmp_path / f"made-{number}", str(number)))
    newest = kept(tmp_path)[-1]
    if harm == "content":
        (newest / "engine/state").write_text("damaged")
    elif harm == "a half seal":
        (newest / SEAL.format(rank=0)).write_text('{"engine/state": ')
    else:
        (newest / (SEAL.format(rank=0) if harm == "seal" else "engine/state")).unlink()
    said: list[str] = []
    assert stored.fetch(tmp_path / "back", said.append)
    assert (tmp_path / "back/engine/state").read_text() == "0"
    assert "is damaged in" in said[0]


def test_an_empty_folder_in_the_place_of_the_newest_is_passed_over(stored: StoredCheckpoints, tmp_path: Path):
    """As a killed writer leaves it that has made a folder and put nothing into it yet."""
    stored.put(checkpoint(tmp_path / "made", "0"))
    (tmp_path / "storage/jobs/one/000001-ab").mkdir()
    said: list[str] = []
    assert stored.fetch(tmp_path / "back", said.append)
    assert (tmp_path / "back/engine/state").read_text() == "0" and not said
    stored.put(checkpoint(tmp_path / "next", "2"))
    assert stored.fetch(tmp_path / "back", said.append)
    assert (tmp_path / "back/engine/state").read_text() == "2" and not said


def test_two_machines_that_both_go_on_do_not_mix_their_files(stored: StoredCheckpoints, tmp_path: Path):
    one, other = checkpoint(tmp_path / "one", "one"), checkpoint(tmp_path / "other", "other")
    stored.put(one)
    names = {path.name for path in kept(tmp_path)}
    stored.put(other)
    assert len({path.name.partition("-")[2] for path in kept(tmp_path)}) == 2
    assert names < {path.name for path in kept(tmp_path)}


def test_a_seal_that_names_a_file_outside_fetches_none(stored: StoredCheckpoints, tmp_path: Path):
    stored.put(checkpoint(tmp_path / "made", "0"))
    (kept(tmp_path)[0] / SEAL.format(rank=0)).write_text('{"../outside": "00"}')
    (tmp_path / "storage/jobs/one/outside").write_text("harm")
    assert not stored.fetch(tmp_path / "back/inner", lambda line: None)
    assert not (tmp_path / "back/outside").exists()
