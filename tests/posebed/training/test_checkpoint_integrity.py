"""Checkpoints that were damaged, or that no disk could take: the run ends in the weights of an undisturbed one."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from experiments import experiment_of
from posebed.experiment import Experiment
from posebed.training.checkpoint_integrity import damage, seal
from posebed.training.log import FolderLog
from posebed.training.loop import epochs, train


class TellingLog(FolderLog):
    """Keeps the warnings."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "run")
        self.warnings: list[str] = []

    def warn(self, line: str) -> None:
        self.warnings.append(line)


class FullDisk(TellingLog):
    """The disk has no room for some of the checkpoints."""

    def __init__(self, folder: Path, full: set[int], fill: Callable[[Path], AbstractContextManager[None]]) -> None:
        """
        Args:
            full: which of the checkpoints.
        """
        super().__init__(folder)
        self._full, self._fill, self._made = full, fill, 0

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        self._made += 1
        with super().fresh() as folder, self._fill(folder) if self._made in self._full else nullcontext():
            yield folder


def without_room_for(file: str) -> Callable[[Path], AbstractContextManager[None]]:
    """Whatever is written to this file of a checkpoint is met with "No space left on device"."""

    @contextmanager
    def fill(folder: Path) -> Iterator[None]:
        if file == "engine.pt":  # which torch writes under its own name
            (folder / file).symlink_to("/dev/full")
        opened = Path.open

        def full(path: Path, *how: Any, **more: Any) -> Any:
            return opened(Path("/dev/full") if path.match(f".{file}.*.part") else path, *how, **more)

        with patch.object(Path, "open", full):
            yield

    return fill


@contextmanager
def without_room_for_large_files(folder: Path) -> Iterator[None]:
    """The system takes 4 kB of each file; safetensors would replace a link by a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (folder / "engine.pt").symlink_to("/dev/null")  # the weights are to be the first that finds no room
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def short(project: Path) -> Experiment:
    changes = {"train.epochs": 4, "train.checkpoint_every": 1, "train.engine": "torch"}
    return experiment_of("baseline").with_overrides(changes)


def assert_ends_alike(one: Path, other: Path) -> None:
    for file in ("last", "best"):
        left, right = (load_file(folder / f"checkpoint/{file}.safetensors") for folder in (one, other))
        assert left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def begun(experiment: Experiment, folder: Path, after: int) -> None:
    """Train so many epochs and stop there, as a kill would."""
    for line in epochs(experiment, FolderLog(folder, "run")):
        if line.epoch == after:
            return


def spoil(file: Path, how: str) -> None:
    content = file.read_bytes()
    middle = len(content) // 2
    {
        "cut": lambda: file.write_bytes(content[:middle]),
        "flipped": lambda: file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]),
        "emptied": lambda: file.write_bytes(b""),
        "lost": file.unlink,
    }[how]()


@pytest.mark.parametrize("how", ["cut", "flipped", "emptied", "lost"])
def test_a_damaged_newest_checkpoint_is_passed_over_for_the_former(short: Experiment, project: Path, how: str):
    train(short, FolderLog(project / "whole", "run"))
    begun(short, project / "killed", after=3)
    file = {"cut": "last.safetensors", "flipped": "best.safetensors", "emptied": "curve.json", "lost": "seal-0.json"}[
        how
    ]
    spoil(project / "killed/checkpoint" / file, how)
    log = TellingLog(project / "killed")
    curve = train(short, log)
    (warning,) = log.warnings
    assert "checkpoint is damaged in" in warning and file in warning and "passed over" in warning
    assert [line.epoch for line in curve] == [1, 2, 3, 4]
    assert_ends_alike(project / "whole", project / "killed")


def test_a_run_with_no_whole_checkpoint_starts_anew(short: Experiment, project: Path):
    train(short, FolderLog(project / "whole", "run"))
    begun(short, project / "killed", after=3)
    for name in ("checkpoint", "checkpoint.former"):
        spoil(project / "killed" / name / "last.safetensors", "cut")
    log = TellingLog(project / "killed")
    train(short, log)
    assert len(log.warnings) == 2
    assert_ends_alike(project / "whole", project / "killed")


FILLS = {
    "engine": without_room_for("engine.pt"),
    "weights": without_room_for_large_files,
    "curve": without_room_for("curve.json"),
    "seal": without_room_for("seal-0.json"),
}


@pytest.mark.parametrize("what", FILLS)
def test_a_checkpoint_for_which_the_disk_has_no_room_costs_a_warning_and_nothing_else(
    short: Experiment, project: Path, what: str
):
    train(short, FolderLog(project / "whole", "run"))
    log = FullDisk(project / "full", {1, 3}, FILLS[what])
    curve = train(short, log)
    assert [line.split(": ")[1] for line in log.warnings] == [
        f"the checkpoint of epoch {epoch} could not be written" for epoch in (1, 3)
    ]
    assert [line.epoch for line in curve] == [1, 2, 3, 4]
    assert_ends_alike(project / "whole", project / "full")


def test_a_run_that_is_killed_after_a_full_disk_goes_on_from_the_last_checkpoint_that_had_room(
    short: Experiment, project: Path
):
    train(short, FolderLog(project / "whole", "run"))
    for line in epochs(short, FullDisk(project / "full", {2, 3}, FILLS["weights"])):
        if line.epoch == 3:
            break
    log = TellingLog(project / "full")
    first = next(epochs(short, log))
    assert first.epoch == 1 and not log.warnings
    train(short, log)
    assert_ends_alike(project / "whole", project / "full")


def test_a_run_whose_last_checkpoint_has_no_room_fails(short: Experiment, project: Path):
    with pytest.raises(OSError, match="No space left on device"):
        train(short, FullDisk(project / "full", {4}, FILLS["curve"]))


@settings(max_examples=25)
@given(st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=64), min_size=1), st.data())
def test_a_seal_tells_every_change(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
):
    folder = tmp_path_factory.mktemp("sealed")
    for name, content in files.items():
        (folder / "inner").mkdir(exist_ok=True)
        (folder / "inner" / name).write_bytes(content)
    seal(folder, rank=0)
    assert not damage(folder)
    name = data.draw(st.sampled_from(sorted(files)))
    changed = data.draw(st.binary(max_size=64).filter(lambda other: other != files[name]))
    (folder / "inner" / name).write_bytes(changed)
    assert damage(folder) == f"inner/{name}"


def test_a_folder_without_a_seal_or_with_half_a_seal_is_damaged(tmp_path: Path):
    (tmp_path / "weights").write_bytes(b"w")
    assert damage(tmp_path) == "seal-0.json"
    seal(tmp_path, rank=0)
    assert not damage(tmp_path)
    (tmp_path / "seal-0.json").write_text('{"weights": "')
    assert damage(tmp_path) == "seal-0.json"


@pytest.mark.parametrize("what", FILLS)
def test_a_last_checkpoint_for_which_the_disk_has_no_room_is_told_in_a_sentence(
    short: Experiment, project: Path, what: str
):
    with pytest.raises(OSError) as told:
        train(short, FullDisk(project / "full", {4}, FILLS[what]))
    assert told.value.errno or " must be written, but: its disk does not take it; free space" in str(told.value)
