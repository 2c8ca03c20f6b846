from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from label_files import MOUSE, points, write_picture
from posebed.formats import yolo
from posebed.formats.labels import Animal, Frame, Labels
from posebed.formats.to_dataset import to_dataset
from posebed.records import Category

ONE = "0 0.5 0.5 0.25 0.5"


def folder(path: Path, *lines: str, shape: str = "[2, 3]", more: str = "", picture: str = "images/train/a.png") -> Path:
    write_picture(path / picture)
    label = path / picture.replace("images", "labels").replace(".png", ".txt")
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text("\n".join(lines))
    head = "path: ../datasets/mice\ntrain: images/train\nval: images/train\nnames: [mouse]\n"
    (path / "data.yaml").write_text(f"{head}kpt_shape: {shape}\n{more}")
    return path


class TestSample:
    @pytest.mark.parametrize("name", ["yolo_pose", "yolo_pose/data.yaml", "yolo_pose/tiger-pose.yaml"])
    def test_two_numbers_per_point_give_instances(self, real_data: Path, name: str):
        labels = yolo.read(real_data / "native_samples" / name)
        assert len(list(labels.animals())) == len(labels.frames) == 4
        assert [frame.part for frame in labels.frames] == ["train"] * 3 + ["val"]
        first = next(frame for frame in labels.frames if "Frame_10." in frame.picture).animals[0]
        for point, truth in {0: (1077, 366), 1: (1023, 216), 11: (875, 547)}.items():
            np.testing.assert_allclose(first.points[point], (*truth, 2), atol=0.01)
        assert first.box == pytest.approx((216, 135, 871, 434), abs=0.01)

    def test_a_flip_idx_that_swaps_nothing_is_reported(self, real_data: Path):
        notes = yolo.read(real_data / "native_samples/yolo_pose").notes
        assert any("flip_idx swaps no keypoint" in note for note in notes)

    def test_parts_and_boxes_reach_the_records(self, real_data: Path):
        dataset = to_dataset(yolo.read(real_data / "native_samples/yolo_pose"), "data.yaml")
        assert {problem.reason for problem in dataset.problems} == {"damaged picture"}
        assert [record.part for record in dataset.records] == ["train", "val"]
        assert dataset.records[1].box == pytest.approx((160, 144, 856, 434), abs=0.01)


class TestPoints:
    def test_three_numbers(self, tmp_path: Path):
        labels = yolo.read(folder(tmp_path, f"{ONE} 0.5 0.25 1 0 0 0"))
        np.testing.assert_allclose(next(labels.animals()).points, [[32, 12, 1], [0, 0, 0]])
        assert next(labels.animals()).box == (24, 12, 16, 24)

    def test_two_numbers_of_which_0_0_is_missing(self, tmp_path: Path):
        labels = yolo.read(folder(tmp_path, f"{ONE} 0 0 0.5 0.25", shape="[2, 2]"))
        np.testing.assert_allclose(next(labels.animals()).points, [[0, 0, 0], [32, 12, 2]])

    def test_an_identity_beside_left_and_right(self, tmp_path: Path):
        more = "flip_idx: [0, 1]\nkpt_names: {0: [left_ear, right_ear]}\n"
        labels = yolo.read(folder(tmp_path, f"{ONE} 0.5 0.25 1 0 0 0", more=more))
        assert labels.categories[0].flip_pairs == ((0, 1),)
        assert any("left_ear and right_ear" in note for note in labels.notes)

    def test_pictures_without_labels_are_negatives(self, tmp_path: Path):
        folder(tmp_path, f"{ONE} 0.5 0.25 1 0 0 0")
        write_picture(tmp_path / "images/train/b.png")
        labels = yolo.read(tmp_path)
        assert [len(frame.animals) for frame in labels.frames] == [1, 0]
        assert any("negatives: 1" in note for note in labels.notes)

    def test_rotated_pictures_have_the_size_that_viewers_show(self, tmp_path: Path):
        folder(tmp_path, f"{ONE} 0.5 0.25 2 0.25 0.5 2", picture="images/train/a.png")
        (tmp_path / "images/train/a.png").unlink()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (64, 48)).save(tmp_path / "images/train/a.jpg", exif=exif)
        labels = yolo.read(tmp_path)
        assert labels.frames[0].size == (48, 64)
        np.testing.assert_allclose(next(labels.animals()).points[0], (24, 16, 2))

    def test_classes_are_categories(self, tmp_path: Path):
        folder(tmp_path, f"1{ONE[1:]} 0.5 0.25 2 0.25 0.5 2")
        text = (tmp_path / "data.yaml").read_text()
        (tmp_path / "data.yaml").write_text(text.replace("[mouse]", "{0: mouse, 1: rat}"))
        assert next(yolo.read(tmp_path).animals()).category == "rat"


