from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from label_files import write_picture
from posebed.formats import cvat
from posebed.formats.labels import Labels
from posebed.formats.to_dataset import to_dataset

SKELETON = """<label><name>mouse</name><type>skeleton</type><svg>
 &lt;line x1="1" data-type="edge" data-node-from="2" data-node-to="1"&gt;&lt;/line&gt;
 &lt;circle r="1" data-node-id="1" data-label-name="nose"&gt;&lt;/circle&gt;
 &lt;circle r="1" data-node-id="2" data-label-name="tail"&gt;&lt;/circle&gt;</svg></label>
<label><name>nose</name><type>points</type><parent>mouse</parent></label>
<label><name>tail</name><type>points</type><parent>mouse</parent></label>"""
POINTS = '<points label="tail" points="3.00,4.50" outside="0" occluded="1"/><points label="nose" points="1.00,2.00"/>'


def export(folder: Path, inside: str, labels: str = SKELETON, head: str = "") -> Path:
    meta = f"<meta><task>{head}<labels>{labels}</labels></task></meta>"
    (folder / "annotations.xml").write_text(f"<annotations><version>1.1</version>{meta}{inside}</annotations>")
    return folder


def image(inside: str, name: str = "a.png") -> str:
    return f'<image id="0" name="{name}" width="64" height="48">{inside}</image>'


class TestSample:
    @pytest.fixture
    def labels(self, real_data: Path) -> Labels:
        return cvat.read(real_data / "native_samples/cvat")

    def test_loose_points_are_tied_by_their_group(self, labels: Labels):
        assert [(c.name, c.keypoints) for c in labels.categories] == [
            ("towel", ("corner1", "corner2", "corner3", "corner4")),
            ("tshirt", ("waist_left", "waist_right", "shoulder_left", "shoulder_right")),
        ]
        of = {frame.picture: frame.animals for frame in labels.frames}
        assert [len(of[f"images/{name}"]) for name in ("1.png", "2.png", "3.jpeg", "4.png")] == [1, 1, 2, 1]
        np.testing.assert_allclose(of["images/1.png"][0].points[0], (234.80, 75.50, 2), atol=0.01)
        np.testing.assert_allclose(of["images/2.png"][0].points[1], (240.50, 141.82, 1), atol=0.01)
        waists = sorted(tuple(animal.points[0]) for animal in of["images/3.jpeg"])
        np.testing.assert_allclose(waists, [(40.73, 217.36, 2), (216.09, 219.05, 2)], atol=0.01)
        assert labels.flags()[1] == 2

    def test_its_boxes_are_kept(self, labels: Labels):
        assert labels.frames[0].animals[0].box == pytest.approx((192.41, 35.99, 252.02, 191.45))
        dataset = to_dataset(labels, "annotations.xml")
        assert len(dataset.records) == 5 and not dataset.problems
        assert not any("derived" in note for note in dataset.notes)

    def test_no_annotator_is_named(self, labels: Labels):
        assert "annotator" not in repr(labels)

    def test_half_a_pixel_on_demand(self, real_data: Path, labels: Labels):
        shifted = cvat.read(real_data / "native_samples/cvat", half_pixel=True)
        for one, other in zip(labels.animals(), shifted.animals(), strict=True):
            there = one.points[:, 2] > 0
            np.testing.assert_allclose(one.points[there] - other.points[there], [[0.5, 0.5, 0]] * there.sum())
            assert np.subtract(one.box, other.box) == pytest.approx((0.5, 0.5, 0, 0))
        assert any("Half a pixel" in note for note in shifted.notes)


