"""The command line as a user meets it: help, exit codes, sentences, and files that are really there."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from command_line import posebed, posebed_process
from posebed.data.images import Images
from posestages.train_without_ray import train_without_ray


@pytest.mark.parametrize(
    "word",
    [
        *("models", "datasets", "check", "show", "run", "search", "predict", "report", "track", "presets"),
        *("import-checkpoint", "status", "accept", "stop", "logs", "results", "migrate", "gc", "convert"),
    ],
)
def test_every_command_explains_itself(word: str):
    done = posebed(word, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_models_lists_the_whole_zoo():
    printed = posebed("models").stdout
    for name in ("mean_pose", "simple_baseline", "hrnet", "proto_net"):
        assert name in printed


def test_datasets_lists_sources_and_built_in_sets():
    printed = posebed("datasets").stdout
    for name in ("coco_folder", "quadrupeds", "mixed", "giraffe"):
        assert name in printed


def test_check_passes_sound_data_and_tells_what_is_wrong_with_other(project: Path):
    sound = posebed("check", "data/menagerie/quads")
    assert sound.returncode == 0
    assert "No problem in 48 annotations" in sound.stdout
    path = project / "data/menagerie/quads/annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][3]["bbox"][2] = -5
    content["annotations"][4]["keypoints"][2] = 7
    path.write_text(json.dumps(content))
    done = posebed("check", "data/menagerie/quads")
    assert done.returncode == 1
    for word in ("annotations.json", "bbox", "keypoints", "-5", "7"):
        assert word in done.stdout
    assert "Traceback" not in done.stderr


def test_check_takes_a_source_and_its_options(project: Path):
    options = ("--source", "coco_folder", "--option", "folders=[quads]", "--option", "group_pattern=(.)")
    sound = posebed("check", "data/menagerie", *options)
    assert sound.returncode == 0, sound.stderr
    assert "No problem in 48 annotations" in sound.stdout


def test_show_draws_a_sheet(project: Path):
    done = posebed("show", "data/menagerie/quads", "--count", "3", "--category", "tiger", "--out", "sheet.png")
    assert done.returncode == 0, done.stderr
    sheet = cv2.imread("sheet.png")
    assert sheet is not None
    assert sheet.shape[1] > 600
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "lost"), "KEY must name a run or search, but is 'lost'; there is baseline, floor, prototypes"),
        (("search", "lost"), "KEY must name a run or search, but is 'search@lost'; there is baseline"),
        (("status", "lost"), "KEY must name a run or search, but is 'lost'"),
        (("logs", "lost"), "KEY must name a run or search, but is 'lost'"),
        (("logs", "floor"), "floor must have a log, but no task of it was started in this folder"),
        (("accept", "floor", "--because", "so"), "floor must have a stale task to accept, but has none"),
        (("stop", "lost"), "KEY must name a run or search, but is 'lost'"),
        (("stop",), "a command must run tasks in this folder to be stopped, but none does"),
        (("show", "data/menagerie/quads", "--category", "unicorn"), "must have the categories unicorn"),
        (("predict", "lost", "x.jpg"), "must hold a trained run"),
        (("check", ".", "--source", "ap10k"), "get it from ap-10k.zip"),
        (("check", ".", "--source", "ap10k", "--option", "split=4"), "check.options: split"),
        (("check", ".", "--option", "split"), "--option must be NAME=VALUE, but is 'split'"),
        (("show", ".", "--source", "unicorns"), "or a module that params.yaml names, but is 'unicorns'"),
        (("check", ".", "--source", "ap10k", "--option", "split=2", "--option", "split=1"), "once for each name"),
        (("check", ".", "--source", "mp100", "--option", "split=true"), "options: split: Input should be a number"),
        (("report", "--from-mlflow", ""), "--from-mlflow must be the address of a tracking server"),
        (("new", "model", "os"), "NAME must be free, but 'os' is"),
        (("report",), "at least one run must have a result"),
    ],
)
def test_mistakes_end_in_one_sentence_and_exit_code_2(project: Path, words: tuple[str, ...], message: str):
    done = posebed(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_of_its_own_prints_what_tests_see_in_this_one(project: Path):
    for words in (["datasets"], ["status"], ["run", "lost"]):
        there, here = posebed_process(*words), posebed(*words)
        assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)


def test_predict_writes_poses_and_pictures(project: Path):
    train_without_ray("baseline")
    content = json.loads((project / "data/menagerie/quads/annotations.json").read_text())
    images = Images(project / "data/menagerie/quads/images.zip")
    names = [image["file_name"] for image in content["images"][:2]]
    for name in names:
        (project / name).write_bytes(images.read(name))
    done = posebed_process("predict", "baseline", *names, "--boxes", "data/menagerie/quads/annotations.json")
    assert done.returncode == 0, done.stderr
    poses = json.loads((project / "poses/poses.json").read_text())
    assert [a["image_id"] for a in poses["annotations"]] == [1, 2]
    assert [a["bbox"] for a in poses["annotations"]] == [a["bbox"] for a in content["annotations"][:2]]
    assert all(len(a["keypoints"]) == 17 * 3 and np.isfinite(a["keypoints"]).all() for a in poses["annotations"])
    assert poses["categories"][0]["keypoints"] == content["categories"][0]["keypoints"]
    for number, name in enumerate(names):
        drawn = cv2.imread(f"poses/{number:04}-{Path(name).stem}.png")
        assert drawn is not None
    whole = posebed("predict", "runs/baseline/seed-0/train", names[0], "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    (pose,) = json.loads((project / "whole/poses.json").read_text())["annotations"]
    assert pose["bbox"] == [0, 0, 80, 80]


def test_predicting_with_a_box_file_that_misses_a_picture_is_refused(project: Path):
    train_without_ray("floor")
    (project / "boxes.json").write_text('{"images": [], "annotations": []}')
    (project / "lonely.png").write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    done = posebed("predict", "floor", "lonely.png", "--boxes", "boxes.json")
    assert done.returncode == 2
    assert "must have a box for every picture" in done.stderr
    assert not Path("poses").exists()


@pytest.mark.parametrize(
    "words",
    [("nope",), ("predict",), ("gc", "--nope"), ("gc", "--days", "x"), ("predict", "a", "b", "--out", "params.yaml")],
)
def test_words_that_no_command_takes_are_told_in_one_sentence(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    done = posebed(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "--help` lists what there is" in done.stderr
