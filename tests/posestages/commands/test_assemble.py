"""`posebed assemble mp100` on small trees, laid out as each source is, with names as MP-100's annotation files have."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import posebed
from posebed.datasets.mp100 import Options, annotation_name, read
from posestages.commands.assemble import assemble
from posestages.commands.mp100_search import Why
from posestages.commands.mp100_sources import BY_KEY, CITED, SOURCES, source_of

SIZE = (40, 30)
CAR = "car/200100441.jpg"
CORNERS = [12, 8, 2, 30, 9, 2, 31, 20, 1, 0, 0, 0]
IN_SOURCE = {
    "human_body/000000010069.jpg": "coco/train2017/000000010069.jpg",
    "human_face/helen/trainset/1037255513_1.jpg": "300W/helen/trainset/1037255513_1.jpg",
    "amur_tiger_body/flickr/0/image00028.jpg": "downloads/flickr/0/image00028.jpg",
    "human_hand/Train/source/1004.jpg": "OneHand10K/Train/source/1004.jpg",
    "skirt/001092.jpg": "DeepFashion2/train/image/001092.jpg",
    "vest_dress/001092.jpg": "DeepFashion2/train/image/001092.jpg",
    "panther_body/000000010069.jpg": "ap-10k/data/000000010069.jpg",
    "macaque_body/022c71451277faa4.jpg": "v1/images/022c71451277faa4.jpg",
    "fly_body/1.jpg": "vinegar_fly/images/1.jpg",
    "locust_body/1.jpg": "locust/images/1.jpg",
    "grebe_body/Eared_Grebe_0004_34277.jpg": "CUB_200_2011/images/050.Eared_Grebe/Eared_Grebe_0004_34277.jpg",
    CAR: "CarFusion/train/penn1/images_jpg/1_441.jpg",
    "alpaca_face/alpaca_1.jpg": "faces/alpaca_1.jpg",
    "bed/00000001.jpg": "keypoint-5/bed/00000001.jpg",
    "chair/00000001.jpg": "keypoint-5/chair/00000001.jpg",
}
"""Where each source has the picture that ``file_name`` names: one of every source, and names that several have."""


def picture(seed: object, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG whose content depends on the seed."""
    random = np.random.default_rng(list(str(seed).encode()))
    return cv2.imencode(".jpg", random.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8))[1].tobytes()


def write(file: Path, data: bytes | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture(file) if data is None else data)
    return file


