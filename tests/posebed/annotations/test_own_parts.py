"""One's own division: as folders, as files and as lists, and every picture in at most one part."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.annotations.own_parts import read_lists, with_parts
from posebed.config import SplitConfig
from posebed.data.splits import divide
from posebed.datasets.coco_folder import Options, check_path, read
from posebed.records import Category, Dataset, Record

PICTURE = cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))[1].tobytes()
SIZES = {"train": 4, "val": 2, "test": 3}


def coco(count: int, prefix: str = "") -> str:
    return json.dumps(
        {
            "images": [{"id": i, "file_name": f"{prefix}{i}.png", "width": 40, "height": 30} for i in range(count)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 1, "keypoints": [1, 2, 2], "bbox": [0, 0, 9, 9]}
                for i in range(count)
            ],
            "categories": [{"id": 1, "name": "cat", "keypoints": ["nose"]}],
        }
    )


def write(annotations: Path, pictures: Path, count: int) -> None:
    for folder in (annotations.parent, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    annotations.write_text(coco(count))
    for i in range(count):
        (pictures / f"{i}.png").write_bytes(PICTURE)


LAYOUTS = {
    "roboflow": ("{}/_annotations.coco.json", "{}"),
    "folders": ("{}/annotations.json", "{}/images"),
    "folders beside": ("{}/annotations.json", "{}"),
    "coco": ("annotations/instances_{}.json", "{}"),
    "coco below images": ("annotations/person_keypoints_{}.json", "images/{}"),
    "coco year": ("annotations/instances_{}2017.json", "{}2017"),
    "flat": ("{}.json", "{}"),
}


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("reader", [check_path, lambda path: read(Options(), path)], ids=["check", "read"])
def test_folders_and_files_called_as_parts_are_the_official_parts(
    tmp_path: Path, layout: str, val: str, reader: Any
) -> None:
    annotations, pictures = LAYOUTS[layout]
    for part, count in SIZES.items():
        name = val if part == "val" else part
        write(tmp_path / annotations.format(name), tmp_path / pictures.format(name), count)
    dataset = reader(tmp_path)
    assert not dataset.problems
    assert Counter(r.part for r in dataset.records) == SIZES
    assert Counter(divide(dataset.records, dataset.categories, SplitConfig(data="x", by="official")).values()) == SIZES


def test_two_files_of_one_part_are_refused(tmp_path: Path) -> None:
    for name in ("instances_train", "person_train", "instances_val"):
        write(tmp_path / f"annotations/{name}.json", tmp_path / "images", 1)
    with pytest.raises(ValueError, match=r"one annotation file of train, but holds .*instances_train\.json, "):
        read(Options(), tmp_path)


def test_the_reported_division_is_kept(cases: Path) -> None:
    dataset = check_path(cases / "own-split/robo3")
    assert Counter(r.part for r in dataset.records) == {"train": 10, "val": 4, "test": 4}
    assert not dataset.problems


CAT = Category("cat", "cat", ("nose",))


def dataset_of(pictures: list[str]) -> Dataset:
    points = np.array([[1, 2, 2]], np.float32)
    records = [Record(str(i), p, 40, 30, "cat", (0, 0, 9, 9), 81, points) for i, p in enumerate(pictures)]
    return Dataset(Path("/data/set"), (CAT,), tuple(records))


names = st.lists(st.from_regex(r"[ab]{1,2}/[cd]{1,2}\.png", fullmatch=True), min_size=3, max_size=12, unique=True)
FORMS = ("{}", "./{}", "/data/set/{}", "images/{}")


@given(pictures=names, data=st.data())
def test_every_listed_picture_is_in_its_part_however_it_is_written(pictures: list[str], data: st.DataObject) -> None:
    pictures = [f"images/{name}" for name in pictures]
    parts = [data.draw(st.sampled_from(["train", "val", "test", ""])) for _ in pictures]
    forms = [data.draw(st.sampled_from(FORMS)) for _ in pictures]
    lines: dict[str, list[str]] = {}
    for picture, part, form in zip(pictures, parts, forms, strict=True):
        if part:
            path = picture.removeprefix("images/") if "images" in form else picture
            lines.setdefault(part, []).append(form.format(path))
    divided = with_parts(dataset_of(pictures), lines)
    assert [record.part for record in divided.records] == parts
    open_ones = parts.count("")
    assert [f"no list of a part: {open_ones}," in note for note in divided.notes] == [True] * bool(open_ones)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({"train": ["images/a.png"], "val": ["a.png"]}, "must stand in one part, but in several stand images/a.png"),
        ({"train": ["b.png"]}, "by a path that no other has, but several pictures are called b.png"),
        ({"train": ["lost.png"], "val": ["a.png"]}, "list of train must name pictures with annotations"),
        ({"train": []}, "list of train must name pictures with annotations, .* but names nothing"),
    ],
)
def test_lists_that_do_not_fit_are_refused(lines: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_parts(dataset_of(["images/a.png", "x/b.png", "y/b.png"]), lines)


def test_listed_pictures_without_annotation_are_counted() -> None:
    divided = with_parts(dataset_of(["a.png"]), {"train": ["a.png", "b.png", "c.png"]})
    assert divided.notes == ("Listed in a part, but without sound annotation: 2, the first is 'b.png'.",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_files_and_a_csv_file_say_the_same(tmp_path: Path, encoding: str, end: str) -> None:
    wanted = {"train": ["a.png", "ä b.png"], "val": ["c.png"]}
    for part, lines in wanted.items():
        (tmp_path / f"{part}.txt").write_bytes((end.join([*lines, "", ""])).encode(encoding))
    rows = ["picture,part", "a.png,train", "ä b.png,Train", "c.png,valid"]
    (tmp_path / "parts.csv").write_bytes(end.join(rows).encode(encoding))
    assert read_lists({"train": "train.txt", "valid": "val.txt"}, tmp_path) == wanted
    assert read_lists("parts.csv", tmp_path) == wanted


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": "none.txt"}, "must name files below .*, but there is no none.txt"),
        ({"train": "../secret.txt"}, "must name files below"),
        ({"train": "binary.txt"}, "must be a text in UTF-8"),
        ({"val": "a.txt", "valid": "a.txt"}, "one list of each part, but has val, valid"),
        ("a.txt", "must have the columns picture and part"),
        ("wrong.csv", "must have train, val or test as part, but row 2 has 'dev'"),
    ],
)
def test_files_that_are_no_lists_are_refused(tmp_path: Path, parts: Any, message: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("a.png")
    (folder / "a.txt").write_text("a.png")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "wrong.csv").write_text("picture,part\na.png,dev\n")
    with pytest.raises(ValueError, match=message):
        read_lists(parts, folder)


def test_lists_win_over_folders(tmp_path: Path) -> None:
    for part, count in SIZES.items():
        write(tmp_path / part / "annotations.json", tmp_path / part / "images", count)
    (tmp_path / "train.txt").write_text("test/images/0.png\n")
    options = Options.model_validate({"parts": {"train": "train.txt"}})
    assert Counter(r.part for r in read(options, tmp_path).records) == {"train": 1, "": 8}
