"""What users bring: regular files of a size that their kind can have, and nothing that never ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from posebed.annotations.coco import read_coco
from posebed.annotations.coco_file import CocoFile
from posebed.annotations.jsonfile import read_json
from posebed.annotations.own_parts import read_lists
from posebed.data.containers import open_container
from posebed.data.hdf5 import open_hdf5
from posebed.foreign_files import head, is_folder, is_regular, read_foreign, read_text
from posebed.formats import cvat, label_studio, yolo
from posebed.formats.tables import is_table, read_csv
from posebed.formats.which import FORMATS


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))  # addresses are short


PLACES = (fifo, device, loop, listening, Path.mkdir)


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__)
def no_file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes something of a name that is no regular file."""
    monkeypatch.chdir(tmp_path)

    def make(name: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        request.param(tmp_path / name)
        return tmp_path / name

    return make


def test_it_is_refused_by_name_before_it_is_opened(no_file: Callable[[str], Path]) -> None:
    path = no_file("one.file")
    assert not is_regular(path) and head(path, 10) == b""
    with pytest.raises(ValueError, match=r"one\.file must be a table, but there is"):
        read_foreign(path, "a table")


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "JSON": ("a.json", read_json),
    "CSV": ("a.csv", read_csv),
    "HDF5": ("a.h5", open_hdf5),
    "zip": ("a.zip", open_container),
    "film": ("a.mp4", open_container),
    "package": ("a.slp", open_container),
    "CVAT": ("annotations.xml", cvat.read),
    "Label Studio": ("a.json", label_studio.read),
    "Ultralytics": ("data.yaml", yolo.read),
    "list of a part": ("train.txt", lambda path: read_lists({"train": path.name}, path.parent)),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_waits_for_it(reader: str, no_file: Callable[[str], Path]) -> None:
    name, read = READERS[reader]
    with pytest.raises(ValueError):
        read(no_file(name))


@pytest.mark.parametrize("name", ["a.csv", "a.h5", "a.json", "a.slp", "annotations.xml", "data.yaml"])
def test_no_format_recognises_it_and_none_waits(name: str, no_file: Callable[[str], Path]) -> None:
    path = no_file(f"labeled-data/film/{name}")
    assert not is_table(path)
    for one in FORMATS.values():
        one.recognises(path)
        one.recognises(path.parent)


def test_annotations_that_are_no_file_are_a_problem_that_says_what_lies_there(no_file: Callable[[str], Path]) -> None:
    path = no_file("annotations.json")
    (problem,) = read_coco(path.parent, [CocoFile(path.name)]).problems
    assert problem.reason == "missing annotation file" and problem.found.endswith("there")


@pytest.mark.parametrize("path", ["x" * 300, "a/" * 5000, "\0", "a\0b/c"])
def test_any_path_can_be_asked_for(path: str) -> None:
    assert not is_regular(Path(path)) and not is_folder(Path(path)) and head(Path(path), 1) == b""


def test_the_size_is_looked_at_before_the_content(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=r"sparse must be a table of at most .* but has 1099\.5 GB"):
        read_foreign(tmp_path / "sparse", "a table")


def test_a_text_may_have_a_mark_but_must_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfa\n")
    assert read_text(tmp_path / "text", "a list") == "a\n"
    (tmp_path / "text").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="text must be a list in UTF-8"):
        read_text(tmp_path / "text", "a list")
