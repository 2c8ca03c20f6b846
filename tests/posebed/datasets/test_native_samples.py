"""A few real files of many datasets, exactly as their origin ships them: all are read, and their defects told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from posebed.catalog import installed
from posebed.datasets.animal_kingdom import _box
from posebed.datasets.coco_folder import check_path
from posebed.records import Dataset

CATALOG = installed()
SAMPLES = {  # annotations that count, keypoints
    "300w": (2, 68),
    "aflw": (2, 19),
    "animalpose": (2, 20),
    "ap10k": (2, 17),
    "atrw": (2, 15),
    "cofw": (2, 29),
    "fld": (2, 8),
    "fly": (2, 32),
    "horse10": (3, 22),
    "locust": (2, 35),
    "macaque": (2, 17),
    "wflw": (4, 98),
    "zebra": (2, 9),
}
SOURCES = {"ap10k": "ap10k", "animalpose": "animal_pose", "ak": "animal_kingdom", "coco": "coco_keypoints"}


def read_sample(real_data: Path, name: str) -> Dataset:
    spec = CATALOG.dataset(SOURCES[name])
    return spec.read(spec.options(), real_data / "native_samples" / name)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_read_as_it_lies_there(real_data: Path, name: str) -> None:
    dataset = check_path(real_data / "native_samples" / name)
    assert not dataset.problems
    assert (len(dataset.records), len(dataset.categories[0].keypoints)) == SAMPLES[name]


@pytest.mark.parametrize("name", ["ap10k", "animalpose"])
def test_the_datasets_own_module_reads_its_sample(real_data: Path, name: str) -> None:
    dataset = read_sample(real_data, name)
    assert not dataset.problems
    assert len(dataset.records) == 2
    skeleton = CATALOG.dataset(SOURCES[name]).skeleton
    for category in dataset.categories:
        assert (category.keypoints, category.sigmas) == (skeleton.keypoints, pytest.approx(skeleton.sigmas))
        assert (category.limbs, category.flip_pairs) == (skeleton.limbs, skeleton.flip_pairs)


def test_people_without_keypoints_are_skipped_and_counted(real_data: Path) -> None:
    dataset = read_sample(real_data, "coco")
    assert (len(dataset.records), dataset.problems) == (12, ())
    assert "Skipped annotations with num_keypoints 0: 2." in dataset.notes
    assert all(record.area < record.box[2] * record.box[3] for record in dataset.records)


def test_the_category_that_a_sample_does_not_list_is_reported(real_data: Path) -> None:
    dataset = read_sample(real_data, "ak")
    assert [(p.field, str(p.reason), p.found) for p in dataset.problems] == [
        ("category_id", "unknown category", "4")
    ] * 2


def test_the_box_of_a_sample_is_the_extent_that_the_other_form_is_given(real_data: Path) -> None:
    content = json.loads((real_data / "native_samples/ak/test_animalkingdom.json").read_text())
    for annotation in content["annotations"]:
        values = annotation["keypoints"]
        seen = [values[i : i + 2] for i in range(0, len(values), 3) if values[i + 2] == 1]
        assert _box(seen) == pytest.approx(annotation["bbox"])


def test_samples_in_their_own_layout_are_read_with_their_parts(real_data: Path, tmp_path: Path) -> None:
    spec = CATALOG.dataset("ap10k")
    sample = real_data / "native_samples/ap10k"
    (tmp_path / "annotations").mkdir()
    for part in ("train", "val", "test"):
        (tmp_path / f"annotations/ap10k-{part}-split1.json").write_bytes((sample / "test_ap10k.json").read_bytes())
    (tmp_path / "data").mkdir()
    for picture in sample.glob("*.jpg"):
        (tmp_path / "data" / picture.name).write_bytes(picture.read_bytes())
    dataset = spec.read(spec.options(), tmp_path)
    assert not dataset.problems
    assert [r.part for r in dataset.records] == ["train", "train", "val", "val", "test", "test"]
    assert len(dataset.categories) == 54
