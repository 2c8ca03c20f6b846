from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from label_files import MOUSE, NAMES, links_of, pairs_of, points, write_picture
from posebed.data.images import Images
from posebed.formats import deeplabcut, sleap, sleap_writer
from posebed.formats.labels import Animal, Frame, Labels
from posebed.formats.to_dataset import to_dataset
from posebed.records import Category

sleap_io = pytest.importorskip("sleap_io")

DANCER = "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist"


@pytest.fixture
def samples(real_data: Path) -> Path:
    return real_data / "native_samples"


class TestSamples:
    def test_of_a_prediction_and_its_correction_the_correction_is_read(self, samples: Path):
        labels = sleap.read(samples / "sleap/slp_hdf5/dance.mp4.labels.slp", samples / "sleap/videos")
        assert labels.categories[0].keypoints[:10] == tuple(DANCER.split())
        assert (len(labels.categories[0].keypoints), len(labels.categories[0].limbs)) == (17, 15)
        assert len(list(labels.animals())) == len(labels.frames) == 3
        assert "Predictions, left out: 450." in labels.notes
        first = labels.frames[0]
        assert (first.picture, first.film, first.number) == ("videos/dance.mp4/0", "dance.mp4", 0)
        np.testing.assert_allclose(first.animals[0].points[0], (193.833, 230.052, 2), atol=1e-3)
        np.testing.assert_allclose(first.animals[0].points[1], (212.950, 215.300, 2), atol=1e-3)
        assert labels.flags() == {2: 48, 1: 3}
        dataset = to_dataset(labels, "dance")
        assert len(dataset.records) == 3 and not dataset.problems
        assert {(r.width, r.height, r.group) for r in dataset.records} == {(406, 720, "dance.mp4")}

    def test_runs_of_frames_are_groups(self, samples: Path):
        labels = sleap.read(samples / "sleap/slp_hdf5/dance.mp4.labels.slp", samples / "sleap/videos")
        groups = [record.group for record in to_dataset(labels, "dance", run=2).records]
        assert groups == ["dance.mp4/0", "dance.mp4/0", "dance.mp4/1"]

    def test_the_order_is_that_of_the_skeleton(self, samples: Path):
        files = {"sleap/slp_hdf5/minimal_instance.slp": samples / "sleap/json_format_v1"}
        for name, films in {**files, "sleap_pkg/minimal_instance.pkg.slp": None}.items():
            labels = sleap.read(samples / name, films)
            assert labels.categories[0].keypoints == ("A", "B") and len(list(labels.animals())) == 2
            np.testing.assert_allclose(labels.frames[0].animals[0].points[0], (92.652, 202.726, 2), atol=1e-3)
            np.testing.assert_allclose(labels.frames[0].animals[0].points[1], (152.342, 158.424, 2), atol=1e-3)
            dataset = to_dataset(labels, name)
            assert not dataset.problems and dataset.records[0].width == 384

    def test_a_package(self, samples: Path):
        labels = sleap.read(samples / "sleap_pkg/flies.pkg.slp")
        category = labels.categories[0]
        assert (len(category.keypoints), len(category.limbs)) == (13, 12)
        assert category.flip_pairs == ((3, 4), (5, 6), (7, 8), (9, 10), (11, 12))
        assert [frame.number for frame in labels.frames] == [30, 700, 715]
        assert {animal.track for animal in labels.animals()} == {"female", "male"}
        tracks = {animal.track: animal.points for animal in labels.frames[0].animals}
        np.testing.assert_allclose(tracks["male"][0], (335.25, 444.75, 2), atol=1e-3)
        np.testing.assert_allclose(tracks["female"][2], (360.25, 427.25, 2), atol=1e-3)
        dataset = to_dataset(labels, "flies.pkg.slp")
        assert len(dataset.records) == 6 and not dataset.problems
        assert {(record.width, record.height) for record in dataset.records} == {(1024, 1024)}

    def test_the_half_pixel_of_old_files(self, samples: Path):
        old, new = (
            sleap.read(samples / f"sleap/test_grid/test_grid_labels.{form}.h5") for form in ("legacy", "midpoint")
        )
        place = new.categories[0].keypoints.index("(0, 0)")
        np.testing.assert_allclose(next(new.animals()).points[place], (0, 0, 2), atol=1e-6)
        np.testing.assert_allclose(next(old.animals()).points[place], (-0.5, -0.5, 2), atol=1e-6)
        shift = next(new.animals()).points - next(old.animals()).points
        np.testing.assert_allclose(shift, [[0.5, 0.5, 0]] * 3, atol=1e-6)

    def test_a_film_that_is_missing_is_told_and_labels_stay_usable(self, samples: Path):
        labels = sleap.read(samples / "sleap/slp_hdf5/dance.mp4.labels.slp")
        assert list(labels.missing) == ["dance.mp4"] and len(list(labels.animals())) == 3
        with pytest.raises(ValueError, match=r"were not found: dance.mp4; looked for in .*slp_hdf5"):
            to_dataset(labels, "dance")

    def test_they_are_the_labels_that_deeplabcut_has(self, samples: Path):
        ours, theirs = sleap.read(samples / "sleap_pkg/flies.pkg.slp"), deeplabcut.read(samples / "dlc_multi/flies")
        for one, other in zip(ours.frames, theirs.frames, strict=True):
            tracks = {animal.track: animal.points for animal in other.animals}
            for animal in one.animals:
                both = (animal.points[:, 2] > 0) & (tracks[animal.track][:, 2] > 0)
                np.testing.assert_allclose(animal.points[both], tracks[animal.track][both], atol=0.01)


