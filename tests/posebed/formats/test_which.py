from __future__ import annotations

from pathlib import Path

import pytest

from label_files import MOUSE
from posebed.formats.labels import Labels, found_in, tails
from posebed.formats.which import FORMATS, format_of, read_labels, writer_for

SAMPLES = {
    "cvat": "cvat",
    "cvat/annotations.xml": "cvat",
    "cvat/coco.json": "coco",
    "dlc_single": "deeplabcut",
    "dlc_single/config.yaml": "deeplabcut",
    "dlc_single/labeled-data": "deeplabcut",
    "dlc_single/labeled-data/m4s1/CollectedData_Pranav.csv": "deeplabcut",
    "dlc_single/labeled-data/m4s1/CollectedData_Pranav.h5": "deeplabcut",
    "dlc_multi/flies": "deeplabcut",
    "dlc_multi/unique": "deeplabcut",
    "lightning_pose": "lightning_pose",
    "lightning_pose/CollectedData.csv": "lightning_pose",
    "sleap/slp_hdf5/dance.mp4.labels.slp": "sleap",
    "sleap_pkg/flies.pkg.slp": "sleap",
    "yolo_pose": "yolo",
    "yolo_pose/tiger-pose.yaml": "yolo",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_recognised(real_data: Path, name: str):
    assert format_of(real_data / "native_samples" / name) == SAMPLES[name]


@pytest.mark.parametrize("name", ["dlc_single", "dlc_single/labeled-data/m4s1/CollectedData_Pranav.csv", "yolo_pose"])
def test_a_relative_path_gives_a_relative_root(real_data: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(real_data / "native_samples")
    labels = read_labels(Path(name))
    assert not labels.root.is_absolute() and (labels.root / labels.frames[0].picture).is_file()


def test_a_file_is_read_from_its_own_folder(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(real_data / "native_samples/dlc_single/labeled-data/m4s1")
    labels = read_labels(Path("CollectedData_Pranav.csv"))
    assert (labels.root / labels.frames[0].picture).is_file()


def test_where_nothing_is_known_all_that_was_looked_for_is_listed(tmp_path: Path):
    with pytest.raises(ValueError) as refused:
        format_of(tmp_path)
    assert all(one.name in str(refused.value) for one in FORMATS.values())
    with pytest.raises(ValueError, match="is not there"):
        format_of(tmp_path / "nothing")


def test_an_unknown_format(tmp_path: Path):
    with pytest.raises(LookupError, match=r"one of sleap, deeplabcut, .*, but is 'dlc'"):
        format_of(tmp_path, "dlc")


def test_an_option_that_the_format_has_no_use_for(real_data: Path):
    with pytest.raises(ValueError, match="half_pixel must be left out for DeepLabCut"):
        read_labels(real_data / "native_samples/dlc_single", half_pixel=True)


@pytest.mark.parametrize(
    ("out", "to", "name"),
    [
        ("a.slp", None, "SLEAP"),
        ("a.pkg.slp", None, "SLEAP"),
        ("a", None, "COCO keypoints"),
        ("a", "yolo", "Ultralytics pose"),
    ],
)
def test_the_format_to_write_is_told_by_the_name(out: str, to: str | None, name: str):
    assert writer_for(Path(out), to)[0] == name


@pytest.mark.parametrize(
    ("out", "to", "what"),
    [("a", "cvat", "read but not written"), ("a", "sleap", "must end in .slp"), ("a.slp", "coco", "must be a folder")],
)
def test_names_that_do_not_fit(out: str, to: str, what: str):
    with pytest.raises(ValueError, match=what):
        writer_for(Path(out), to)


@pytest.mark.parametrize(
    ("foreign", "ends"),
    [
        ("C:\\films\\a.mp4", ["films/a.mp4", "a.mp4"]),
        ("/films/a.mp4", ["films/a.mp4", "a.mp4"]),
        ("../films/a.mp4", ["films/a.mp4", "a.mp4"]),
        ("films/../../a.mp4", ["a.mp4"]),
        ("..", []),
        ("", []),
    ],
)
def test_the_ends_of_paths_never_lead_upwards(foreign: str, ends: list[str]):
    assert [tail.as_posix() for tail in tails(foreign)] == ends


def test_the_longest_end_wins(tmp_path: Path):
    for place in ("b/a.png", "a.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    assert found_in([tmp_path], "/x/b/a.png") == tmp_path / "b/a.png"
    assert found_in([tmp_path], "/x/c/a.png") == tmp_path / "a.png"
    assert found_in([tmp_path], "/x/b.png") is None


def test_labels_count_their_points():
    assert Labels(Path(), (MOUSE,), ()).flags()[2] == 0
