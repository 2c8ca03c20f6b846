from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from label_files import MOUSE, links_of, pairs_of, points, write_picture
from posebed.datasets import coco_folder
from posebed.formats import coco, cvat, deeplabcut, sleap
from posebed.formats.labels import Animal, Frame, Labels


def file(folder: Path, annotation: dict[str, Any], name: str = "annotations.json", **image: Any) -> Path:
    write_picture(folder / "images/a.png")
    category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
    annotation = {"id": 1, "image_id": 0, "category_id": 1, **annotation}
    image = {"id": 0, "file_name": "a.png", "width": 64, "height": 48, **image}
    content = {"images": [image], "annotations": [annotation], "categories": [category]}
    place = folder / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(content))
    return folder


KEYPOINTS = [1.5, 2, 1, 0, 0, 0]


class TestReading:
    @pytest.mark.parametrize(
        "name", ["annotations.json", "_annotations.coco.json", "annotations/person_keypoints_default.json", "x.json"]
    )
    def test_the_names_that_tools_choose(self, tmp_path: Path, name: str):
        labels = coco.read(file(tmp_path, {"keypoints": KEYPOINTS, "bbox": [0, 0, 5, 5]}, name))
        assert labels.frames[0].picture == "images/a.png"
        np.testing.assert_array_equal(next(labels.animals()).points, [[1.5, 2, 1], [0, 0, 0]])

    def test_the_sample_keeps_hidden_points(self, real_data: Path):
        labels = coco.read(real_data / "native_samples/cvat/coco.json")
        xml = cvat.read(real_data / "native_samples/cvat")
        assert labels.flags()[1] == xml.flags()[1] == 2
        assert [(len(c.keypoints), c.name) for c in labels.categories] == [(4, "towel"), (1, "tshirt")]
        for one, other in zip(labels.animals(), xml.animals(), strict=True):
            if one.category == "towel":
                np.testing.assert_allclose(one.points, other.points, atol=0.01)

    @pytest.mark.parametrize("box", [None, [0, 0, 0, 0], [1, 2]])
    def test_boxes_that_say_nothing(self, tmp_path: Path, box: object):
        assert next(coco.read(file(tmp_path, {"keypoints": KEYPOINTS, "bbox": box})).animals()).box is None

    @pytest.mark.parametrize(
        "track", [{"track_id": 7}, {"attributes": {"track_id": 7}}, {"attributes": {"object_id": "7"}}]
    )
    def test_the_places_of_tracks(self, tmp_path: Path, track: dict[str, Any]):
        assert next(coco.read(file(tmp_path, {"keypoints": KEYPOINTS, **track})).animals()).track == "7"

    def test_numbers_that_are_texts(self, tmp_path: Path):
        labels = coco.read(file(tmp_path, {"keypoints": ["1.5", "2", "2", "3", "4", "1"]}))
        np.testing.assert_array_equal(next(labels.animals()).points, [[1.5, 2, 2], [3, 4, 1]])

    def test_annotations_without_keypoints_are_counted(self, tmp_path: Path):
        labels = coco.read(file(tmp_path, {"bbox": [0, 0, 5, 5]}))
        assert not list(labels.animals()) and "Left out annotations without keypoints: 1." in labels.notes

    @pytest.mark.parametrize(
        "annotation",
        [
            {"keypoints": [1, 2, 2]},
            {"keypoints": [1, 2, 3, 4, 5, 2]},
            {"keypoints": "text"},
            {"keypoints": KEYPOINTS, "image_id": 9},
            {"keypoints": KEYPOINTS, "category_id": 9},
        ],
    )
    def test_annotations_that_lie(self, tmp_path: Path, annotation: dict[str, Any]):
        with pytest.raises(ValueError, match="every annotation must have"):
            coco.read(file(tmp_path, annotation))

    def test_a_file_that_is_none(self, tmp_path: Path):
        (tmp_path / "annotations.json").write_text("{}")
        with pytest.raises(ValueError, match="must be"):
            coco.read(tmp_path)

    def test_poses_of_a_model_are_predictions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        write_picture(tmp_path / "pictures/a.png")
        monkeypatch.chdir(tmp_path)
        pose = {"keypoints": [1, 2, 2, 3, 4, 2], "score": 0.5, "confidence": [0.75, 0.25], "bbox": [0, 0, 5, 5]}
        file(tmp_path / "poses", pose, "poses.json", file_name="pictures/a.png")
        labels = coco.read(tmp_path / "poses/poses.json")
        animal = next(labels.animals())
        assert animal.predicted and animal.score == 0.5
        np.testing.assert_allclose(animal.point_scores, [0.75, 0.25])
        assert (labels.root / labels.frames[0].picture).is_file()


class TestWriting:
    def test_what_it_writes_has_no_problem(self, real_data: Path, tmp_path: Path):
        samples = real_data / "native_samples"
        for name, labels in {
            "dlc": deeplabcut.read(samples / "dlc_multi/flies"),
            "package": sleap.read(samples / "sleap_pkg/flies.pkg.slp"),
            "film": sleap.read(samples / "sleap/slp_hdf5/dance.mp4.labels.slp", samples / "sleap/videos"),
            "cvat": cvat.read(samples / "cvat"),
        }.items():
            assert coco.write(labels, tmp_path / name) == []
            dataset = coco_folder.check_path(tmp_path / name)
            assert not dataset.problems and len(dataset.records) == len(list(labels.animals()))
            for record, animal in zip(dataset.records, labels.animals(), strict=True):
                np.testing.assert_allclose(record.keypoints, animal.points, atol=0.01)
            for written, category in zip(dataset.categories, labels.categories, strict=True):
                assert written.keypoints == category.keypoints
                assert links_of(written) == links_of(category) and pairs_of(written) == pairs_of(category)

    def test_film_and_frame_serve_as_group(self, real_data: Path, tmp_path: Path):
        samples = real_data / "native_samples/sleap"
        labels = sleap.read(samples / "slp_hdf5/dance.mp4.labels.slp", samples / "videos")
        coco.write(labels, tmp_path)
        options = coco_folder.Options(group_field="film")
        assert {record.group for record in coco_folder.read(options, tmp_path).records} == {"dance.mp4"}
        assert [frame.number for frame in coco.read(tmp_path).frames] == [0, 1, 2]

    def test_derived_boxes_stay_derived(self, tmp_path: Path):
        write_picture(tmp_path / "a.png")
        animal = Animal("mouse", points((9, 9, 2), (20, 20, 2), (0, 0, 0), (0, 0, 0)))
        coco.write(Labels(tmp_path, (MOUSE,), (Frame("a.png", (animal,)),)), tmp_path / "out")
        assert next(coco.read(tmp_path / "out").animals()).box is None

    def test_two_pictures_of_one_name_are_refused(self, tmp_path: Path):
        frames = tuple(Frame(f"{folder}/walk.mp4/1", (), "walk", 1) for folder in "ab")
        with pytest.raises(ValueError, match=r"several would be called walk/img0001\.png"):
            coco.write(Labels(tmp_path, (MOUSE,), frames), tmp_path / "out")
