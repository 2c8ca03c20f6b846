"""Animal-Pose in MMPose's form and in the official one, which say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posebed.annotations.released_layouts import Reported
from posebed.datasets.animal_pose import SKELETON, read

OFFICIAL = [
    *("left_eye", "right_eye", "nose", "left_ear", "right_ear"),
    *(f"{s}_{e}_{p}" for p in ("elbow", "knee", "paw") for e in ("front", "back") for s in ("left", "right")),
    *("throat", "withers", "tailbase"),
]
SAME = {"left_eye": "L_Eye", "nose": "Nose", "right_ear": "R_EarBase", "left_front_elbow": "L_F_Elbow"}
SAME |= {"right_back_paw": "R_B_Paw", "throat": "Throat", "withers": "Withers", "tailbase": "TailBase"}


@pytest.fixture
def toolbox(download: Any) -> Any:
    for part, folder in (("train", "VOC2012/JPEGImages"), ("val", "VOC2012/JPEGImages"), ("test", "cat")):
        folder = folder if part != "test" else f"animalpose_image_part2/{folder}"
        download.coco(f"annotations/animalpose_{part}.json", SKELETON, "", [f"{folder}/{part}{i}.jpg" for i in "01"])
    return download


@pytest.fixture
def official(download: Any) -> Any:
    points = [[i, i + 1, int(i > 0)] for i in range(20)]
    download.picture("images/2007_1.jpg")
    download.write(
        "keypoints.json",
        {
            "images": {"7": "2007_1.jpg"},
            "annotations": [{"image_id": 7, "category_id": 5, "bbox": [2, 3, 32, 28], "keypoints": points}],
            "categories": [{"id": 5, "name": "cow", "keypoints": OFFICIAL, "skeleton": [[1, 2], [20, 19]]}],
        },
    )
    return download


def test_papers_report_val(toolbox: Any) -> None:
    dataset = read(Reported(), toolbox.path)
    assert not dataset.problems
    assert {(r.record.split("/")[0], r.part) for r in dataset.records} == {
        ("animalpose_train", "train"),
        ("animalpose_val", "test"),
        ("animalpose_test", "val"),
    }


def test_annotation_files_may_lie_beside_the_pictures(toolbox: Any) -> None:
    for file in (toolbox.path / "annotations").iterdir():
        file.rename(toolbox.path / file.name)
    (toolbox.path / "annotations").rmdir()
    assert len(read(Reported(), toolbox.path).records) == 6


def test_official_boxes_are_corners_and_sizes_those_of_the_pictures(official: Any) -> None:
    dataset = read(Reported(), official.path)
    assert not dataset.problems
    (record,) = dataset.records
    assert (record.box, record.area) == ((2, 3, 30, 25), 750)
    assert (record.width, record.height, record.image) == (40, 30, "images/2007_1.jpg")


def test_official_keypoints_take_the_order_and_the_flags_of_the_toolbox(official: Any) -> None:
    dataset = read(Reported(), official.path)
    (category,) = dataset.categories
    assert (category.name, category.keypoints, category.limbs) == ("cow", SKELETON.keypoints, SKELETON.limbs)
    points = dict(zip(category.keypoints, dataset.records[0].keypoints.tolist(), strict=True))
    for name, same in SAME.items():
        i = OFFICIAL.index(name)
        assert points[same] == ([i, i + 1, 2] if i else [0, 0, 0])


def test_an_official_file_in_the_order_of_the_toolbox_keeps_it(official: Any) -> None:
    content = official.read("keypoints.json")
    content["categories"][0]["keypoints"] = SKELETON.keypoints
    content["images"] = [{"id": 7, "file_name": "2007_1.jpg"}]
    official.write("keypoints.json", content)
    points = read(Reported(), official.path).records[0].keypoints
    np.testing.assert_array_equal(points[1:, 0], range(1, 20))


@pytest.mark.parametrize("wrong", [3, [4], "x", [{"id": 5}], {"a": 1}], ids=str)
@pytest.mark.parametrize("entry", ["images", "annotations", "categories"])
def test_an_official_file_may_hold_anything(official: Any, entry: str, wrong: Any) -> None:
    official.write("keypoints.json", official.read("keypoints.json") | {entry: wrong})
    assert read(Reported(), official.path).problems


def test_the_skeleton_is_that_of_the_toolbox() -> None:
    assert SKELETON.flip_pairs == ((0, 1), (2, 3), (8, 9), (10, 11), (12, 13), (14, 15), (16, 17), (18, 19))


def test_missing_pictures_are_reported_before_annotations_are_read(toolbox: Any) -> None:
    (toolbox.path / "VOC2012").rename(toolbox.path / "VOC")
    with pytest.raises(ValueError, match="without VOC2012/JPEGImages it is incomplete"):
        read(Reported(), toolbox.path)