def labels_in(root: Path, category: Category = MOUSE, **other: object) -> Labels:
    """Two pictures of two animals each, one point hidden and one not labelled."""
    frames = []
    for number in (3, 8):
        write_picture(root / f"film/img{number:04d}.png", value=10 * number)
        animals = tuple(
            Animal(category.key, points((1.5, 2.25, 2), (3, 4, 1), (0, 0, 0), (x, 6, 2)), f"m{x}") for x in (5, 7)
        )
        frames.append(Frame(f"film/img{number:04d}.png", animals, "film", number))
    return Labels(root, (category,), tuple(frames))


class TestWriting:
    @pytest.mark.parametrize("name", ["out.slp", "out.pkg.slp"])
    def test_everything_survives(self, tmp_path: Path, name: str):
        labels = labels_in(tmp_path)
        write = sleap_writer.write_package if "pkg" in name else sleap_writer.write
        assert write(labels, tmp_path / name) == []
        read = sleap.read(tmp_path / name)
        assert read.categories[0].keypoints == NAMES
        assert links_of(read.categories[0]) == links_of(MOUSE) and pairs_of(read.categories[0]) == pairs_of(MOUSE)
        assert [(frame.film, frame.number) for frame in read.frames] == [("film", 3), ("film", 8)]
        for one, other in zip(labels.animals(), read.animals(), strict=True):
            np.testing.assert_allclose(one.points, other.points, atol=1e-6)
            assert one.track == other.track
        assert not to_dataset(read, name).problems

    def test_the_pictures_of_a_package_are_the_same(self, tmp_path: Path):
        labels = labels_in(tmp_path)
        sleap_writer.write_package(labels, tmp_path / "out.pkg.slp")
        images = Images(tmp_path)
        for one, other in zip(labels.frames, sleap.read(tmp_path / "out.pkg.slp").frames, strict=True):
            np.testing.assert_array_equal(images.decode(one.picture), images.decode(other.picture))
        theirs = sleap_io.load_slp(tmp_path / "out.pkg.slp")
        np.testing.assert_array_equal(theirs[1].image, images.decode("film/img0008.png"))

    def test_frames_of_a_film_go_into_a_package_by_exact_count(self, real_data: Path, tmp_path: Path):
        samples = real_data / "native_samples/sleap"
        labels = sleap.read(samples / "slp_hdf5/dance.mp4.labels.slp", samples / "videos")
        sleap_writer.write_package(labels, tmp_path / "out.pkg.slp")
        read = sleap.read(tmp_path / "out.pkg.slp")
        for one, other in zip(labels.frames, read.frames, strict=True):
            picture = Images(labels.root).decode(one.picture)
            np.testing.assert_array_equal(picture, Images(tmp_path).decode(other.picture))

    def test_predictions_become_predicted_instances(self, tmp_path: Path):
        labels = labels_in(tmp_path)
        posed = Animal("mouse", points((1, 2, 2), (3, 4, 2), (0, 0, 0), (5, 6, 2)), predicted=True, score=0.75)
        scored = Animal(**{**posed.__dict__, "point_scores": np.array([0.5, 0.25, 0, 1])})
        frame = Frame("film/img0003.png", (*labels.frames[0].animals[:1], scored), "film", 3)
        sleap_writer.write(Labels(tmp_path, (MOUSE,), (frame,)), tmp_path / "out.slp")
        theirs = sleap_io.load_slp(tmp_path / "out.slp", open_videos=False)
        assert (len(theirs[0].user_instances), len(theirs[0].predicted_instances)) == (1, 1)
        assert theirs[0].predicted_instances[0].score == pytest.approx(0.75)
        np.testing.assert_allclose(theirs[0].predicted_instances[0].points["score"], [0.5, 0.25, 0, 1])
        assert len(list(sleap.read(tmp_path / "out.slp").animals())) == 1

    def test_predictions_alone_are_no_labels(self, tmp_path: Path):
        labels = labels_in(tmp_path)
        posed = Animal("mouse", labels.frames[0].animals[0].points, predicted=True)
        sleap_writer.write(Labels(tmp_path, (MOUSE,), (Frame("film/img0003.png", (posed,)),)), tmp_path / "out.slp")
        with pytest.raises(ValueError, match="only predictions: 1"):
            sleap.read(tmp_path / "out.slp")

    def test_a_picture_in_a_package_cannot_be_named(self, real_data: Path, tmp_path: Path):
        labels = sleap.read(real_data / "native_samples/sleap_pkg/flies.pkg.slp")
        with pytest.raises(ValueError, match=r"write a \.pkg\.slp"):
            sleap_writer.write(labels, tmp_path / "out.slp")

    def test_pictures_that_are_missing_cannot_be_embedded(self, tmp_path: Path):
        labels = Labels(tmp_path, (MOUSE,), (Frame("img1.png"), Frame("img2.png")))
        with pytest.raises(ValueError, match="2 were not found"):
            sleap_writer.write_package(labels, tmp_path / "out.pkg.slp")

    def test_a_cycle_of_links_is_told(self, tmp_path: Path):
        ring = Category("mouse", "mouse", NAMES, limbs=((0, 1), (1, 2), (2, 0)))
        labels = labels_in(tmp_path, ring)
        assert any("cycle" in note for note in sleap_writer.write(labels, tmp_path / "out.slp"))
        assert links_of(sleap.read(tmp_path / "out.slp").categories[0]) == links_of(ring)

    def test_several_skeletons(self, tmp_path: Path):
        rat = Category("rat", "rat", ("a", "b", "c", "d"))
        labels = labels_in(tmp_path)
        other = Animal("rat", points((1, 2, 2), (3, 4, 2), (5, 6, 2), (7, 8, 2)))
        frame = Frame("film/img0003.png", (labels.frames[0].animals[0], other), "film", 3)
        sleap_writer.write(Labels(tmp_path, (MOUSE, rat), (frame,)), tmp_path / "out.slp")
        read = sleap.read(tmp_path / "out.slp")
        assert [category.name for category in read.categories] == ["mouse", "rat"]
        assert [animal.category for animal in read.animals()] == ["mouse", "rat"]


