"""Predicting with a few annotated pictures of a category that the run has never seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posebed.data.images import Images
from posebed.inference.pictures import poses_in_boxes, supports
from posestages.cli import app
from posestages.commands.inspection import inspect_pictures
from posestages.commands.pictures import open_run, predict_pictures
from posestages.commands.support import beside, read_shots
from posestages.stage import run
from posestages.train_without_ray import train_without_ray
from posezoo.proto_net import ProtoNet

NAMES = ["tip", "left wing", "right wing", "tail", "end"]


@pytest.fixture(scope="module")
def runs(prepared_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project with a category-specific and two category-agnostic runs, and some pictures beside them."""
    folder = tmp_path_factory.mktemp("supports") / "project"
    shutil.copytree(prepared_project, folder)
    text = (folder / "params.yaml").read_text()
    numbered = "config: {backbone: test_resnet, weights: none, stride: 16, deconvs: 1, channels: 8}"
    text = text.replace(
        "models:\n", f"models:\n  fine_tune: {{{numbered}, train: {{epochs: 1, draws: 4, batch_size: 4}}}}\n"
    )
    more = "".join(
        f"  {key}: {{model: {model}, split: held-out, pack: small}}\n"
        for key, model in (("numbered", "fine_tune"), ("any-floor", "mean_pose"))
    )
    (folder / "params.yaml").write_text(text.replace("  baseline: {model", f"{more}  baseline: {{model"))
    images = Images(folder / "data/menagerie/quads/images.zip")
    content = json.loads((folder / "data/menagerie/quads/annotations.json").read_text())
    for number, image in enumerate(content["images"][:4]):
        (folder / f"{number}.jpg").write_bytes(images.read(image["file_name"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for key in ("prototypes", "numbered", "any-floor", "floor"):
            train_without_ray(key)
        yield folder


@pytest.fixture
def here(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own with the runs and the pictures."""
    (tmp_path / "runs").symlink_to(runs / "runs")
    for picture in runs.glob("*.jpg"):
        shutil.copy(picture, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kites(folder: Path, change: Callable[[Any], None] = lambda content: None, keypoints: int = 3) -> Path:
    """A COCO file of two kites, of which the second shows no tail, and their pictures; ``change`` spoils it."""
    names = [*NAMES, *(f"knot {number}" for number in range(20))][:keypoints]
    shown = [[20 + 3 * k, 30 + 2 * k, 2] for k in range(keypoints)]
    content = {
        "images": [{"id": n, "file_name": f"kite{n}.jpg", "width": 80, "height": 80} for n in (1, 2)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 7, "bbox": [10, 12, 50, 60], "keypoints": list(chain(*points))}
            for n, points in ((1, shown), (2, [*shown[:-1], [0, 0, 0]]))
        ],
        "categories": [{"id": 7, "name": "kite", "keypoints": names, "skeleton": [[1, 2], [2, 3]]}],
    }
    change(content)
    folder.mkdir()
    for number in (1, 2):
        shutil.copy(folder.parent / f"{number}.jpg", folder / f"kite{number}.jpg")
    (folder / "support.json").write_text(json.dumps(content))
    return folder / "support.json"


def test_poses_are_of_the_supports_category_and_drawn_beside_them(here: Path):
    file = kites(here / "kites")
    assert predict_pictures("prototypes", [Path("0.jpg"), Path("3.jpg")], None, Path("poses"), file) == 2
    poses = json.loads((here / "poses/poses.json").read_text())
    (category,) = poses["categories"]
    assert (category["name"], category["keypoints"], category["skeleton"]) == ("kite", NAMES[:3], [[1, 2], [2, 3]])
    assert all(len(a["keypoints"]) == 9 and np.isfinite(a["keypoints"]).all() for a in poses["annotations"])
    drawn = cv2.imread("poses/0001-3.png")
    assert drawn is not None and drawn.shape[0] == 512 and drawn.shape[1] > 600
    assert predict_pictures("prototypes", [Path("0.jpg")], None, Path("again"), file.parent) == 1
    assert json.loads((here / "again/poses.json").read_text())["annotations"] == poses["annotations"][:1]


def test_supports_looked_at_once_tell_what_they_tell_beside_each_query(here: Path):
    trained, shots = open_run("prototypes", kites(here / "kites"), None)
    assert shots
    shown = supports(trained, shots.pictures())
    assert shown.image.shape == (1, 2, 3, 64, 64) and shown.keypoints.weight.sum() == 5
    picture = Images(here).decode("0.jpg")
    boxes = [(0.0, 0.0, 80.0, 80.0), (10.0, 5.0, 40.0, 70.0)]
    one, other = (
        poses_in_boxes(trained, "0.jpg", picture, boxes, given)
        for given in (shown, replace(shown, support_features=None))
    )
    np.testing.assert_allclose(one.xy, other.xy, atol=1e-3)


def test_a_keypoint_that_no_support_shows_is_unlabelled_in_the_answer(here: Path):
    def hide(content: Any) -> None:
        del content["annotations"][0]

    predict_pictures("prototypes", [Path("0.jpg")], None, Path("poses"), kites(here / "kites", hide))
    (pose,) = json.loads((here / "poses/poses.json").read_text())["annotations"]
    assert pose["keypoints"][2::3] == [2, 2, 0]
    assert pose["keypoints"][6:] == [0, 0, 0]


@pytest.mark.parametrize("run", ["prototypes", "any-floor"])
def test_more_keypoints_than_training_showed_are_found_by_a_model_without_numbered_outputs(here: Path, run: str):
    predict_pictures(run, [Path("0.jpg")], None, Path("poses"), kites(here / "kites", keypoints=20))
    (pose,) = json.loads((here / "poses/poses.json").read_text())["annotations"]
    assert len(pose["keypoints"]) == 60


def test_faulty_annotations_are_left_out_and_counted(here: Path, capsys: pytest.CaptureFixture[str]):
    def spoil(content: Any) -> None:
        content["annotations"][1]["keypoints"][2] = 9

    shots = read_shots(kites(here / "kites", spoil), None)
    assert [record.record for record in shots.records] == ["1"]
    assert "1 faulty annotations are left out" in capsys.readouterr().err


def no_keypoint(content: Any) -> None:
    for annotation in content["annotations"]:
        annotation["keypoints"] = [0] * 9


def two_categories(content: Any) -> None:
    content["categories"].append({"id": 8, "name": "ray", "keypoints": ["eye"], "skeleton": []})


def nameless(content: Any) -> None:
    content["categories"][0]["keypoints"] = "tip, wing"


def missing_keypoint(content: Any) -> None:
    content["categories"][0]["skeleton"] = [[1, 9]]


def outside(content: Any) -> None:
    for image in content["images"]:
        image["file_name"] = "../0.jpg"


def as_it_is(content: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("key", "change", "category", "message"),
    [
        ("prototypes", no_keypoint, None, "keypoints of record 1 of kite must be v > 0 at one keypoint or more"),
        ("prototypes", two_categories, None, "must be of one category, or --category choose one, but it has kite, ray"),
        ("prototypes", two_categories, "dove", "must have the category 'dove', but has kite, ray"),
        ("prototypes", two_categories, "ray", "must have an annotation of 'ray' with a visible keypoint, but has none"),
        (
            "prototypes",
            nameless,
            None,
            "keypoints of kite must be a list of .*names that differ, .*but is 'tip, wing'",
        ),
        ("prototypes", missing_keypoint, None, "skeleton of kite must be pairs of two keypoints"),
        ("prototypes", outside, None, r"below|leaves|folder"),
        ("floor", as_it_is, None, "a run with --support must be category-agnostic, but floor knows"),
        ("lost", as_it_is, None, "must hold a trained run"),
    ],
)
def test_supports_that_show_nothing_are_refused_before_work_starts(
    here: Path, key: str, change: Callable[[Any], None], category: str | None, message: str
):
    file = kites(here / "kites", change)
    with pytest.raises((ValueError, LookupError), match=message):
        predict_pictures(key, [Path("0.jpg")], None, Path("poses"), file, category)
    assert not Path("poses").exists()


def test_a_category_can_be_chosen(here: Path):
    file = kites(here / "kites", two_categories)
    assert predict_pictures("prototypes", [Path("0.jpg")], None, Path("poses"), file, "kite") == 1


def test_more_keypoints_than_the_model_has_outputs_are_refused(here: Path):
    with pytest.raises(ValueError, match=r"numbered must be asked for at most 17 keypoints.* for 20"):
        open_run("numbered", kites(here / "kites", keypoints=20), None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "prototypes", "0.jpg"], "must be given --support"),
        (["inspect", "floor", "0.jpg", "--category", "kite"], "must be category-agnostic"),
        (
            ["predict", "prototypes", "gone.jpg", "--support", "kites"],
            "pictures must be files, but there is no gone.jpg",
        ),
    ],
)
def test_the_command_ends_in_one_sentence_and_exit_code_2(
    here: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    kites(here / "kites")
    monkeypatch.setattr("sys.argv", ["posebed", *words])
    with pytest.raises(SystemExit) as ended:
        run(lambda arguments: app(arguments))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_where_a_model_sees_each_keypoint_is_drawn(here: Path):
    (written,) = inspect_pictures("prototypes", [Path("0.jpg")], None, Path("maps"), kites(here / "kites"))
    assert written == Path("maps/0000-0-0-probability.png") and cv2.imread(str(written)) is not None


def test_a_model_without_inner_maps_is_not_inspected(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(ProtoNet, "inspect")
    with pytest.raises(ValueError, match="must be of a model with inner maps"):
        inspect_pictures("prototypes", [Path("0.jpg")], None, Path("maps"), kites(here / "kites"))


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("height", [30, 512])
def test_supports_stand_left_of_a_picture_that_keeps_its_pixels(here: Path, count: int, height: int):
    shots = read_shots(kites(here / "kites"), None)
    shots = replace(shots, records=shots.records[:1] * count)
    picture = np.random.default_rng(0).integers(0, 256, (height, 300, 3), np.uint8)
    sheet = beside(picture, shots)
    assert sheet.shape[0] == max(height, 256)
    assert (sheet[:height, -300:] == picture).all()
