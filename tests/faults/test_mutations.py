"""Whatever becomes of our own files, a reader either takes them or says in one sentence which file is wrong."""

from __future__ import annotations

import os
import re
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults.mutations import mutated

SLOWEST, LARGEST = 20.0, 1.5e9
"""Seconds of one reading, and bytes of memory that all of them together may take."""


@dataclass(frozen=True)
class Reader:
    file: str
    """That is damaged, below the folder that it reads."""
    read: Callable[[Path], Any]
    """Given that folder."""

    @property
    def form(self) -> str:
        return Path(self.file).suffix.removeprefix(".")


def _readers() -> dict[str, Reader]:
    from posebed.data.pack import Pack
    from posebed.data.splits import read_split
    from posebed.inference.poses import read_poses
    from posebed.jobs.outcomes import read_record
    from posebed.own_json import read_json
    from posebed.predictions import read_predictions
    from posebed.records import prepared_records, read_hashes
    from posebed.scoring.result import read_cost, read_curve, read_result
    from posebed.scoring.search_result import read_best, read_search
    from posebed.submissions.answers import _read as read_answers  # pyright: ignore[reportPrivateUsage]
    from posebed.training.modes import Mode
    from posebed.training.run_folder import read_about, read_weights, setting_of
    from posebed.training.state_dict import read_checkpoint

    return {
        "run.json": Reader("run/run.json", lambda f: setting_of(read_about(f / "run"))),
        "config.json of a published run": Reader("published/config.json", lambda f: read_about(f / "published")),
        "weights": Reader("run/best.safetensors", lambda f: read_weights(f / "run/best.safetensors")),
        "official weights": Reader("given.safetensors", lambda f: read_checkpoint(f / "given.safetensors")),
        "official checkpoint": Reader("given.pth", lambda f: read_checkpoint(f / "given.pth")),
        "official checkpoint of the old form": Reader("old.pth", lambda f: read_checkpoint(f / "old.pth")),
        "learning curve": Reader("run/curve.json", lambda f: read_curve(f / "run/curve.json")),
        "mode": Reader("mode.json", Mode.read),
        "result": Reader("baseline/result.json", lambda f: read_result(f / "baseline/result.json")),
        "cost": Reader("predicted/cost.json", lambda f: read_cost(f / "predicted/cost.json")),
        "predictions": Reader(
            "predicted/predictions.parquet", lambda f: read_predictions(f / "predicted/predictions.parquet")
        ),
        "undescribed predictions": Reader("alone.parquet", lambda f: read_predictions(f / "alone.parquet")),
        "record": Reader("run/task.json", lambda f: read_record(f / "run/task.json")),
        "search": Reader("search@x/search.json", lambda f: read_search(f / "search@x")),
        "trials": Reader("search@x/trials.parquet", lambda f: read_search(f / "search@x")),
        "best.yaml": Reader("search@x/best.yaml", lambda f: read_best(f / "search@x")),
        "membership": Reader("split/membership.parquet", lambda f: read_split(f / "split")),
        "episodes": Reader("split/episodes.parquet", lambda f: read_split(f / "split")),
        "split": Reader("split/about.json", lambda f: read_split(f / "split")),
        "pack": Reader("pack/about.json", lambda f: Pack.open(f / "pack")),
        "index": Reader("pack/index.parquet", lambda f: Pack.open(f / "pack")),
        "categories": Reader("pack/categories.json", lambda f: Pack.open(f / "pack")),
        "crops": Reader("pack/evaluation-0000.npy", lambda f: Pack.open(f / "pack").evaluation_crops[[0, 5]]),
        "records": Reader("prepared/records.parquet", lambda f: prepared_records(f / "prepared")),
        "prepared": Reader("prepared/about.json", lambda f: prepared_records(f / "prepared")),
        "hashes": Reader("prepared/pictures.parquet", lambda f: read_hashes(f / "prepared/pictures.parquet")),
        "poses": Reader("poses.parquet", lambda f: read_poses(f / "poses.parquet")),
        "answers": Reader("answers.json", lambda f: read_answers(f / "answers.json")),
        "answers in Parquet": Reader("answers.parquet", lambda f: read_answers(f / "answers.parquet")),
        "identity": Reader("project.json", lambda f: read_json(f / "project.json", _identity())),
    }


def _identity() -> Any:
    from posebed.leases import IDENTITY

    return IDENTITY


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, prepared_project: Path) -> Path:
    """One file of every kind, as it is written."""
    from faults.sound_files import write_all

    folder = tmp_path_factory.mktemp("sound")
    write_all(folder, prepared_project)
    return folder


NAMES = tuple(_readers())


def test_every_reader_takes_a_sound_file(files: Path) -> None:
    for reader in _readers().values():
        reader.read(files)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_or_refused_in_one_sentence_that_names_it(name: str, files: Path, tmp_path: Path):
    _damage(name, files, tmp_path, range(12))


@pytest.mark.services
@pytest.mark.slow(minutes=2)
@pytest.mark.parametrize("name", NAMES)
def test_two_thousand_damaged_files_of_every_kind_are_read_or_refused(name: str, files: Path, tmp_path: Path):
    _damage(name, files, tmp_path, range(1000, 3000))


def _damage(name: str, files: Path, folder: Path, seeds: range) -> None:
    reader = _readers()[name]
    place = folder / "damaged"
    shutil.copytree(files, place)
    sound = (files / reader.file).read_bytes()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for seed in seeds:
        rng = np.random.default_rng([seed, NAMES.index(name)])
        data = mutated(rng, sound, reader.form)
        (place / reader.file).unlink()  # what a former reading mapped keeps its content
        (place / reader.file).write_bytes(data)
        _must_answer(reader, place, f"{name}, seed {seed}")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - memory < LARGEST, name
    assert sorted(_names(place)) == sorted(_names(files))


def _must_answer(reader: Reader, folder: Path, which: str) -> None:
    started = time.monotonic()
    try:
        reader.read(folder)
    except (KeyError, IndexError) as error:
        raise AssertionError(f"{which}: {error!r}") from error
    except (ValueError, LookupError) as error:
        text = str(error)
        assert type(error) in (ValueError, LookupError), f"{which}: {error!r}"
        assert str(folder) in text and re.search(r"\bmust\b", text), f"{which}: {text}"
        assert len(text) < 2000 and "\n" not in text and "http" not in text, f"{which}: {text}"
        assert text.isprintable(), f"{which}: {text!r}"
    except Exception as error:
        raise AssertionError(f"{which}: {error!r}") from error
    assert time.monotonic() - started < SLOWEST, which


def _names(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield from (os.path.relpath(Path(parent) / name, folder) for name in names)
