"""Own data in folders, its options, and the real photographs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from posebed.catalog import installed
from posebed.datasets.coco_folder import Options, check_path, read

CATALOG = installed()
PICTURE = cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))[1].tobytes()
REAL = {  # images, instances, keypoints
    "tiger": (183, 183, 12),
    "bee": (158, 158, 32),
    "fly_topdown": (100, 100, 32),
    "flies_pair": (210, 420, 13),
    "mouse_openfield": (86, 86, 4),
    "face68": (300, 300, 68),
    "person": (68, 164, 17),
    "sports_person": (267, 267, 14),
}


def annotation_text(names: list[str], category: str = "cat", **fields: Any) -> str:
    return json.dumps(
        {
            "images": [{"id": i, "file_name": n, "width": 40, "height": 30} for i, n in enumerate(names)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 1, "keypoints": [1, 2, 2], "bbox": [0, 0, 9, 9], **fields}
                for i in range(len(names))
            ],
            "categories": [{"id": 1, "name": category, "keypoints": ["nose"]}],
        }
    )


def make_set(folder: Path, names: list[str], images: str = "images", category: str = "cat", **fields: Any) -> Path:
    (folder / images).mkdir(parents=True)
    for name in names:
        (folder / images / name).write_bytes(PICTURE)
    (folder / "annotations.json").write_text(annotation_text(names, category, **fields))
    return folder


def groups(folder: Path, **options: Any) -> list[str]:
    dataset = read(Options.model_validate(options), folder)
    assert not dataset.problems
    return [r.group for r in dataset.records]


def test_one_folder_is_one_dataset(tmp_path: Path) -> None:
    (record,) = read(Options(), make_set(tmp_path, ["a.png"])).records
    assert (record.record, record.image, record.group) == ("0", "images/a.png", "")


def test_sub_folders_make_one_dataset_with_identities_of_their_own(tmp_path: Path) -> None:
    for folder in ("one", "two", "other"):
        make_set(tmp_path / folder, ["a.png"], category="dog" if folder == "other" else "cat")
    (tmp_path / "notes").mkdir()
    dataset = read(Options(), tmp_path)
    assert [(r.record, r.image, r.category) for r in dataset.records] == [
        ("one/0", "one/images/a.png", "cat"),
        ("other/0", "other/images/a.png", "dog"),
        ("two/0", "two/images/a.png", "cat"),
    ]
    assert [r.record for r in read(Options(folders=("two",)), tmp_path).records] == ["two/0"]


def test_a_zip_file_stands_in_for_the_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text(annotation_text(["a.png"]))
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as file:
        file.writestr("a.png", PICTURE)
    dataset = read(Options(), tmp_path)
    assert not dataset.problems
    assert dataset.records[0].image == "images.zip/a.png"


def test_a_field_of_annotation_or_image_names_the_group(tmp_path: Path) -> None:
    make_set(tmp_path, ["a.png", "b.png"], clip="left", frame=7)
    assert groups(tmp_path, group_field="clip") == ["left", "left"]
    assert groups(tmp_path, group_field="file_name") == ["a.png", "b.png"]
    assert groups(tmp_path, group_field="frame", group_run=5) == ["1", "1"]


def test_runs_of_consecutive_frames_of_one_film_are_groups(tmp_path: Path) -> None:
    make_set(tmp_path, [f"{film}_f{frame:03}.png" for film in "ab" for frame in (0, 8, 9, 10, 29)])
    assert groups(tmp_path, group_pattern=r"(.+)_f\d+") == ["a"] * 5 + ["b"] * 5
    runs = [f"{film}/{run}" for film in "ab" for run in (0, 0, 0, 1, 2)]
    assert groups(tmp_path, group_pattern=r"(.+)_f(\d+)", group_run=10) == runs


def test_folders_can_have_group_options_of_their_own(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        make_set(tmp_path / folder, ["a1.png"])
    options = {"group_pattern": "([a-z])", "groups": {"two": {"group_pattern": r"(\d)"}}}
    assert groups(tmp_path, **options) == ["one/a", "two/1"]


def test_a_name_without_a_group_is_a_problem(tmp_path: Path) -> None:
    make_set(tmp_path, ["a1.png", "b.png"])
    for options in (Options(group_pattern=r"(\d)"), Options(group_pattern="([a-z]1?)", group_run=2)):
        assert {str(p.reason) for p in read(options, tmp_path).problems} == {"no group"}


def test_what_a_category_lacks_can_be_given(tmp_path: Path) -> None:
    make_set(tmp_path, ["a.png"])
    options = Options.model_validate({"skeletons": {"cat": {"sigmas": [0.1], "upper_body": ["nose"]}}})
    (category,) = read(options, tmp_path).categories
    assert (category.sigmas, category.upper_body) == ((0.1,), (0,))


@pytest.mark.parametrize(
    "options",
    [
        {"group_pattern": "frame"},
        {"group_pattern": "("},
        {"group_run": 5},
        {"group_run": 0, "group_field": "clip"},
        {"group_field": "clip", "group_pattern": "(a)"},
        {"groups": {"a": {"pattern": "(a)"}}},
    ],
    ids=str,
)
def test_options_without_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(options)


@pytest.mark.parametrize("options", [{"groups": {"lion": {}}}, {"skeletons": {"lion": {}}}], ids=str)
def test_options_for_what_is_not_there_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(LookupError, match="has lion"):
        read(Options.model_validate(options), make_set(tmp_path, ["a.png"]))


def test_options_do_not_hide_that_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("{")
    (problem,) = read(Options.model_validate({"skeletons": {"cat": {"sigmas": [0.1]}}}), tmp_path).problems
    assert problem.reason == "not JSON"


@pytest.mark.parametrize(
    ("annotation_file", "pictures", "given"),
    [
        ("annotations.json", "images", "."),
        ("mine.json", "images", "."),
        ("mine.json", "images", "mine.json"),
        ("mine.json", "frames", "mine.json"),
        ("mine.json", ".", "mine.json"),
        ("annotations/val.json", "val2017", "."),
        ("annotations/val.json", "val2017", "annotations/val.json"),
        ("sub/annotations.json", "sub/images", "."),
    ],
)
def test_data_is_found_without_options(tmp_path: Path, annotation_file: str, pictures: str, given: str) -> None:
    (tmp_path / pictures).mkdir(parents=True, exist_ok=True)
    (tmp_path / pictures / "a.png").write_bytes(PICTURE)
    (tmp_path / annotation_file).parent.mkdir(exist_ok=True)
    (tmp_path / annotation_file).write_text(annotation_text(["a.png"]))
    before = sorted(tmp_path.rglob("*"))
    dataset = check_path(tmp_path / given)
    assert (len(dataset.records), dataset.problems) == (1, ())
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures_that_are_nowhere_are_problems(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(annotation_text(["a.png", "../b.png"]))
    assert [str(p.reason) for p in check_path(tmp_path).problems] == ["missing image", "image path leaves its folder"]


@pytest.mark.parametrize(("files", "says"), [([], "no JSON file"), (["a.json", "b.json"], "a.json, b.json")])
def test_a_path_without_one_annotation_file_is_refused(tmp_path: Path, files: list[str], says: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=says):
        check_path(tmp_path)


def test_a_path_that_is_not_there_has_one_problem(tmp_path: Path) -> None:
    (problem,) = read(Options(), tmp_path / "nowhere").problems
    assert problem.reason == "missing annotation file"
    with pytest.raises(ValueError, match="no JSON file"):
        check_path(tmp_path / "nowhere")


def test_reading_needs_no_torch() -> None:
    code = "import sys, posebed.datasets.coco_folder, posebed.data.splits; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", REAL)
def test_real_photographs_are_read_to_the_last(real_data: Path, name: str) -> None:
    spec = CATALOG.dataset("coco_folder")
    dataset = spec.read(spec.options(), real_data / name)
    (category,) = dataset.categories
    actual = (len({r.image for r in dataset.records}), len(dataset.records), len(category.keypoints))
    assert actual == REAL[name]
    assert dataset.checked == REAL[name][1]
    assert category.limbs and category.flip_pairs


def test_the_one_defect_of_the_real_photographs_is_found(real_data: Path) -> None:
    dataset = read(Options(), real_data)
    assert len(dataset.records) == 1678
    assert [(p.file, p.field, p.found) for p in dataset.problems] == [
        ("fly_topdown/annotations.json", "flip_pairs", "['midlegL2', 'midlegR3']")
    ]
    assert len(dataset.categories) == len(REAL)