class TestBadInput:
    def skeleton(self, tmp_path: Path, nodes: list[str]) -> Path:
        skeleton = sleap_io.Skeleton(nodes)
        video = sleap_io.Video(filename="C:\\films\\walk.mp4", open_backend=False)
        instance = sleap_io.Instance.from_numpy(np.ones((len(nodes), 2)), skeleton=skeleton)
        frame = sleap_io.LabeledFrame(video=video, frame_idx=4, instances=[instance])
        sleap_io.save_slp(sleap_io.Labels([frame]), str(tmp_path / "out.slp"), embed=False, verbose=False)
        return tmp_path / "out.slp"

    def test_a_name_twice(self, tmp_path: Path):
        with pytest.raises(ValueError, match="names that differ, but 'a'"):
            sleap.read(self.skeleton(tmp_path, ["a", "a"]))

    def test_a_film_of_windows_is_found_by_its_name(self, tmp_path: Path):
        file = self.skeleton(tmp_path, ["a", "b"])
        assert sleap.read(file).missing.keys() == {"walk.mp4"}
        (tmp_path / "videos").mkdir()
        (tmp_path / "videos/walk.mp4").touch()
        labels = sleap.read(file)
        assert not labels.missing and labels.frames[0].picture == "videos/walk.mp4/4"

    def test_no_sleap_file(self, tmp_path: Path):
        (tmp_path / "out.slp").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="must be a sound HDF5 file"):
            sleap.read(tmp_path / "out.slp")

    def test_a_table_that_cannot_be_in_the_file(self, tmp_path: Path):
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "out.slp", "w") as file:
            file.create_dataset("points", shape=(10**10,), dtype="f8", chunks=(1000,))
        with pytest.raises(ValueError, match=r"points must fit .* states 80\.0 GB"):
            sleap.read(tmp_path / "out.slp")

    def test_an_export_of_predictions(self, tmp_path: Path):
        assert sleap.recognises(tmp_path / "a.analysis.h5")
        with pytest.raises(ValueError, match="export of predictions"):
            sleap.read(tmp_path / "a.analysis.h5")

    def test_several_files(self, tmp_path: Path):
        (tmp_path / "a.slp").touch()
        (tmp_path / "b.slp").touch()
        with pytest.raises(ValueError, match=r"one \.slp file, but holds a.slp, b.slp"):
            sleap.read(tmp_path)

    def test_without_sleap_io(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(__import__("sys").modules, "sleap_io", None)
        (tmp_path / "a.slp").touch()
        with pytest.raises(ValueError, match=r"pip install posebed\[formats\]"):
            sleap.read(tmp_path / "a.slp")
