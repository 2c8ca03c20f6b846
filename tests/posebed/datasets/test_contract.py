"""Every dataset of the engine that is COCO's form with habits of its own keeps to the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from posebed.datasets import animal_pose, ap10k, coco_keypoints
from posebed.testing import DatasetSuite

OF_TEST = "animalpose_image_part2/cat"


class TestCocoFolder(DatasetSuite):
    dataset = "coco_folder"

    @pytest.fixture
    def example(self, download: Any) -> Path:
        download.coco("annotations.json", ap10k.SKELETON, "images", ["a.jpg", "b.jpg"])
        return download.path


class TestAp10k(DatasetSuite):
    dataset = "ap10k"

    @pytest.fixture
    def example(self, download: Any) -> Path:
        for number, part in enumerate(("train", "val", "test")):
            download.coco(f"annotations/ap10k-{part}-split1.json", ap10k.SKELETON, "data", [f"{number}.jpg"])
        return download.path


class TestAnimalPose(DatasetSuite):
    dataset = "animal_pose"

    @pytest.fixture
    def example(self, download: Any) -> Path:
        for part, folder in (("train", "VOC2012/JPEGImages"), ("val", "VOC2012/JPEGImages"), ("test", OF_TEST)):
            download.coco(f"annotations/animalpose_{part}.json", animal_pose.SKELETON, "", [f"{folder}/{part}.jpg"])
        return download.path


class TestCocoKeypoints(DatasetSuite):
    dataset = "coco_keypoints"

    @pytest.fixture
    def example(self, download: Any) -> Path:
        for part in ("train", "val"):
            name = f"annotations/person_keypoints_{part}2017.json"
            download.coco(name, coco_keypoints.SKELETON, f"{part}2017", [f"{0:012}.jpg", f"{1:012}.jpg"])
        return download.path