class TestSkeletons:
    def test_order_links_and_flags(self, tmp_path: Path):
        write_picture(tmp_path / "images/a.png")
        labels = cvat.read(export(tmp_path, image(f'<skeleton label="mouse">{POINTS}</skeleton>')))
        assert labels.categories[0].keypoints == ("nose", "tail") and labels.categories[0].limbs == ((1, 0),)
        np.testing.assert_array_equal(next(labels.animals()).points, [[1, 2, 2], [3, 4.5, 1]])
        assert not to_dataset(labels, "annotations.xml").problems

    def test_outside_is_unlabelled(self, tmp_path: Path):
        points = POINTS.replace('outside="0"', 'outside="1"')
        labels = cvat.read(export(tmp_path, image(f'<skeleton label="mouse">{points}</skeleton>')))
        np.testing.assert_array_equal(next(labels.animals()).points, [[1, 2, 2], [0, 0, 0]])

    def test_an_object_outside_of_its_picture_is_counted(self, tmp_path: Path):
        point = '<points label="nose" points="1.00,2.00" outside="1"/>'
        labels = cvat.read(export(tmp_path, image(f'<skeleton label="mouse">{point}</skeleton>')))
        assert "Objects without a point in their picture, left out: 1." in labels.notes

    def test_pictures_without_labels_stay(self, tmp_path: Path):
        labels = cvat.read(export(tmp_path, image(f'<skeleton label="mouse">{POINTS}</skeleton>') + image("", "b.png")))
        assert [frame.picture for frame in labels.frames] == ["a.png", "b.png"]


class TestFilm:
    def track(self, *frames: tuple[int, int]) -> str:
        skeletons = "".join(f'<skeleton frame="{f}" keyframe="{key}">{POINTS}</skeleton>' for f, key in frames)
        return f'<track id="7" label="mouse">{skeletons}</track>'

    def test_only_frames_that_a_person_set(self, tmp_path: Path):
        head = "<source>walk.mp4</source><start_frame>10</start_frame><frame_filter>step=5</frame_filter>"
        labels = cvat.read(export(tmp_path, self.track((0, 1), (1, 0), (2, 1)), head=head))
        assert [(frame.film, frame.number) for frame in labels.frames] == [("walk.mp4", 10), ("walk.mp4", 20)]
        assert [animal.track for animal in labels.animals()] == ["7", "7"]
        assert "Interpolated frames of tracks, left out: 1." in labels.notes
        assert list(labels.missing) == ["walk.mp4"]


class TestBadInput:
    def test_entities(self, tmp_path: Path):
        text = '<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'
        (tmp_path / "annotations.xml").write_text(text)
        with pytest.raises(ValueError, match="declares a document type"):
            cvat.read(tmp_path)

    @pytest.mark.parametrize("text", ["<annotations>", "<annotations><a:b/></annotations>", ""])
    def test_broken_xml(self, tmp_path: Path, text: str):
        (tmp_path / "annotations.xml").write_text(text)
        with pytest.raises(ValueError, match="cannot be read"):
            cvat.read(tmp_path)

    def test_a_point_twice_in_one_group(self, tmp_path: Path):
        point = '<points label="mouse.nose" points="1,2"/>'
        with pytest.raises(ValueError, match=r"nose more than once in the shapes without a group"):
            cvat.read(export(tmp_path, image(point * 2)))

    @pytest.mark.parametrize(
        ("points", "what"),
        [("1,x", "must give x,y"), ("1", "must give x,y"), ("1,2;3,4", "one point in a shape")],
    )
    def test_coordinates(self, tmp_path: Path, points: str, what: str):
        with pytest.raises(ValueError, match=what):
            cvat.read(export(tmp_path, image(f'<points label="mouse.nose" points="{points}"/>')))

    def test_neither_pictures_nor_tracks(self, tmp_path: Path):
        with pytest.raises(ValueError, match="holds neither"):
            cvat.read(export(tmp_path, ""))

    def test_a_path_that_leaves_the_folder(self, tmp_path: Path):
        (tmp_path / "project").mkdir()
        write_picture(tmp_path / "outside.png")
        inside = image(f'<skeleton label="mouse">{POINTS}</skeleton>', "../outside.png")
        dataset = to_dataset(cvat.read(export(tmp_path / "project", inside)), "annotations.xml")
        assert [problem.reason for problem in dataset.problems] == ["image path leaves its folder"]
