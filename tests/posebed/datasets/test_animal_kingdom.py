"""Animal Kingdom: its protocols, its two forms of annotation, and the defects of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from posebed.config import SplitConfig
from posebed.data.splits import divide
from posebed.datasets.animal_kingdom import SKELETON, Options, read
from posebed.testing import DatasetSuite

NAMES = list(SKELETON.keypoints)
FRAMES = [f"{clip}/{clip}_f00000{i}.jpg" for clip in ("AAAA", "BBBB") for i in range(2)]


def joints(seen: int) -> np.ndarray:
    """(23, 3), of which so many are visible, the first at the left top and the last at the right bottom."""
    points = np.full((23, 3), -1.0)
    points[:, 2] = 0
    points[:seen] = [[3 + 1.5 * i, 4 + 1.1 * i, 1] for i in range(seen)]
    return points


def coco_form(frames: Sequence[str], seen: Sequence[int]) -> Any:
    annotations = []
    for i, count in enumerate(seen):
        points = joints(count)
        x, y = points[:count, :2].min(0) + 0.5
        width, height = np.ptp(points[:count, :2], axis=0) - 1
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": 4,
                "bbox": [x, y, width, height],
                "area": width * height,
                "keypoints": points.ravel().tolist(),
                "num_keypoints": count,
                "scale": (max(width, height) + 1) / 200,
            }
        )
    links = [list(limb) for limb in SKELETON.limbs]
    kinds = enumerate(("Amphibian", "Bird", "Fish", "Mammal", "Reptile"), 1)
    return {
        "images": [{"id": i, "file_name": f, "width": 40, "height": 30} for i, f in enumerate(frames)],
        "annotations": annotations,
        "categories": [
            {"id": i, "name": k, "supercategory": "AK_Animal", "keypoints": NAMES, "skeleton": links} for i, k in kinds
        ],
    }


def mpii_form(frames: Sequence[str], seen: Sequence[int]) -> Any:
    entries = []
    for frame, count in zip(frames, seen, strict=False):
        points = joints(count)
        extent = np.ptp(points[:count, :2], axis=0)
        entries.append(
            {
                "image": frame,
                "animal": "Zebra",
                "animal_parent_class": "Mammal",
                "joints": points[:, :2].tolist(),
                "joints_vis": points[:, 2].astype(int).tolist(),
                "scale": extent.max() / 200,
                "center": (points[:count, :2].min(0) + extent / 2).tolist(),
                "Protocol 3 mammal": "test",
            }
        )
    return entries


def make(download: Any, tree: str, form: Any, seen: Sequence[int] = (20, 20, 20, 20), protocol: str = "ak_P1") -> Any:
    for frame in FRAMES:
        download.picture(f"dataset/{frame}")
    for part in ("train", "test"):
        download.write(f"{tree}/{protocol}/{part}.json", form(FRAMES, seen))
    return download


class TestContract(DatasetSuite):
    dataset = "animal_kingdom"

    @pytest.fixture
    def example(self, download: Any) -> Path:
        return make(download, "annotation_coco", coco_form).path


def test_both_forms_say_the_same(download: Any) -> None:
    make(download, "annotation", mpii_form)
    mpii = read(Options(), download.path)
    make(download, "annotation_coco", coco_form)
    coco = read(Options(), download.path)
    assert not mpii.problems and not coco.problems
    assert mpii.categories == coco.categories
    for one, other in zip(mpii.records, coco.records, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        assert one.box == pytest.approx(other.box)
        assert one.area == pytest.approx(other.area, rel=1e-6)
        assert (one.image, one.record, one.group, one.part) == (other.image, other.record, other.group, other.part)


def test_a_flag_of_1_means_visible_and_a_missing_joint_is_unlabelled(download: Any) -> None:
    points = read(Options(), make(download, "annotation_coco", coco_form).path).records[0].keypoints
    assert points[:20, 2].tolist() == [2] * 20
    assert not points[20:].any()


def test_links_count_from_0(download: Any) -> None:
    dataset = read(Options(), make(download, "annotation_coco", coco_form).path)
    assert {c.limbs for c in dataset.categories} == {SKELETON.limbs}
    assert SKELETON.flip_pairs == ((1, 2), (4, 5), (7, 8), (9, 10), (11, 12), (14, 15), (16, 17), (18, 19))


@pytest.mark.parametrize(("tree", "form"), [("annotation", mpii_form), ("annotation_coco", coco_form)])
def test_defects_are_reported(download: Any, tree: str, form: Any) -> None:
    dataset = read(Options(), make(download, tree, form, seen=(20, 2, 1, 20)).path)
    assert [(p.record, str(p.reason)) for p in dataset.problems] == [
        ("train/2", "box without extent"),
        ("test/2", "box without extent"),
    ]
    assert len(dataset.records) == 6


def test_few_joints_and_images_without_annotation_are_noted(download: Any) -> None:
    def sparse(frames: Sequence[str], seen: Sequence[int]) -> Any:
        content = coco_form(frames, seen)
        points = content["annotations"][0]["keypoints"]
        points[6:] = [-1, -1, 0.0] * 21
        return {**content, "annotations": content["annotations"][:3]}

    notes = read(Options(), make(download, "annotation_coco", sparse).path).notes
    assert "Records with fewer than 3 labelled keypoints, kept: 1 in train, 1 in test." in notes
    assert {"train: Images without annotation: 1.", "test: Images without annotation: 1."} <= set(notes)


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ({}, "ak_P1"),
        ({"protocol": "P2"}, "ak_P2"),
        ({"protocol": "P3", "group": "mammal"}, "ak_P3_mammal"),
    ],
)
def test_each_protocol_has_files_of_its_own(download: Any, options: dict[str, Any], folder: str) -> None:
    make(download, "annotation_coco", coco_form, protocol=folder)
    dataset = read(Options.model_validate(options), download.path)
    assert f"annotation_coco/{folder}/test.json" in dataset.notes[0]
    assert len(dataset.records) == 8


@pytest.mark.parametrize("options", [{"protocol": "P3"}, {"group": "bird"}, {"protocol": "P3", "group": "Bird"}])
def test_a_group_belongs_to_the_third_protocol(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(options)


def test_validation_takes_whole_clips_from_train(download: Any) -> None:
    dataset = read(Options(), make(download, "annotation_coco", coco_form).path)
    parts = divide(dataset.records, dataset.categories, SplitConfig(data="d", by="official", val=0.5))
    of_clip = {(r.group, parts[r.record]) for r in dataset.records if r.part == "train"}
    assert {clip for clip, _ in of_clip} == {"AAAA", "BBBB"}
    assert len(of_clip) == 2 and {part for _, part in of_clip} == {"train", "val"}


@pytest.mark.parametrize("wrong", [[], 3, [4, {"image": 3}], [{"joints": 5}], {"annotations": 3}], ids=str)
def test_a_file_may_hold_anything(download: Any, wrong: Any) -> None:
    make(download, "annotation", mpii_form)
    download.write("annotation/ak_P1/train.json", wrong)
    assert read(Options(), download.path).problems
