"""posebed in Python: projects, runs, models and poses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import posebed
from conftest import PARAMS
from films import write_film
from posebed.data.film import Film
from posebed.data.images import Images, decode_named
from posebed.inference.poses import Poses
from posebed.jobs.outcomes import State
from posestages.benchmark import read_project
from posestages.commands.pictures import predict_pictures


@pytest.fixture(scope="module")
def trained(prepared_project: Path, tmp_path_factory: pytest.TempPathFactory) -> posebed.Project:
    """A project whose runs were done through the interface."""
    folder = tmp_path_factory.mktemp("interface") / "project"
    shutil.copytree(prepared_project, folder)
    project = posebed.Project.open(folder)
    for key in project.runs:
        assert project.run(key).train().scored
    return project


@pytest.fixture
def picture(trained: posebed.Project, tmp_path: Path) -> Path:
    data = trained.folder / "data/menagerie/quads"
    name = json.loads((data / "annotations.json").read_text())["images"][0]["file_name"]
    pictures = Images(data)
    path = tmp_path / "picture.jpg"
    path.write_bytes(
        pictures.read(next(place for place in (f"images/{name}", f"images.zip/{name}") if pictures.exists(place)))
    )
    return path


def test_what_is_done_here_is_done_for_the_commands_too(trained: posebed.Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(trained.folder)
    assert {status.state for status in read_project().statuses.values()} == {State.DONE}
    assert json.loads(Path("metrics.json").read_text()).keys() == {*trained.runs}


def test_results_predictions_and_their_comparison_are_those_of_the_files(trained: posebed.Project):
    results = trained.results()
    frame = posebed.compare(results.values())
    assert sorted(frame["run"]) == sorted(results) and frame["protocol"].nunique() == 2
    for row in frame.itertuples():
        assert row.value == results[row.run].score("PCK@0.2").value
    specific = frame[frame["protocol"].str.contains("specific")]
    assert specific["value"].is_monotonic_decreasing and specific["above_floor"].notna().sum() == 1
    points = trained.run("baseline").predictions
    names = trained.run("baseline").model().categories[0].keypoints
    assert [*points["keypoint"][: len(names)]] == [*names] and len(points) % len(names) == 0
    side = trained.params.packs["small"].crop_size
    assert side == (64, 64)
    assert np.isfinite(points[["x", "y", "confidence"]].to_numpy()).all() and points["labelled"].any()


def test_poses_are_those_that_the_command_finds(
    trained: posebed.Project, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = posebed.load_model("baseline", trained.folder)
    assert (model.name, model.category_agnostic) == ("simple_baseline", False)
    boxes = [[(5.0, 5.0, 60.0, 50.0), (0.0, 0.0, 80.0, 80.0)], []]
    poses = model.predict([picture, decode_named(picture)], boxes)
    assert poses.xy.shape == (2, len(poses.category.keypoints), 2) and poses.box.tolist() == [[*b] for b in boxes[0]]
    whole = model.predict(decode_named(picture))
    monkeypatch.chdir(trained.folder)
    predict_pictures("baseline", [picture], None, tmp_path / "poses")
    there = json.loads((tmp_path / "poses/poses.json").read_text())
    (one,), (other,) = whole.to_coco()["annotations"], there["annotations"]
    np.testing.assert_allclose(one["keypoints"], other["keypoints"], atol=0.02)
    (drawn,) = model.predict(picture).draw().items()
    assert drawn[0] == str(picture)
    np.testing.assert_array_equal(drawn[1], whole.drawn_on(decode_named(picture)))
    with pytest.raises(ValueError, match="picture 0 is none; an array is drawn by `drawn_on`"):
        whole.draw()


def test_the_pictures_of_poses_in_a_film_are_its_frames(trained: posebed.Project, tmp_path: Path):
    frames = [*Film.open(write_film(tmp_path / "a.mp4", 5)).frames()]
    found = [trained.run("baseline").model().predict(frame.picture) for frame in frames[1::2]]
    poses = [
        replace(one, image=(str(tmp_path / "a.mp4"),), frame=np.array([frame.number]))
        for one, frame in zip(found, frames[1::2], strict=True)
    ]
    drawn = Poses.joined(poses).draw(0.0)
    assert [*drawn] == [f"{tmp_path}/a.mp4/1", f"{tmp_path}/a.mp4/3"]
    for one, frame, picture in zip(poses, frames[1::2], drawn.values(), strict=True):
        np.testing.assert_array_equal(picture, one.drawn_on(frame.picture, 0.0))


@pytest.mark.slow
def test_a_new_project_prepares_its_data_once(tmp_path: Path):
    project = posebed.Project.create(tmp_path / "new")
    assert "simple-baseline" in project.runs
    (project.folder / "params.yaml").write_text(PARAMS)
    project.prepare()
    packs = {path: path.stat().st_mtime_ns for path in (project.folder / "data").glob("*/**/*") if path.is_file()}
    assert {path.name for path in (project.folder / "data").iterdir()} >= {"menagerie", "splits", "packs"}
    assert project.prepare().run("floor").train().scored
    assert packs == {path: path.stat().st_mtime_ns for path in packs}
    (project.folder / "params.yaml").write_text(PARAMS.replace("path: data/menagerie/quads", "path: nowhere"))
    with pytest.raises(ValueError, match="must end well in"):
        project.prepare()


def test_supports_are_files_or_arrays(trained: posebed.Project, picture: Path):
    model = trained.run("prototypes").model(0)
    assert model.category_agnostic
    keypoints = np.array([[20, 30, 2], [40, 35, 2], [0, 0, 0]])
    shown = [(picture, keypoints), (decode_named(picture), keypoints)]
    poses = model.predict(picture, supports=shown)
    assert poses.xy.shape == (1, 3, 2) and poses.confidence[0, 2] == 0
    file = trained.folder / "data/menagerie/quads/annotations.json"
    assert model.predict(picture, supports=file, category="horse").category.key == "horse"


Wrong = Callable[[posebed.Project, Path], object]
WRONG: list[tuple[Wrong, str]] = [
    (
        lambda project, picture: posebed.Project.open(picture.parent),
        r"a project must be a folder with params\.yaml, but",
    ),
    (lambda project, picture: project.run("none"), "a run must be one of floor, baseline, prototypes, but is 'none'"),
    (lambda project, picture: posebed.load_model("none", project.folder), "must hold a trained run"),
    (
        lambda project, picture: posebed.load_model("kitpose-e2c4-w32-ap10k", project.folder),
        "must have a trained run here",
    ),
    (lambda project, picture: project.run("baseline").model().predict([]), "images must have a picture"),
    (lambda project, picture: project.run("baseline").model().predict("no.jpg"), "there is no no.jpg"),
    (lambda project, picture: project.run("baseline").model().predict(np.zeros((4, 4))), r"\(H, W, 3\) RGB of uint8"),
    (lambda project, picture: project.run("baseline").model().predict(picture, [[(1, 2, 3)]]), "a box must be x, y"),
    (
        lambda project, picture: project.run("baseline").model().predict(picture, []),
        "must be of 1 pictures, but are of 0",
    ),
    (
        lambda project, picture: project.run("baseline").model().predict(picture, [[(900.0, 0.0, 5.0, 5.0)]]),
        "a box must overlap its picture",
    ),
    (
        lambda project, picture: project.run("baseline").model().predict(picture, supports=picture),
        "must be given to a category-agnostic model",
    ),
    (
        lambda project, picture: project.run("prototypes").model().predict(picture),
        "must be given supports, but got none",
    ),
    (
        lambda project, picture: project.run("prototypes").model().predict(picture, supports=[]),
        "must have a picture with its keypoints",
    ),
    (
        lambda project, picture: project.run("prototypes").model().predict(picture, supports=[(picture, [[1, 2]])]),
        r"one shape \(K, 3\)",
    ),
    (
        lambda project, picture: project.run("prototypes").model().predict(picture, supports=[(picture, [[1, 2, 0]])]),
        "support 0 must show a keypoint",
    ),
]


@pytest.mark.parametrize(("wrong", "needed"), WRONG)
def test_what_cannot_be_is_told_in_a_sentence(wrong: Wrong, needed: str, trained: posebed.Project, picture: Path):
    with pytest.raises((ValueError, LookupError), match=needed):
        wrong(trained, picture)


def test_what_a_cluster_is_needed_for_is_refused_before_anything_is_done(project: Path):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text + "  spread: {model: simple_baseline, split: quads, pack: small, train: {workers: 2}}\n"
    )
    with pytest.raises(ValueError, match=r"train spread seed 0 must be done on a cluster, as it is 2 workers"):
        posebed.Project.open(project).run("spread").train()
    (project / "data/packs/small").rename(project / "gone")
    with pytest.raises(ValueError, match="`dvc repro pack@small` makes it"):
        posebed.Project.open(project).run("floor").train()
    assert not (project / "runs").exists()


def test_importing_it_loads_nothing_heavy_and_knows_its_names():
    code = "import sys, posebed; print(dir(posebed)); print({'torch', 'ray', 'pandas'} & {*sys.modules})"
    names, heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.splitlines()
    assert heavy == "set()" and "'load_model'" in names
    for name in ("Model", "Poses", "Project", "Run", "compare", "load_model"):
        assert getattr(posebed, name)
    missing: Any = posebed
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        missing.nothing  # noqa: B018
