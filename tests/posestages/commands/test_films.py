"""Poses in films: the same as in pictures of the frames, in parts, and whole after an interruption."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from command_line import posebed
from films import SIDE, write_film
from posebed.data.film import Film
from posebed.inference import film as in_films
from posebed.inference.poses import Poses, read_poses
from posestages.commands import films
from posestages.commands.films import boxes_by_frame, predict_film
from posestages.commands.pictures import predict_pictures
from posestages.train_without_ray import train_without_ray

FRAMES = 50


@pytest.fixture(scope="module")
def runs(prepared_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, and a film beside it."""
    folder = tmp_path_factory.mktemp("films") / "project"
    shutil.copytree(prepared_project, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_without_ray("baseline")
    write_film(folder / "a.mp4", FRAMES)
    return folder


@pytest.fixture(autouse=True)
def here(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    shutil.copytree(runs, folder)
    monkeypatch.chdir(folder)
    return folder


FILM = Path("a.mp4")


def written(content: Any) -> Path:
    Path("boxes.json").write_text(json.dumps(content))
    return Path("boxes.json")


def test_a_film_gives_what_pictures_of_its_frames_give():
    found = predict_film("baseline", FILM, None, Path("poses"), every=7, draw=True)
    poses = read_poses(found.table)
    numbers = [*range(0, FRAMES, 7)]
    assert (found.frames, found.poses, found.notes) == (len(numbers), len(numbers), [])
    assert poses.frame.tolist() == numbers and poses.seconds.tolist() == pytest.approx(
        [n / 25 for n in numbers], abs=0.01
    )
    frames = {frame.number: frame.picture for frame in Film.open(FILM).frames(7)}
    for number, picture in frames.items():
        cv2.imwrite(f"{number:02}.png", picture[..., ::-1])
    predict_pictures("baseline", [Path(f"{n:02}.png") for n in numbers], None, Path("pictures"))
    there = json.loads(Path("pictures/poses.json").read_text())["annotations"]
    coco = json.loads(Path("poses/a.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [f"a.mp4/{n}" for n in numbers]
    for one, other in zip(coco["annotations"], there, strict=True):
        np.testing.assert_allclose(one["keypoints"], other["keypoints"], atol=0.02)
    assert [a["image_id"] for a in coco["annotations"]] == [image["id"] for image in coco["images"]]
    assert coco == json.loads(json.dumps(poses.to_coco())), "written in parts or at once"
    drawn = Film.open(Path("poses/a.mp4"))
    assert (drawn.stated, drawn.rate) == (len(numbers), pytest.approx(25 / 7, rel=0.01)) and min(drawn.size) >= 512
    assert sorted(path.name for path in Path("poses").iterdir()) == ["a.json", "a.mp4", "a.parquet"]


def test_poses_go_into_sleap_as_predictions():
    sleap_io = pytest.importorskip("sleap_io", reason="needs posebed[formats]")
    found = predict_film("baseline", FILM, None, Path("poses"), every=10, slp=True)
    labels, poses = sleap_io.load_slp("poses/a.slp", open_videos=False), read_poses(found.table)
    assert [frame.frame_idx for frame in labels.labeled_frames] == [0, 10, 20, 30, 40]
    assert [node.name for node in labels.skeletons[0].nodes] == [*poses.category.keypoints]
    (video,) = labels.videos
    assert Path(video.filename) == FILM.absolute()
    for place, frame in enumerate(labels.labeled_frames):
        (instance,) = frame.predicted_instances
        np.testing.assert_allclose(instance.points["xy"], poses.xy[place], atol=0.01)
        np.testing.assert_allclose(instance.points["score"], poses.confidence[place], atol=1e-5)


def interrupted_after(frames: int, patch: pytest.MonkeyPatch) -> None:
    whole = in_films.poses_in_film

    def some(*given: Any) -> Iterator[tuple[int, Poses]]:
        for last, poses in whole(*given):
            yield last, poses
            if last >= frames:
                raise KeyboardInterrupt

    patch.setattr(in_films, "poses_in_film", some)


def test_an_interrupted_command_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(films, "PART_FRAMES", 16)
    expected = read_poses(predict_film("baseline", FILM, None, Path("undisturbed")).table)
    with monkeypatch.context() as patch:
        interrupted_after(20, patch)
        with pytest.raises(KeyboardInterrupt):
            predict_film("baseline", FILM, None, Path("poses"))
    assert not Path("poses/a.parquet").exists()
    looked: list[int] = []
    whole = in_films.poses_in_film

    def noted(*given: Any) -> Iterator[tuple[int, Poses]]:
        for last, poses in whole(*given):
            looked.extend(poses.frame.tolist())
            yield last, poses

    monkeypatch.setattr(in_films, "poses_in_film", noted)
    poses = read_poses(predict_film("baseline", FILM, None, Path("poses")).table)
    assert min(looked) > 20 and poses.frame.tolist() == [*range(FRAMES)]
    np.testing.assert_allclose(poses.xy, expected.xy, atol=1e-3)


def test_other_settings_begin_anew(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        interrupted_after(20, patch)
        with pytest.raises(KeyboardInterrupt):
            predict_film("baseline", FILM, None, Path("poses"))
    found = predict_film("baseline", FILM, None, Path("poses"), every=2)
    assert read_poses(found.table).frame.tolist() == [*range(0, FRAMES, 2)]


BOX = [10.0, 10.0, 60.0, 70.0]
OTHER = [0.0, 5.0, 40.0, 40.0]


@pytest.mark.parametrize(
    "content",
    [
        [{"image_id": 3, "bbox": BOX, "score": 0.9}, {"image_id": 3, "bbox": OTHER}, {"image_id": 9, "bbox": BOX}],
        {
            "images": [{"id": "x", "file_name": "img0003.png"}, {"id": "y", "file_name": "a.mp4/9"}],
            "annotations": [{"image_id": i, "bbox": box} for i, box in (("x", BOX), ("x", OTHER), ("y", BOX))],
        },
        {
            "images": [{"id": 1, "frame": 3, "file_name": "1.png"}, {"id": 2, "frame_id": 9, "file_name": "2.png"}],
            "annotations": [{"image_id": i, "bbox": box} for i, box in ((1, BOX), (1, OTHER), (2, BOX))],
        },
    ],
)
def test_boxes_find_their_frames(content: Any):
    found = predict_film("baseline", FILM, written(content), Path("poses"))
    poses = read_poses(found.table)
    assert poses.frame.tolist() == [3, 3, 9] and poses.box.tolist() == [BOX, OTHER, BOX]
    assert (found.frames, found.poses) == (FRAMES, 3)


@pytest.mark.parametrize(
    ("content", "needed"),
    [
        ("nonsense", "must be COCO JSON with boxes, or a list"),
        ({"annotations": [1]}, "must be COCO JSON with boxes, or a list"),
        ([], "must have a box, but has none"),
        ([{"image_id": "three", "bbox": BOX}], "frame of box 0 must be a whole number"),
        ([{"image_id": -1, "bbox": BOX}], "frame of box 0 must be a whole number from 0, but is -1"),
        ([{"image_id": 1, "bbox": [SIDE + 1, 0, 5, 5]}], "bbox of box 0 must be an overlap"),
        ([{"image_id": 1, "bbox": [0, 0, "5", 5]}], "bbox of box 0 must be four numbers"),
        ([{"image_id": FRAMES, "bbox": BOX}], f"must have a box within the {FRAMES} frames of a.mp4"),
        (
            {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "bbox": BOX}]},
            "frame of box 0",
        ),
    ],
)
def test_boxes_that_do_not_fit_are_refused_in_a_sentence(content: Any, needed: str):
    with pytest.raises(ValueError, match=needed):
        boxes_by_frame(written(content), Film.open(FILM))


def test_boxes_that_no_frame_takes_are_told():
    content = [{"image_id": n, "bbox": BOX} for n in (2, 3, FRAMES + 5)]
    found = predict_film("baseline", FILM, written(content), Path("poses"), every=2)
    assert found.poses == 1
    assert found.notes == [
        f"1 boxes are of frames behind the last one, {FRAMES - 2}, and were not used",
        "1 boxes are of frames that --every 2 leaves out",
    ]


def test_a_film_that_is_cut_short_gives_what_there_is_and_says_so():
    data = write_film(Path("b.avi"), FRAMES).read_bytes()
    Path("b.avi").write_bytes(data[: len(data) // 2])
    found = predict_film("baseline", Path("b.avi"), None, Path("poses"))
    assert 5 < found.frames < FRAMES and found.poses == found.frames
    (note,) = found.notes
    assert f"states {FRAMES} frames, but the last that could be decoded is {found.frames - 1}" in note


def test_the_command_says_what_it_found_and_refuses_a_mixture():
    done = posebed("predict", "baseline", "a.mp4", "--every", "10")
    assert done.returncode == 0 and "a.mp4: 5 poses in 5 frames: poses/a.parquet" in done.stdout
    Path("x.png").write_bytes(cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1].tobytes())
    for words, needed in (
        (["a.mp4", "x.png"], "films must be given alone"),
        (["x.png", "--every", "2"], "must be given with a film"),
        (["none.mp4"], "none.mp4 must be a film, but there is none"),
    ):
        refused = posebed("predict", "baseline", *words)
        assert refused.returncode == 2 and needed in refused.stderr and refused.stderr.count("\n") == 1
