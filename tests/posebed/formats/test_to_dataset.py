from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from label_files import MOUSE, drawn_labels, points, with_pictures
from posebed.formats.labels import Animal, Frame, Labels
from posebed.formats.to_dataset import derived_box, identities, to_dataset

PLACED = points((10, 12, 2), (20, 30, 1), (0, 0, 0), (14, 16, 2))


@given(drawn_labels())
def test_a_derived_box_holds_every_point(labels: Labels):
    for animal in labels.animals():
        x, y, width, height = derived_box(animal.points) or (0, 0, 0, 0)
        labelled = animal.points[animal.points[:, 2] > 0, :2]
        assert (labelled >= (x + 5 - 1e-9, y + 5 - 1e-9)).all()
        assert (labelled <= (x + width - 5 + 1e-9, y + height - 5 + 1e-9)).all()


def test_an_animal_without_a_point_has_no_box():
    assert derived_box(np.zeros((4, 3))) is None


def test_a_derived_box_ends_at_the_edges_of_its_picture():
    assert derived_box(PLACED, (22, 33)) == (5, 7, 17, 26)
    outside = points((100, 100, 2), (90, 90, 2), (0, 0, 0), (0, 0, 0))
    assert derived_box(outside, (22, 33)) == derived_box(outside)


def test_stated_boxes_stay_and_derived_ones_are_told(tmp_path: Path):
    animals = (Animal("mouse", PLACED, box=(1, 2, 30, 40)), Animal("mouse", PLACED))
    labels = with_pictures(Labels(tmp_path, (MOUSE,), (Frame("a.png", animals),)), tmp_path)
    dataset = to_dataset(labels, "labels")
    assert dataset.records[0].box == (1, 2, 30, 40)
    assert any(note.startswith("Boxes derived from the points") and note.endswith(": 1.") for note in dataset.notes)
    np.testing.assert_allclose(dataset.records[0].keypoints, PLACED)


def test_identities_stay_when_pictures_are_added():
    frame = Frame("a.png", (Animal("mouse", PLACED, "m1"), Animal("mouse", PLACED), Animal("mouse", PLACED)))
    assert identities(frame) == ["a.png:m1", "a.png:1", "a.png:2"]
    twice = Frame("a.png", (Animal("mouse", PLACED, "m1"), Animal("mouse", PLACED, "m1")))
    assert identities(twice) == ["a.png:0", "a.png:1"]


def test_pictures_of_no_film_are_groups_of_their_own(tmp_path: Path):
    animal = Animal("mouse", PLACED)
    frames = (Frame("a.png", (animal,)), Frame("b.png", (animal,)), Frame("c.png", (animal,), "walk", 7))
    labels = with_pictures(Labels(tmp_path, (MOUSE,), frames), tmp_path)
    assert [r.group for r in to_dataset(labels, "labels").records] == ["a.png", "b.png", "walk"]
    assert [r.group for r in to_dataset(labels, "labels", run=5).records] == ["a.png", "b.png", "walk/1"]


def test_frames_beyond_the_end_of_a_film_are_told(real_data: Path):
    root = real_data / "native_samples/sleap/videos"
    frames = tuple(Frame(f"dance.mp4/{n}", (Animal("mouse", PLACED),), "dance.mp4", n) for n in (449, 450))
    dataset = to_dataset(Labels(root, (MOUSE,), frames), "labels")
    assert len(dataset.records) == 1
    assert [(p.reason, "the film ends after 450 frames" in p.found) for p in dataset.problems] == [
        ("missing image", True)
    ]


def test_films_that_are_missing_are_told_together(tmp_path: Path):
    labels = Labels(tmp_path, (MOUSE,), (), missing={"a.mp4": "here", "b.mp4": "here"})
    with pytest.raises(ValueError, match=r"not found: a\.mp4, b\.mp4; looked for in here; put them there"):
        to_dataset(labels, "labels")


def test_a_size_that_is_not_the_pictures_is_a_problem(tmp_path: Path):
    labels = with_pictures(
        Labels(tmp_path, (MOUSE,), (Frame("a.png", (Animal("mouse", PLACED),), size=(9, 9)),)), tmp_path
    )
    assert [problem.reason for problem in to_dataset(labels, "labels").problems] == ["image size differs"]
