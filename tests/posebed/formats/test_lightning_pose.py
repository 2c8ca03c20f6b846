from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from label_files import write_picture, write_table
from posebed.formats import deeplabcut, lightning_pose
from posebed.formats.to_dataset import to_dataset


def test_the_sample(real_data: Path):
    labels = lightning_pose.read(real_data / "native_samples/lightning_pose")
    assert labels.categories[0].keypoints == ("snout", "leftear", "rightear", "tailbase")
    assert [frame.number for frame in labels.frames] == [3, 52, 72]
    found = [frame.animals[0].points for frame in labels.frames]
    np.testing.assert_allclose(found[0][0], (73.787, 374.572, 2), atol=1e-3)
    np.testing.assert_allclose(found[1][3], (134.764, 84.035, 2), atol=1e-3)
    np.testing.assert_allclose(found[2][1], (100.432, 75.837, 2), atol=1e-3)
    dataset = to_dataset(labels, "CollectedData.csv")
    assert len(dataset.records) == 3 and not dataset.problems


def test_predictions_are_refused(real_data: Path):
    file = real_data / "native_samples/lightning_pose/video_preds/ibl_paw_left.csv"
    assert lightning_pose.recognises(file) and not deeplabcut.recognises(file)
    with pytest.raises(ValueError, match="table of predictions"):
        lightning_pose.read(file)


def project(folder: Path, *rows: str) -> Path:
    write_picture(folder / "labeled-data/film/img1.png")
    head = ["scorer,A,A,A,A,A,A", "bodyparts,a,a,a,b,b,b", "coords,x,y,visible,x,y,visible"]
    write_table(folder / "CollectedData.csv", [*head, *rows])
    return folder


def test_the_column_visible(tmp_path: Path):
    rows = ("labeled-data/film/img1.png,1,2,1,3,4,2", "labeled-data/film/img2.png,,,0,3,4,2")
    labels = lightning_pose.read(project(tmp_path, *rows))
    first, second = (frame.animals[0].points for frame in labels.frames)
    np.testing.assert_array_equal(first, [[1, 2, 1], [3, 4, 2]])
    np.testing.assert_array_equal(second, [[0, 0, 0], [3, 4, 2]])


def test_another_flag_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="0, 1 or 2 as visible"):
        lightning_pose.read(project(tmp_path, "labeled-data/film/img1.png,1,2,3,3,4,2"))


def test_tables_of_several_cameras(tmp_path: Path):
    project(tmp_path, "labeled-data/film/img1.png,1,2,2,3,4,2")
    text = (tmp_path / "CollectedData.csv").read_text()
    (tmp_path / "CollectedData_top.csv").write_text(text.replace("film/", "top/"))
    (tmp_path / "CollectedData.csv").unlink()
    (tmp_path / "CollectedData_side.csv").write_text(text)
    labels = lightning_pose.read(tmp_path)
    assert len(labels.frames) == 2 and "2 cameras" in " ".join(labels.notes)
