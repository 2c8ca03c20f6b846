"""Labels that are written in any format read back as they were, as far as the format can hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from label_files import MOUSE, drawn_labels, links_of, must_agree, pairs_of, points, with_pictures
from posebed.formats import coco, deeplabcut, lightning_pose, sleap, sleap_writer, table_projects, yolo
from posebed.formats.labels import Animal, Frame, Labels
from posebed.formats.tables import differences, read_csv, read_hdf5

few = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def there_and_back(
    labels: Labels, write: Callable[[Labels, Path], object], read: Callable[[Path], Labels], name: str = "out"
) -> Labels:
    with TemporaryDirectory() as folder:
        with_pictures_there = with_pictures(labels, Path(folder))
        write(with_pictures_there, Path(folder) / name)
        return read(Path(folder) / name)


@few
@given(drawn_labels(boxes=True))
def test_coco(labels: Labels):
    read = there_and_back(labels, coco.write, coco.read)
    must_agree(labels, read)
    assert read.categories == labels.categories
    assert [animal.box for animal in read.animals()] == [animal.box for animal in labels.animals()]


@few
@given(drawn_labels())
def test_sleap(labels: Labels):
    read = there_and_back(labels, sleap_writer.write, sleap.read, "out.slp")
    must_agree(labels, read)
    assert links_of(read.categories[0]) == links_of(MOUSE) and pairs_of(read.categories[0]) == pairs_of(MOUSE)


@few
@given(drawn_labels())
def test_sleap_package(labels: Labels):
    must_agree(labels, there_and_back(labels, sleap_writer.write_package, sleap.read, "out.pkg.slp"))


@few
@given(drawn_labels())
def test_deeplabcut_keeps_all_but_hidden_points(labels: Labels):
    read = there_and_back(labels, table_projects.write_deeplabcut, deeplabcut.read)
    must_agree(labels, read, flags=False)
    assert read.flags()[1] == 0
    if read.categories[0].limbs:
        assert links_of(read.categories[0]) == links_of(MOUSE)
    assert pairs_of(read.categories[0]) == pairs_of(MOUSE)


@few
@given(drawn_labels(most_animals=1, tracks=False))
def test_deeplabcut_of_one_animal(labels: Labels):
    must_agree(labels, there_and_back(labels, table_projects.write_deeplabcut, deeplabcut.read), flags=False)


@few
@given(drawn_labels(most_animals=1, tracks=False))
def test_lightning_pose(labels: Labels):
    must_agree(labels, there_and_back(labels, table_projects.write_lightning_pose, lightning_pose.read))


@few
@given(drawn_labels(tracks=False, boxes=True))
def test_yolo(labels: Labels):
    read = there_and_back(labels, yolo.write, yolo.read)
    by_number = {int(frame.picture[-8:-4]): frame for frame in read.frames}
    ordered = replace(read, frames=tuple(by_number[frame.number or 0] for frame in labels.frames))
    numbered = replace(ordered, frames=tuple(replace(f, number=int(f.picture[-8:-4])) for f in ordered.frames))
    must_agree(labels, numbered)
    assert pairs_of(read.categories[0]) == pairs_of(MOUSE)
    for one, other in zip(labels.animals(), numbered.animals(), strict=True):
        assert one.box == pytest.approx(other.box, abs=0.01)


@few
@given(drawn_labels(), st.data())
def test_csv_and_hdf5_of_a_project_agree(labels: Labels, data: st.DataObject):
    with TemporaryDirectory() as folder:
        table_projects.write_deeplabcut(with_pictures(labels, Path(folder)), Path(folder) / "out")
        file = next((Path(folder) / "out").rglob("*.csv"))
        assert differences(read_csv(file), read_hdf5(file.with_suffix(".h5"))) == []


class TestDeepLabCutProjects:
    def test_predictions_are_machine_labels(self, tmp_path: Path):
        placed = points((1, 2, 2), (3, 4, 2), (0, 0, 0), (5, 6, 2))
        posed = Animal("mouse", placed, predicted=True, score=0.5, point_scores=np.array([0.9, 0.8, 0.0, 0.7]))
        by_hand = Animal("mouse", placed)
        frames = (Frame("film/img0001.png", (posed,), "film", 1), Frame("film/img0002.png", (by_hand,), "film", 2))
        labels = with_pictures(Labels(tmp_path, (MOUSE,), frames), tmp_path)
        table_projects.write_deeplabcut(labels, tmp_path / "out")
        folder = tmp_path / "out/labeled-data/film"
        assert {file.name for file in folder.glob("*.csv")} == {"CollectedData_posebed.csv", "machinelabels.csv"}
        assert (folder / "machinelabels-iter0.h5").is_file()
        head = (folder / "machinelabels.csv").read_text().splitlines()
        assert head[2].startswith("coords,,,x,y,likelihood") and "1.0,2.0,0.9" in head[3] and "img0001.png" in head[3]
        assert [frame.number for frame in deeplabcut.read(tmp_path / "out").frames] == [2]
        with pytest.raises(ValueError, match="predictions"):
            deeplabcut.read(folder / "machinelabels.csv")

    def test_unique_points_survive(self, real_data: Path, tmp_path: Path):
        labels = deeplabcut.read(real_data / "native_samples/dlc_multi/unique")
        table_projects.write_deeplabcut(labels, tmp_path)
        read = deeplabcut.read(tmp_path)
        must_agree(labels, read)
        assert [frame.unique_points for frame in read.frames] == [frame.unique_points for frame in labels.frames]

    def test_what_is_lost_is_counted(self, tmp_path: Path):
        animal = Animal("mouse", points((1, 2, 1), (3, 4, 2), (0, 0, 0), (5, 6, 1)), box=(0, 0, 9, 9))
        labels = with_pictures(Labels(tmp_path, (MOUSE,), (Frame("film/img1.png", (animal, animal)),)), tmp_path)
        notes = " ".join(table_projects.write_deeplabcut(labels, tmp_path / "out"))
        assert "Boxes, which the format cannot hold: 2." in notes
        assert "Hidden points, which become visible ones: 4." in notes
        assert "individual1 and so on within their picture: 2." in notes

    def test_several_animals_are_none_of_lightning_pose(self, tmp_path: Path):
        animal = Animal("mouse", points((1, 2, 2), (3, 4, 2), (0, 0, 0), (5, 6, 2)))
        labels = Labels(tmp_path, (MOUSE,), (Frame("a.png", (animal, animal)),))
        with pytest.raises(ValueError, match="1 pictures have more"):
            table_projects.write_lightning_pose(labels, tmp_path / "out")


@pytest.mark.parametrize("sample", ["dlc_single", "dlc_multi/flies"])
def test_real_samples_through_every_format(real_data: Path, tmp_path: Path, sample: str):
    labels = deeplabcut.read(real_data / "native_samples" / sample)
    for name, write, read in (
        ("coco", coco.write, coco.read),
        ("out.slp", sleap_writer.write, lambda path: sleap.read(path, labels.root)),
        ("out.pkg.slp", sleap_writer.write_package, sleap.read),
        ("dlc", table_projects.write_deeplabcut, deeplabcut.read),
    ):
        write(labels, tmp_path / name)
        again = read(tmp_path / name)
        must_agree(labels, again)
        assert links_of(again.categories[0]) == links_of(labels.categories[0])
        assert pairs_of(again.categories[0]) == pairs_of(labels.categories[0])


@pytest.mark.parametrize(
    "write", [coco.write, yolo.write, table_projects.write_deeplabcut, table_projects.write_lightning_pose]
)
@pytest.mark.parametrize("picture", ["../a.png", "film/../../a.png", "/a.png"])
def test_nothing_is_written_outside(tmp_path: Path, write: Callable[[Labels, Path], object], picture: str):
    animal = Animal("mouse", points((1, 2, 2), (3, 4, 2), (0, 0, 0), (5, 6, 2)))
    labels = Labels(tmp_path, (MOUSE,), (Frame(picture, (animal,), size=(64, 48)),))
    with pytest.raises(ValueError, match="their paths lead out"):
        write(labels, tmp_path / "a/out")
    assert not list(tmp_path.rglob("*.*"))