def annotate(folder: Path, names: Sequence[str], part: str = "test", split: int = 1, **changes: Any) -> None:
    """An annotation file that names these pictures."""
    first = 100 * ("train", "val", "test").index(part)
    images = [
        {"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]} | changes
        for number, name in enumerate(names, first)
    ]
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "keypoints": CORNERS, "num_keypoints": 3, "bbox": [10, 5, 25, 20]}
        for n in range(first, first + len(names))
    ]
    categories = [{"id": 1, "name": "thing", "keypoints": [], "skeleton": []}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write(folder / annotation_name(split, part), json.dumps(content).encode())


def label_cars(sequence: Path, frame: str = "1_441", shift: int = 0) -> None:
    """CarFusion's labels of a picture: another car, and that of the annotation."""
    lines = [
        "500.0,400.0,1,1,1",
        *(f"{x + shift}.0,{y}.0,{k},2,1" for k, x, y in ((1, 12, 8), (2, 30, 9), (4, 31, 20))),
    ]
    write(sequence / "gt" / f"{frame}.txt", "\n".join(lines).encode())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """All sources, with the annotation files of every split."""
    sources = tmp_path / "downloaded ones"
    for place in IN_SOURCE.values():
        write(sources / place)
    label_cars(sources / "CarFusion/train/penn1")
    write(sources / "CarFusion/train/butler2/images_jpg/1_441.jpg")
    label_cars(sources / "CarFusion/train/butler2", shift=3)
    for split in range(1, 6):
        for part in ("train", "val", "test"):
            annotate(sources / "annotations", list(IN_SOURCE), part, split)
    return sources


def pictures(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*.jpg")}


def whys(out: Path) -> dict[str, str]:
    with (out / "missing.csv").open() as file:
        return {row["file_name"]: row["why"] for row in csv.DictReader(file)}


def test_every_category_folder_is_of_one_source() -> None:
    folders = [folder for source in SOURCES for folder in source.folders]
    assert (len(SOURCES), len(folders), len(set(folders))) == (13, 100, 100)
    assert {source_of(name.partition("/")[0]).key for name in IN_SOURCE} == set(BY_KEY)


def test_the_annotation_files_name_no_other_folder(real_data: Path) -> None:
    files = [*(real_data / "native_samples" / "mp100_annotations").glob("*.json")]
    names = {image["file_name"] for file in files for image in json.loads(file.read_bytes())["images"]}
    assert {name.partition("/")[0] for name in names} == {folder for source in SOURCES for folder in source.folders}


def test_pictures_of_all_sources_become_one_dataset(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "mp100"
    done = posebed("assemble", "mp100", "--from", str(tree), "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"15 of 15 pictures are in {out}, 15 of them new." in done.stdout
    for name, place in IN_SOURCE.items():
        assert (out / name).samefile(tree / place)
    dataset = read(Options(), out)
    assert {record.image for record in dataset.records} == set(IN_SOURCE)
    assert {problem.field for problem in dataset.problems} == {"categories"}  # one in place of a hundred
    assert len(list((out / "annotations").iterdir())) == 15
    assert not (out / "missing.csv").exists()


def test_done_again_only_the_missing_is_done(tree: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    (tree / "coco").rename(later)
    done = posebed("assemble", "mp100", "--from", str(tree), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "COCO          │ coco         │ 0 of 1 " in done.stdout
    assert "COCO: 1 missing." in done.stdout and BY_KEY["coco"].page in done.stdout and CITED in done.stdout
    assert "300W: " not in done.stdout  # nothing of it is missing
    assert whys(tmp_path / "out") == {"human_body/000000010069.jpg": Why.ABSENT}
    before = {name: (tmp_path / "out" / name).stat().st_ctime_ns for name in pictures(tmp_path / "out")}
    again = posebed("assemble", "mp100", "--from", f"coco={later}", "--out", str(tmp_path / "out"))
    assert again.returncode == 0 and "15 pictures are in" in again.stdout and " 1 of them new." in again.stdout
    assert before == {name: (tmp_path / "out" / name).stat().st_ctime_ns for name in before}
    assert not (tmp_path / "out/missing.csv").exists()


def test_an_assembled_dataset_is_a_source_itself(tree: Path, tmp_path: Path) -> None:
    assemble([str(tree)], tmp_path / "first")
    assert assemble([str(tmp_path / "first")], tmp_path / "second").complete
    assert pictures(tmp_path / "first") == pictures(tmp_path / "second") == set(IN_SOURCE)


@given(st.sets(st.sampled_from(sorted(set(IN_SOURCE.values())))))
def test_what_is_there_is_taken_and_all_else_is_missing(
    tmp_path_factory: pytest.TempPathFactory, present: set[str]
) -> None:
    """No picture takes the place of one of the same name of another source or folder."""
    folder = tmp_path_factory.mktemp("some")
    sources = folder / "sources"
    annotate(sources, list(IN_SOURCE))
    for place in present:
        write(sources / place)
    label_cars(sources / "CarFusion/train/penn1")
    expected = {name for name, place in IN_SOURCE.items() if place in present}
    if expected:
        done = assemble([str(sources)], folder / "out")
        assert {picture.name for picture, _ in done.missing} == set(IN_SOURCE) - expected
    else:
        with pytest.raises(ValueError, match="none of its 15 is below"):
            assemble([str(sources)], folder / "out")
    assert pictures(folder / "out") == expected
    assert all((folder / "out" / name).samefile(sources / IN_SOURCE[name]) for name in expected)


def only(tmp_path: Path, name: str, files: Mapping[str, bytes | None], **changes: Any) -> dict[str, str]:
    """Assemble one picture from some files; why it is missing."""
    annotate(tmp_path / "annotations", [name], **changes)
    for place, data in files.items():
        write(tmp_path / "from" / place, data)
    done = posebed(
        *("assemble", "mp100", "--from", str(tmp_path / "from"), "--from", str(tmp_path / "annotations")),
        *("--out", str(tmp_path / "out")),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return whys(tmp_path / "out") if (tmp_path / "out/missing.csv").exists() else {}


@pytest.mark.parametrize("data", [b"", b"no picture", picture(0)[:-500]], ids=["empty", "text", "cut"])
def test_a_damaged_picture_is_told_and_not_linked(tmp_path: Path, data: bytes) -> None:
    name = "alpaca_face/alpaca_1.jpg"
    assert only(tmp_path, name, {"faces/alpaca_1.jpg": data}) == {name: Why.DAMAGED}
    assert not pictures(tmp_path / "out")


def test_of_a_damaged_and_a_whole_file_the_whole_one_is_taken(tmp_path: Path) -> None:
    files = {"a/alpaca_1.jpg": b"", "b/alpaca_1.jpg": None}
    assert only(tmp_path, "alpaca_face/alpaca_1.jpg", files) == {}
    assert (tmp_path / "out/alpaca_face/alpaca_1.jpg").samefile(tmp_path / "from/b/alpaca_1.jpg")


def test_a_picture_of_another_size_is_another_picture(tmp_path: Path) -> None:
    name = "alpaca_face/alpaca_1.jpg"
    assert only(tmp_path, name, {"a/alpaca_1.jpg": picture(0, (30, 30))}) == {name: Why.OTHER_SIZE}


def test_equal_names_with_other_content_are_told_and_with_the_same_are_one(tmp_path: Path) -> None:
    name = "alpaca_face/alpaca_1.jpg"
    different = {"a/alpaca_1.jpg": picture(1), "b/alpaca_1.jpg": picture(2)}
    assert only(tmp_path, name, different) == {name: Why.DIFFERENT}
    assert only(tmp_path, name, {"a/alpaca_1.jpg": picture(1), "b/alpaca_1.jpg": picture(1)}) == {}


def test_a_name_that_several_sources_have_needs_a_folder_that_says_which(tmp_path: Path) -> None:
    name = "human_body/000000010069.jpg"
    assert only(tmp_path, name, {"images/000000010069.jpg": None}) == {name: Why.UNCERTAIN}
    out = tmp_path / "out"
    done = posebed("assemble", "mp100", "--from", f"coco={tmp_path / 'from'}", "--out", str(out))
    assert done.returncode == 1 and (out / name).is_file()  # annotation files are missing still


def test_a_picture_in_a_folder_that_no_source_fills_is_missing(tmp_path: Path) -> None:
    annotate(tmp_path / "annotations", ["alpaca_face/alpaca_1.jpg"], part="val")
    files = {"images/1.jpg": None, "faces/alpaca_1.jpg": None}
    assert only(tmp_path, "unicorn_body/1.jpg", files) == {"unicorn_body/1.jpg": Why.ABSENT}


def test_clothes_are_taken_from_the_training_part_alone(tmp_path: Path) -> None:
    name = "skirt/001092.jpg"
    files = {"DeepFashion2/validation/image/001092.jpg": None, "faces/alpaca_1.jpg": None}
    annotate(tmp_path / "annotations", [name, "alpaca_face/alpaca_1.jpg"], part="val")
    assert only(tmp_path, name, files) == {name: Why.ABSENT}


def test_a_car_without_labels_that_say_which_it_is_is_missing(tmp_path: Path) -> None:
    annotate(tmp_path / "annotations", ["alpaca_face/alpaca_1.jpg"], part="val")
    files = {"carfusion/train/penn1/images_jpg/1_441.jpg": None, "faces/alpaca_1.jpg": None}
    assert only(tmp_path, CAR, files) == {CAR: Why.ABSENT}
    label_cars(tmp_path / "from/carfusion/train/penn1", shift=1)
    assert only(tmp_path, CAR, {}) == {CAR: Why.ABSENT}
    label_cars(tmp_path / "from/carfusion/train/penn1")
    assert only(tmp_path, CAR, {}) == {}


parts = st.sampled_from(["..", ".", "", "/", "bed", "b", "\\", "\0", "é", "\n", "~", "escaped.jpg"])
paths = st.lists(parts).map("/".join)


@given(st.lists(paths, min_size=1, max_size=4))
def test_no_file_name_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, hostile: list[str]) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    annotate(folder / "from", [*hostile, "../../escaped.jpg", "/escaped.jpg", "alpaca_face/alpaca_1.jpg"])
    write(folder / "from/faces/alpaca_1.jpg")
    write(folder / "from/bed/escaped.jpg")
    before = {file: file.read_bytes() for file in (folder / "from").rglob("*") if file.is_file()}
    try:
        done = assemble([str(folder / "from")], folder / "a/b/out")
        assert {picture.name for picture, missing in done.missing if missing.why is Why.UNSAFE} >= {"/escaped.jpg"}
    except ValueError as error:
        assert "must state the file_name" in str(error)
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert {file: data for file, data in after.items() if not file.is_relative_to(folder / "a/b/out")} == before


def test_a_folder_that_links_out_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/alpaca_face").symlink_to(tmp_path / "elsewhere")
    name = "alpaca_face/alpaca_1.jpg"
    assert only(tmp_path, name, {"faces/alpaca_1.jpg": None}) == {name: Why.UNSAFE}
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_damaged_picture_in_the_folder_is_told_and_kept(tmp_path: Path) -> None:
    name = "alpaca_face/alpaca_1.jpg"
    write(tmp_path / "out" / name, b"mine")
    assert only(tmp_path, name, {"faces/alpaca_1.jpg": None}) == {name: Why.DAMAGED}
    assert (tmp_path / "out" / name).read_bytes() == b"mine"


def refused(*words: str) -> str:
    done = posebed("assemble", *words)
    assert (done.returncode, done.stderr.count("Traceback"), done.stdout) == (2, 0, "")
    return done.stderr.splitlines()[-1]


def test_mistakes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    write(tmp_path / "from/x.jpg")
    some = ("--from", str(tmp_path / "from"))
    assert "must be mp100" in refused("ap10k", *some, *out)
    assert "--from must be a folder, or SOURCE=FOLDER" in refused("mp100", "--from", str(tmp_path / "none"), *out)
    assert "must have an annotation file of MP-100" in refused("mp100", *some, *out)
    assert not (tmp_path / "out").exists()
    annotate(tmp_path / "from", ["bed/1.jpg"])
    assert "none of its 1 is below" in refused("mp100", *some, *out)
    write(tmp_path / "out/annotations" / annotation_name(2, "val"), b"[1")
    assert "must be a file of COCO keypoints that lists images" in refused("mp100", *some, *out)


def test_two_versions_of_an_annotation_file_are_refused(tmp_path: Path) -> None:
    annotate(tmp_path / "from/old", ["bed/1.jpg"])
    annotate(tmp_path / "from/new", ["bed/2.jpg"])
    message = refused("mp100", "--from", str(tmp_path / "from"), "--out", str(tmp_path / "out"))
    assert "mp100_split1_test.json must be one file, but" in message


def test_without_hard_links_pictures_are_copied_when_asked(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_file_system(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_file_system)
    out = tmp_path / "out"
    assert "or give --copy" in refused("mp100", "--from", str(tree), "--out", str(out))
    done = posebed("assemble", "mp100", "--from", str(tree), "--out", str(out), "--copy")
    assert done.returncode == 0
    assert all((out / name).read_bytes() == (tree / place).read_bytes() for name, place in IN_SOURCE.items())
