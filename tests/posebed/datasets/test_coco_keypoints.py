"""COCO keypoints: who is left out and told, the scale of OKS, and a detector's boxes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from posebed.config import SplitConfig
from posebed.data.splits import divide
from posebed.datasets.coco_keypoints import SKELETON, Options, read

VAL = "annotations/person_keypoints_val2017.json"
DETECTIONS = "found.json"


@pytest.fixture
def coco(download: Any) -> Any:
    for part in ("train", "val"):
        files = [f"{i:012}.jpg" for i in range(6)]
        download.coco(f"annotations/person_keypoints_{part}2017.json", SKELETON, f"{part}2017", files)
    return download


def change(download: Any, position: int, **fields: Any) -> None:
    content = download.read(VAL)
    content["annotations"][position].update(fields)
    download.write(VAL, content)


def detected(*boxes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 20], "score": 0.75} | box for box in boxes]


def test_val2017_is_reported_and_validation_comes_from_train2017(coco: Any) -> None:
    dataset = read(Options(), coco.path)
    assert not dataset.problems
    parts = divide(dataset.records, dataset.categories, SplitConfig(data="d", by="official", val=0.5))
    assert Counter((r.image[:5], parts[r.record]) for r in dataset.records) == {
        ("train", "train"): 3,
        ("train", "val"): 3,
        ("val20", "test"): 6,
    }


def test_people_without_keypoints_and_crowds_are_left_out_and_counted(coco: Any) -> None:
    change(coco, 0, num_keypoints=0, keypoints=[0] * 51)
    change(coco, 1, iscrowd=1)
    dataset = read(Options(), coco.path)
    assert not dataset.problems
    assert Counter(r.part for r in dataset.records) == {"train": 6, "test": 4}
    name = "person_keypoints_val2017"
    assert f"{name}: Skipped annotations with num_keypoints 0: 1." in dataset.notes
    assert f"{name}: Skipped crowd regions: 1." in dataset.notes


def test_the_scale_of_oks_is_the_area_of_the_segment(coco: Any) -> None:
    assert {r.area for r in read(Options(), coco.path).records} == {300}


def test_a_person_annotated_twice_is_reported(coco: Any) -> None:
    content = coco.read(VAL)
    content["annotations"].append(content["annotations"][2] | {"id": 99, "bbox": [1.2, 2, 30, 20.1]})
    coco.write(VAL, content)
    (note,) = (n for n in read(Options(), coco.path).notes if "almost equal" in n)
    assert note.endswith("1, the first is person_keypoints_val2017/99.")


def test_boxes_of_a_detector_are_further_records_of_the_reported_part(coco: Any) -> None:
    change(coco, 0, num_keypoints=0, keypoints=[0] * 51)
    coco.write(DETECTIONS, detected({}, {"image_id": 5, "score": 0.5}))
    dataset = read(Options(detections=DETECTIONS), coco.path)
    assert not dataset.problems
    boxes = [r for r in dataset.records if r.detection is not None]
    assert [(r.detection, r.image, r.part) for r in boxes] == [
        (0.75, "val2017/000000000001.jpg", "test"),
        (0.5, "val2017/000000000005.jpg", "test"),
    ]
    assert not any(r.keypoints.any() for r in boxes)
    assert {r.category for r in dataset.records} == {"person"}
    assert "Boxes of a detector in test: 2, from found.json." in dataset.notes


def test_with_a_detector_people_without_keypoints_stay_to_be_ignored(coco: Any) -> None:
    change(coco, 0, num_keypoints=0, keypoints=[0] * 51)
    change(coco, 1, num_keypoints=0, keypoints=[0] * 51, iscrowd=1)
    coco.write(DETECTIONS, detected({}))
    dataset = read(Options(detections=DETECTIONS), coco.path)
    assert not dataset.problems
    unlabelled = [r for r in dataset.records if r.detection is None and not r.keypoints[:, 2].any()]
    assert [(r.part, r.record[-2:]) for r in unlabelled] == [("test", "10"), ("test", "11")]
    assert any("Kept crowd regions, which scoring ignores: 1." in note for note in dataset.notes)


@pytest.mark.parametrize("inside", [True, False])
def test_a_detector_finds_pictures_in_zip_files_as_well(coco: Any, inside: bool) -> None:
    coco.zip("val2017", inside)
    coco.write(DETECTIONS, detected({}))
    dataset = read(Options(detections=DETECTIONS), coco.path)
    assert not dataset.problems
    assert {r.image.partition("/")[0] for r in dataset.records if r.part == "test"} == {"val2017.zip"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"score": None}, "score"),
        ({"score": 1.5}, "score"),
        ({"score": True}, "score"),
        ({"bbox": [1, 2, 0, 4]}, "bbox"),
        ({"bbox": None}, "bbox"),
        ({"image_id": 99}, "file_name"),
        ({"image_id": "../../x"}, "file_name"),
        ({"image_id": [1]}, "image_id"),
        ({"category_id": 17}, "category_id"),
    ],
    ids=str,
)
def test_a_faulty_detection_is_reported_and_left_out(coco: Any, wrong: dict[str, Any], field: str) -> None:
    coco.write(DETECTIONS, detected({}, wrong))
    dataset = read(Options(detections=DETECTIONS), coco.path)
    assert [(p.file, p.record, p.field) for p in dataset.problems] == [(DETECTIONS, "found/1", field)]
    assert sum(r.detection is not None for r in dataset.records) == 1


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("none.json", "[]", "there is no none.json"),
        (DETECTIONS, "{", "must be JSON"),
        (DETECTIONS, "{}", "must hold a list of detections"),
        ("../found.json", "[]", "must stay below"),
    ],
)
def test_a_file_of_detections_that_cannot_be_read_is_refused(coco: Any, name: str, text: str, says: str) -> None:
    (coco.path / DETECTIONS).write_text(text)
    with pytest.raises(ValueError, match=says):
        read(Options(detections=name), coco.path)
