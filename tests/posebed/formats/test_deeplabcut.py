from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from label_files import write_picture, write_table
from posebed.formats import deeplabcut
from posebed.formats.labels import Animal, Labels
from posebed.formats.table_projects import write_deeplabcut
from posebed.formats.tables import differences, read_csv, read_hdf5
from posebed.formats.to_dataset import to_dataset

FLIES = "head thorax abdomen wingL wingR forelegL4 forelegR4 midlegL4 midlegR4 hindlegL4 hindlegR4 eyeL eyeR"


@pytest.fixture
def samples(real_data: Path) -> Path:
    return real_data / "native_samples"


def point(labels: Labels, picture: str, name: str, track: str = "") -> np.ndarray:
    frame = next(frame for frame in labels.frames if frame.picture.endswith(picture))
    animal: Animal = next(animal for animal in frame.animals if not track or animal.track == track)
    return animal.points[labels.categories[0].keypoints.index(name)]


def single(folder: Path, *rows: str, parts: str = "snout,tail", picture: str = "img0001.png") -> Path:
    """A project of one animal in one picture."""
    cells = ",".join(f"{part},{part}" for part in parts.split(","))
    count = 2 * len(parts.split(","))
    head = ["scorer" + ",A" * count, f"bodyparts,{cells}", "coords" + ",x,y" * (count // 2)]
    write_picture(folder / "labeled-data/film" / picture)
    return write_table(folder / "labeled-data/film/CollectedData_A.csv", [*head, *rows])


class TestSamples:
    def test_one_animal_in_the_order_of_the_configuration(self, samples: Path):
        labels = deeplabcut.read(samples / "dlc_single")
        assert labels.categories[0].keypoints == ("snout", "leftear", "rightear", "tailbase")
        assert len(labels.frames) == len(list(labels.animals())) == 4
        np.testing.assert_allclose(point(labels, "img0000.png", "snout"), (21.521, 265.428, 2), atol=1e-3)
        np.testing.assert_allclose(point(labels, "img0005.png", "tailbase"), (131.177, 318.719, 2), atol=1e-3)
        np.testing.assert_allclose(point(labels, "img0070.png", "rightear"), (80.961, 76.349, 2), atol=1e-3)
        assert "leftear and rightear" in " ".join(labels.notes)

    def test_several_animals(self, samples: Path):
        labels = deeplabcut.read(samples / "dlc_multi/flies")
        assert labels.categories[0].keypoints == tuple(FLIES.split())
        assert (len(labels.frames), len(list(labels.animals())), len(labels.categories[0].limbs)) == (3, 6, 12)
        np.testing.assert_allclose(point(labels, "img0030.png", "head", "female"), (435.75, 415.75, 2), atol=1e-3)
        np.testing.assert_allclose(point(labels, "img0030.png", "thorax", "female"), (396.25, 422.75, 2), atol=1e-3)
        np.testing.assert_allclose(point(labels, "img0030.png", "head", "male"), (335.25, 444.75, 2), atol=1e-3)
        assert labels.flags() == {2: 77, 0: 1}
        assert [frame.number for frame in labels.frames] == [30, 700, 715]

    def test_unique_body_parts_are_no_animal(self, samples: Path):
        labels = deeplabcut.read(samples / "dlc_multi/unique")
        assert labels.categories[0].keypoints == ("A", "B", "C")
        assert (len(labels.frames), len(list(labels.animals()))) == (4, 5)
        assert {animal.track for animal in labels.animals()} == {"Animal1", "Animal2"}
        assert [set(frame.unique_points) for frame in labels.frames] == [set(), {"D", "E"}, set(), {"D", "E"}]
        assert labels.frames[1].unique_points["D"] == (22, 23)
        np.testing.assert_allclose(point(labels, "img000.png", "A", "Animal1"), (0, 1, 2))
        np.testing.assert_allclose(point(labels, "img001.png", "C", "Animal2"), (20, 21, 2))
        np.testing.assert_allclose(point(labels, "img003.png", "B", "Animal1"), (28, 29, 2))
        assert any("D, E" in note for note in labels.notes)

    @pytest.mark.parametrize("name", ["madlc_testdata.csv", "madlc_testdata_v2.csv"])
    def test_both_forms_of_the_index(self, samples: Path, name: str):
        labels = deeplabcut.read(samples / "dlc_multi/unique/labeled-data/video" / name)
        assert [frame.picture for frame in labels.frames][:2] == [f"labeled-data/video/img00{i}.png" for i in (0, 1)]
        assert len(list(labels.animals())) == 5

    @pytest.mark.parametrize("folder", ["dlc_single/labeled-data/m4s1", "dlc_multi/flies/labeled-data/clip"])
    def test_csv_and_hdf5_hold_the_same(self, samples: Path, folder: str):
        file = next((samples / folder).glob("*.csv"))
        assert differences(read_csv(file), read_hdf5(file.with_suffix(".h5"))) == []

    def test_a_changed_cell_is_told(self, samples: Path, tmp_path: Path):
        shutil.copytree(samples / "dlc_single", tmp_path / "project")
        file = tmp_path / "project/labeled-data/m4s1/CollectedData_Pranav.csv"
        file.write_text(file.read_text().replace("21.521", "31.521"))
        labels = deeplabcut.read(tmp_path / "project")
        note = next(note for note in labels.notes if "HDF5" in note)
        assert "1 place" in note and "snout/x" in note and "img0000.png" in note
        assert point(labels, "img0000.png", "snout")[0] == pytest.approx(31.521)

    def test_the_hdf5_of_the_labelling_tool(self, samples: Path, tmp_path: Path):
        """It has another key, and whole numbers in a block of their own."""
        pd = pytest.importorskip("pandas")
        pytest.importorskip("tables")
        file = samples / "dlc_multi/unique/labeled-data/video/CollectedData_LM.csv"
        table = pd.read_csv(file, header=[0, 1, 2, 3], index_col=[0, 1, 2])
        table.columns.names = [None] * 4
        table.iloc[:, :2] = 7
        table = table.astype({table.columns[0]: "int64"})
        out = tmp_path / "labeled-data/video/CollectedData_LM.h5"
        out.parent.mkdir(parents=True)
        table.to_hdf(out, key="keypoints", mode="w")
        found = read_hdf5(out)
        assert found.several and found.individuals() == ["Animal1", "Animal2", "single"]
        assert found.pictures == read_csv(file).pictures
        np.testing.assert_array_equal(found.values[:, 2:], read_csv(file).values[:, 2:])
        np.testing.assert_array_equal(found.values[:, :2], 7)

    def test_without_the_csv_the_hdf5_is_read(self, samples: Path, tmp_path: Path):
        shutil.copytree(samples / "dlc_multi/flies", tmp_path / "project")
        (tmp_path / "project/labeled-data/clip/CollectedData_sample.csv").unlink()
        labels = deeplabcut.read(tmp_path / "project")
        np.testing.assert_allclose(point(labels, "img0030.png", "head", "male"), (335.25, 444.75, 2), atol=1e-3)

    @pytest.mark.parametrize("place", ["dlc_single", "dlc_multi/flies", "dlc_multi/unique"])
    def test_they_become_a_dataset_without_problems(self, samples: Path, place: str):
        labels = deeplabcut.read(samples / place)
        dataset = to_dataset(labels, place)
        assert not dataset.problems
        assert len(dataset.records) == len(list(labels.animals()))
        assert len({record.record for record in dataset.records}) == len(dataset.records)
        assert {record.group for record in dataset.records} == {labels.frames[0].film}


class TestBadInput:
    def test_predictions(self, tmp_path: Path):
        head = ["scorer,A,A,A", "bodyparts,a,a,a", "coords,x,y,likelihood", "0,1,2,0.9"]
        file = write_table(tmp_path / "labeled-data/film/CollectedData_A.csv", head)
        with pytest.raises(ValueError, match="predictions"):
            deeplabcut.read(file)

    def test_one_coordinate_without_the_other(self, tmp_path: Path):
        file = single(tmp_path, "labeled-data/film/img0001.png,1,,3,4")
        with pytest.raises(ValueError, match=r"both x and y.*img0001.png snout"):
            deeplabcut.read(file)

    def test_a_picture_twice(self, tmp_path: Path):
        file = single(tmp_path, *["labeled-data/film/img0001.png,1,2,3,4"] * 2)
        with pytest.raises(ValueError, match="every picture once"):
            deeplabcut.read(file)

    def test_a_body_part_twice(self, tmp_path: Path):
        file = single(tmp_path, "labeled-data/film/img0001.png,1,2,3,4", parts="a,a")
        with pytest.raises(ValueError, match="every column once"):
            deeplabcut.read(file)

    @pytest.mark.parametrize("cell", ["x", "inf", "1e999"])
    def test_what_is_no_finite_number(self, tmp_path: Path, cell: str):
        file = single(tmp_path, f"labeled-data/film/img0001.png,{cell},2,3,4")
        with pytest.raises(ValueError, match="numbers"):
            deeplabcut.read(file)

    def test_a_row_that_is_too_long(self, tmp_path: Path):
        file = single(tmp_path, "labeled-data/film/img0001.png,1,2,3,4,5,6,7")
        with pytest.raises(ValueError, match="cells in every row"):
            deeplabcut.read(file)

    def test_individuals_without_names(self, tmp_path: Path):
        rows = ["scorer,A,A", "individuals,,", "bodyparts,a,a", "coords,x,y", "labeled-data/film/img1.png,1,2"]
        file = write_table(tmp_path / "labeled-data/film/CollectedData_A.csv", rows)
        with pytest.raises(ValueError, match="individual of every column"):
            deeplabcut.read(file)

    def test_two_scorers(self, tmp_path: Path):
        file = single(tmp_path, "labeled-data/film/img0001.png,1,2,3,4")
        shutil.copy(file, file.with_name("CollectedData_B.csv"))
        with pytest.raises(ValueError, match="one table of labels"):
            deeplabcut.read(tmp_path)
        (tmp_path / "config.yaml").write_text("scorer: B\nTask: mice\n")
        labels = deeplabcut.read(tmp_path)
        assert len(labels.frames) == 1 and "CollectedData_A" in " ".join(labels.notes)

    def test_an_hdf5_file_with_something_else(self, tmp_path: Path):
        (tmp_path / "labeled-data/film").mkdir(parents=True)
        file = tmp_path / "labeled-data/film/CollectedData_A.h5"
        file.write_bytes(b"nothing")
        with pytest.raises(ValueError, match="sound HDF5 file"):
            deeplabcut.read(file)
        h5py = pytest.importorskip("h5py")
        with h5py.File(file, "w") as other:
            other["df_with_missing/table"] = [1.0]
        with pytest.raises(ValueError, match="pandas' fixed form"):
            deeplabcut.read(file)

    def test_missing_pictures_are_told_together(self, tmp_path: Path):
        single(tmp_path, "labeled-data/film/img0001.png,1,2,3,4", "labeled-data/film/img0002.png,1,2,3,4")
        dataset = to_dataset(deeplabcut.read(tmp_path), "project")
        assert [problem.reason for problem in dataset.problems] == ["missing image"]
        assert "img0002.png" in dataset.problems[0].found

    def test_a_path_that_leaves_the_project(self, tmp_path: Path):
        single(tmp_path / "project", "../outside.png,1,2,3,4")
        write_picture(tmp_path / "outside.png")
        dataset = to_dataset(deeplabcut.read(tmp_path / "project"), "project")
        assert [problem.reason for problem in dataset.problems] == ["image path leaves its folder"]


class TestConfiguration:
    def test_it_gives_the_order_and_the_links(self, tmp_path: Path):
        single(tmp_path, "labeled-data/film/img0001.png,1,2,3,4")
        (tmp_path / "config.yaml").write_text("Task: mice\nbodyparts: [tail, snout]\nskeleton: [[tail, snout]]\n")
        labels = deeplabcut.read(tmp_path / "config.yaml")
        assert labels.categories[0].name == "mice"
        assert labels.categories[0].keypoints == ("tail", "snout") and labels.categories[0].limbs == ((0, 1),)
        np.testing.assert_array_equal(next(labels.animals()).points, [[3, 4, 2], [1, 2, 2]])

    def test_other_body_parts_than_the_tables_are_told(self, tmp_path: Path):
        single(tmp_path, "labeled-data/film/img0001.png,1,2,3,4")
        (tmp_path / "config.yaml").write_text("bodyparts: [tail, nose]\nskeleton: [[tail, nose]]\n")
        labels = deeplabcut.read(tmp_path)
        assert labels.categories[0].keypoints == ("snout", "tail")
        assert "config.yaml says tail, nose" in labels.notes[0] and "left out: 1" in labels.notes[1]
        assert labels.categories[0].limbs == ()

    def test_windows_paths(self, tmp_path: Path):
        single(tmp_path, "labeled-data\\film\\img0001.png,1,2,3,4")
        assert not to_dataset(deeplabcut.read(tmp_path), "project").problems


class TestWithoutOptionalPackages:
    def test_the_hdf5_needs_h5py(self, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(ValueError, match=r"pip install posebed\[formats\]"):
            deeplabcut.read(samples / "dlc_single/labeled-data/m4s1/CollectedData_Pranav.h5")

    def test_the_csv_needs_nothing(self, samples: Path, monkeypatch: pytest.MonkeyPatch):
        for name in ("h5py", "tables", "sleap_io"):
            monkeypatch.setitem(sys.modules, name, None)
        labels = deeplabcut.read(samples / "dlc_single")
        assert len(labels.frames) == 4 and "Not compared with its CSV file" in " ".join(labels.notes)

    def test_writing_needs_pytables(self, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        labels = deeplabcut.read(samples / "dlc_single")
        monkeypatch.setitem(sys.modules, "tables", None)
        with pytest.raises(ValueError, match="must be written by PyTables"):
            write_deeplabcut(labels, tmp_path)
