"""``posebed convert``, and ``check`` and ``show`` on formats of other tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import posebed
from label_files import write_picture, write_table
from posestages.commands.convert import convert


@pytest.fixture
def samples(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return real_data / "native_samples"


def test_deeplabcut_to_coco(samples: Path):
    done = posebed("convert", str(samples / "dlc_multi/flies"), "out")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "DeepLabCut to COCO keypoints: out"
    assert lines[1] == "3 frames, 6 animals; points: 77 visible, 0 hidden, 1 unlabelled"
    assert "guessed from the names" in lines[2]
    assert len(json.loads(Path("out/annotations.json").read_text())["annotations"]) == 6
    assert posebed("check", "out").returncode == 0


def test_a_film_that_is_missing_does_not_keep_labels_from_being_converted(samples: Path):
    done = posebed("convert", str(samples / "sleap/slp_hdf5/dance.mp4.labels.slp"), "out")
    assert done.returncode == 0
    assert "dance.mp4; looked for in" in done.stdout and "not found and not copied: 3" in done.stdout
    assert "Predictions, left out: 450." in done.stdout


@pytest.mark.parametrize(("out", "to"), [("a.slp", None), ("a.pkg.slp", None), ("a", "deeplabcut"), ("a", "yolo")])
def test_there_and_back(samples: Path, out: str, to: str | None):
    chosen = ["--to", to] if to else []
    assert posebed("convert", str(samples / "dlc_multi/flies"), out, *chosen).returncode == 0
    beside = ["--pictures", str(samples / "dlc_multi/flies")] if out == "a.slp" else []
    back = posebed("convert", out, "back", *beside)
    assert "3 frames, 6 animals; points: 77 visible, 0 hidden, 1 unlabelled" in back.stdout
    assert posebed("check", "back").returncode == 0


def test_poses_of_a_model_go_where_people_correct_them(samples: Path):
    """As `posebed predict` writes them, with pictures named from the working folder."""
    Path("mice").mkdir()
    Path("mice/a.png").write_bytes((samples / "dlc_single/labeled-data/m4s1/img0000.png").read_bytes())
    pose = {"keypoints": [1, 2, 2, 3, 4, 2], "confidence": [0.75, 0.5], "score": 0.625, "bbox": [0, 0, 9, 9]}
    content = {
        "images": [{"id": 1, "file_name": "mice/a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **pose}],
        "categories": [{"id": 1, "name": "mouse", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}],
    }
    Path("poses").mkdir()
    Path("poses/poses.json").write_text(json.dumps(content))
    for out, to in (("a.slp", []), ("project", ["--to", "deeplabcut"])):
        done = posebed("convert", "poses/poses.json", out, *to)
        assert done.returncode == 0 and "1 animal, of which 1 predicted" in done.stdout
    table = Path("project/labeled-data/mice/machinelabels.csv").read_text()
    assert "a.png,1.0,2.0,0.75,3.0,4.0,0.5" in table
    assert Path("project/labeled-data/mice/machinelabels-iter0.h5").is_file()
    assert "only predictions: 1" in posebed("convert", "a.slp", "back").stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("dlc_single", "out", "--to", "cvat"), "CVAT is read but not written"),
        (("dlc_single", "out", "--to", "nothing"), "a format must be one of sleap, deeplabcut"),
        (("dlc_single", "out", "--half-pixel"), "half_pixel must be left out for DeepLabCut"),
        (("sleap", "out"), "must be or hold labels of a known format"),
        (("lightning_pose/video_preds/ibl_paw_left.csv", "out"), "is a table of predictions"),
        (("cvat", "out", "--to", "deeplabcut"), "must have one category, but there are 2"),
        (("dlc_single", "out.slp", "--to", "coco"), "must be a folder"),
    ],
)
def test_mistakes_end_in_one_sentence(samples: Path, words: tuple[str, ...], what: str):
    done = posebed("convert", str(samples / words[0]), *words[1:])
    assert done.returncode == 2 and what in done.stderr and len(done.stderr.splitlines()) == 1
    assert not Path("out").exists() and not list(Path().glob(".*.part"))


def test_what_is_there_is_never_overwritten(samples: Path):
    Path("out").mkdir()
    done = posebed("convert", str(samples / "dlc_single"), "out")
    assert done.returncode == 2 and "must be a new file or folder" in done.stderr


@pytest.mark.parametrize("name", ["dlc_single", "sleap_pkg/flies.pkg.slp", "cvat"])
def test_check_and_show_take_any_format(samples: Path, name: str):
    done = posebed("check", str(samples / name))
    assert done.returncode == 0 and "No problem in" in done.stdout
    assert posebed("show", str(samples / name), "--out", "sheet.png").returncode == 0
    assert Path("sheet.png").stat().st_size > 1000


def test_check_with_options(samples: Path):
    words = ("--source", "sleap_io", "--option", f"pictures={samples / 'sleap/videos'}")
    done = posebed("check", str(samples / "sleap/slp_hdf5/dance.mp4.labels.slp"), *words)
    assert done.returncode == 0 and "No problem in 3 annotations" in done.stdout


@pytest.mark.parametrize("x", ["1e30", "-1e7", "5e6"])
def test_points_far_from_their_picture_are_refused_before_anything_is_written(tmp_path: Path, x: str):
    head = ["scorer,a,a", "bodyparts,nose,nose", "coords,x,y"]
    write_table(tmp_path / "CollectedData.csv", [*head, f"labeled-data/film/img001.png,{x},5"])
    write_picture(tmp_path / "labeled-data/film/img001.png")
    with pytest.raises(ValueError, match=r"within 3 sides of its picture, but .* CollectedData\.csv"):
        convert(tmp_path, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CollectedData.csv", "labeled-data"]


def test_names_like_markup_and_orders_to_a_terminal_are_shown_as_text(tmp_path: Path):
    (tmp_path / "f1.jpg").write_bytes(b"")
    points = '<points label="a\x7f[/bold]" points="1,2"/>'
    (tmp_path / "annotations.xml").write_text(
        f'<annotations><image id="0" name="f1.jpg" width="9" height="9"><skeleton label="[/red]">{points}</skeleton>'
        "</image></annotations>"
    )
    done = posebed("check", str(tmp_path))
    assert done.returncode == 1 and "[/red]" in done.stdout and "Traceback" not in done.stderr
    assert done.stdout.replace("\n", "").isprintable()


def test_a_file_in_place_of_a_folder_of_pictures_is_refused(tmp_path: Path):
    (tmp_path / "params.yaml").touch()
    for place in ("params.yaml", "nothing"):
        with pytest.raises(ValueError, match=f"--pictures must be a folder .*{place} is none"):
            convert(tmp_path, tmp_path / "out", pictures=tmp_path / place)
    assert not (tmp_path / "out").exists()