class TestPlaces:
    def test_train_may_name_the_folder_above(self, tmp_path: Path):
        folder(tmp_path, f"{ONE} 0.5 0.25 2 0.25 0.5 2", picture="train/images/a.png")
        text = (tmp_path / "data.yaml").read_text()
        (tmp_path / "data.yaml").write_text(text.replace("images/train", "train"))
        assert len(list(yolo.read(tmp_path).animals())) == 1

    def test_a_list_of_pictures(self, tmp_path: Path):
        folder(tmp_path, f"{ONE} 0.5 0.25 2 0.25 0.5 2")
        (tmp_path / "list.txt").write_text("/home/me/datasets/mice/images/train/a.png\n")
        text = (tmp_path / "data.yaml").read_text()
        (tmp_path / "data.yaml").write_text(text.replace("train: images/train", "train: list.txt"))
        assert [frame.picture for frame in yolo.read(tmp_path).frames] == ["images/train/a.png"]

    def test_pictures_that_are_nowhere(self, tmp_path: Path):
        (tmp_path / "data.yaml").write_text("train: ../pictures\nnames: [a]\nkpt_shape: [1, 3]\n")
        with pytest.raises(ValueError, match=r"train: \.\./pictures is not there"):
            yolo.read(tmp_path)


class TestBadInput:
    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("0 0.1 0.2 0.3 0.4 0.5 0.6", "must have 11 numbers"),
            (f"{ONE} 0.5 0.25 1 0 0 x", "must hold numbers"),
            (f"{ONE} 0.5 0.25 1 0 0 nan", "finite numbers"),
            (f"7{ONE[1:]} 0.5 0.25 1 0 0 0", "a class from 0 to 0"),
            (f"{ONE} 0.5 0.25 7 0 0 0", "0, 1 or 2 as visibility"),
        ],
    )
    def test_lines(self, tmp_path: Path, line: str, what: str):
        with pytest.raises(ValueError, match=what):
            yolo.read(folder(tmp_path, line))

    @pytest.mark.parametrize(
        ("more", "what"),
        [
            ("flip_idx: [0, 0]\n", "every keypoint once"),
            ("flip_idx: [a, b]\n", "every keypoint once"),
            ("kpt_names: [a]\n", "must name 2 keypoints"),
            ("kpt_names: [a, a]\n", "names that differ"),
        ],
    )
    def test_descriptions(self, tmp_path: Path, more: str, what: str):
        with pytest.raises(ValueError, match=what):
            yolo.read(folder(tmp_path, f"{ONE} 0.5 0.25 1 0 0 0", more=more))

    @pytest.mark.parametrize("shape", ["[2, 4]", "3", "[0, 2]", "[true, 3]", "[2000000000, 3]"])
    def test_shapes(self, tmp_path: Path, shape: str):
        with pytest.raises(ValueError, match="must state kpt_shape"):
            yolo.read(folder(tmp_path, ONE, shape=shape))

    def test_a_picture_that_is_none(self, tmp_path: Path):
        folder(tmp_path, f"{ONE} 0.5 0.25 1 0 0 0")
        (tmp_path / "images/train/a.png").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="needs the size of its picture"):
            yolo.read(tmp_path)

    def test_categories_with_other_keypoints_cannot_be_written(self, tmp_path: Path):
        labels = Labels(tmp_path, (MOUSE, Category("rat", "rat", ("a",))), (Frame("a.png"),))
        with pytest.raises(ValueError, match="mouse, rat differ"):
            yolo.write(labels, tmp_path / "out")


def test_parts_survive_writing(real_data: Path, tmp_path: Path):
    labels = yolo.read(real_data / "native_samples/yolo_pose")
    assert yolo.write(labels, tmp_path) == []
    read = yolo.read(tmp_path)
    assert [frame.part for frame in read.frames] == [frame.part for frame in labels.frames]
    for one, other in zip(labels.animals(), read.animals(), strict=True):
        np.testing.assert_allclose(one.points, other.points, atol=1e-4)
        assert one.box == pytest.approx(other.box, abs=1e-4)
    assert cv2.imread(str(tmp_path / read.frames[0].picture)).shape == (720, 1280, 3)


def test_pictures_that_are_turned_are_told(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg", exif=exif)
    animal = Animal("mouse", points((1, 2, 2), (3, 4, 2), (0, 0, 0), (5, 6, 2)))
    notes = yolo.write(Labels(tmp_path, (MOUSE,), (Frame("a.jpg", (animal,)),)), tmp_path / "out")
    assert any("turns by their orientation tag: 1" in note for note in notes)
