"""Every picture gets the boxes that are meant for it, or a sentence; never those of another."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posestages.commands.boxes import boxes_of, distinct, matched
from posestages.commands.inspection import inspect_pictures
from posestages.commands.pictures import predict_pictures, write_picture
from posestages.train_without_ray import train_without_ray

PICTURE = cv2.imencode(".png", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()


def coco(names: Sequence[str], boxes: Sequence[Any], **more: Any) -> dict[str, Any]:
    """One box for each of the pictures."""
    return {
        "images": [{"id": n, "file_name": name, "width": 160, "height": 120} for n, name in enumerate(names)],
        "annotations": [{"id": n + 70, "image_id": n, "bbox": box} for n, box in enumerate(boxes)],
    } | more


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def pictures(*paths: str) -> list[Path]:
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURE)
    return [Path(path) for path in paths]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


TREE = [f"{site}/{cam}/{name}" for site, cam, name in product("ab", ("c1", "c2"), ("1.jpg", "2.jpg"))]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    listed=st.lists(st.sampled_from(TREE), unique=True, min_size=1),
    chosen=st.lists(st.sampled_from(TREE), unique=True, min_size=1),
    kept=st.integers(1, 3),
    prefix=st.sampled_from(["", "/elsewhere", "boxes"]),
)
def test_a_picture_is_never_taken_for_another(here: Path, listed: list[str], chosen: list[str], kept: int, prefix: str):
    """The file knows the last components of paths, and the pictures lie anywhere."""
    names = list(dict.fromkeys("/".join(path.split("/")[-kept:]) for path in listed))
    own = {Path(prefix) / path: "/".join(path.split("/")[-kept:]) for path in chosen}
    clear = len({*own.values()}) == len(own) and {*own.values()} <= {*names}
    try:
        actual = matched(list(own), names, Path("boxes/boxes.json"))
    except ValueError as refused:
        assert not clear and "may be" in str(refused) and " or " in str(refused)
        return
    assert actual == own if clear else len({*actual.values()}) == len(actual), "no name means two pictures"
    for path, name in actual.items():
        assert name == own[path] or own[path] not in names
        assert Path(name).name == path.name


@pytest.mark.parametrize(
    ("names", "chosen", "file"),
    [
        (["cam1/1.jpg", "cam2/1.jpg"], ["cam1/1.jpg", "cam2/1.jpg"], "boxes.json"),
        (["cam2/1.jpg", "cam1/1.jpg"], ["cam2/1.jpg", "cam1/1.jpg"], "deep/down/boxes.json"),
        (["1.jpg", "../cam2/1.jpg"], ["cam1/1.jpg", "cam2/1.jpg"], "cam1/boxes.json"),
        (["day/cam1/1.jpg", "day/cam2/1.jpg"], ["x/cam1/1.jpg", "x/cam2/1.jpg"], "boxes.json"),
        (["./cam1//1.jpg", "/gone/cam2/1.jpg"], ["cam1/1.jpg", "cam2/1.jpg"], "boxes.json"),
        (["1.jpg", "2.jpg"], ["cam1/1.jpg", "cam2/2.jpg"], "boxes.json"),
        (["cam9/1.jpg", "cam9/2.jpg"], ["cam1/1.jpg", "cam2/2.jpg"], "boxes.json"),
    ],
)
def test_pictures_are_matched_by_path_and_by_name_where_that_is_clear(
    here: Path, names: list[str], chosen: list[str], file: str
):
    """The first name means the first picture, and the second the second."""
    boxes = [(1.0, 2.0, 30.0, 40.0), (5.0, 6.0, 70.0, 80.0)]
    actual = boxes_of(pictures(*chosen), write(Path(file), coco(names, [list(box) for box in boxes])))
    assert actual == {Path(chosen[0]): [boxes[0]], Path(chosen[1]): [boxes[1]]}


@pytest.mark.parametrize(
    ("names", "chosen", "words"),
    [
        (["cam1/1.jpg", "cam2/1.jpg"], ["cam3/1.jpg"], ["cam3/1.jpg", "cam1/1.jpg or cam2/1.jpg"]),
        (["1.jpg"], ["cam1/1.jpg", "cam2/1.jpg"], ["1.jpg may be cam1/1.jpg or cam2/1.jpg"]),
        (["cam1/1.jpg"], ["cam1/1.jpg", "cam2/1.jpg"], ["has none for cam2/1.jpg", "it has cam1/1.jpg"]),
        (["cam1/1.jpg", "cam2/2.jpg"], ["other.jpg"], ["has none for other.jpg", "it has cam1/1.jpg, cam2/2.jpg"]),
    ],
)
def test_a_match_that_is_unclear_or_missing_names_the_picture_and_the_candidates(
    here: Path, names: list[str], chosen: list[str], words: list[str]
):
    file = write(here / "boxes.json", coco(names, [[1, 2, 30, 40]] * len(names)))
    with pytest.raises(ValueError) as refused:
        boxes_of(pictures(*chosen), file)
    assert all(word in str(refused.value) for word in words), refused.value
    assert "\n" not in str(refused.value)


NUMBERS = st.floats() | st.integers(-(10**400), 10**400) | st.sampled_from([0, -1, 1e308, math.nan, math.inf, 5, "5"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(box=st.lists(NUMBERS, min_size=3, max_size=5) | st.none() | st.text())
def test_a_box_that_is_none_is_refused_with_its_annotation(here: Path, box: Any):
    file = write(here / "boxes.json", coco(["1.jpg"], [box]))
    try:
        ((actual,),) = boxes_of(pictures("1.jpg"), file).values()
    except ValueError as refused:
        assert "annotation 70" in str(refused) and "boxes.json" in str(refused)
    else:
        x, y, width, height = actual
        assert all(map(math.isfinite, actual)) and width > 0 and height > 0
        assert x < 160 and y < 120 and x + width > 0 and y + height > 0


def no_object(content: Any) -> Any:
    return [content]


def lists_of_text(content: Any) -> Any:
    return content | {"annotations": ["a"]}


def of_no_image(content: Any) -> Any:
    return content | {"annotations": [{"id": 3, "image_id": 99, "bbox": [1, 2, 3, 4]}]}


def nameless(content: Any) -> Any:
    return content | {"images": [{"id": 0}]}


def twice(content: Any) -> Any:
    return content | {"images": [{"id": 0, "file_name": "1.jpg"}, {"id": 0, "file_name": "2.jpg"}]}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_object, "must be COCO JSON with lists of images and annotations"),
        (lists_of_text, "annotations is no such list"),
        (of_no_image, "image_id of annotation 3 must be an image of the file, but is 99"),
        (nameless, r"images\[0\] must have an id and a file_name"),
        (twice, "must have one image of an id, but has several of 0"),
    ],
)
def test_a_file_of_another_form_is_one_sentence(here: Path, spoil: Any, words: str):
    file = write(here / "boxes.json", spoil(coco(["1.jpg"], [[1, 2, 30, 40]])))
    with pytest.raises(ValueError, match=words):
        boxes_of(pictures("1.jpg"), file)


def test_a_picture_counts_once_however_it_is_spelled(here: Path):
    pictures("cam1/1.jpg", "cam2/1.jpg")
    (here / "link.jpg").symlink_to("cam1/1.jpg")
    spelled = [
        Path("cam1/1.jpg"),
        Path("cam2/1.jpg"),
        Path("cam2/../cam1/1.jpg"),
        here / "cam2/1.jpg",
        Path("link.jpg"),
    ]
    assert distinct(spelled) == [Path("cam1/1.jpg"), Path("cam2/1.jpg"), Path("link.jpg")]


def test_a_picture_of_a_form_that_cannot_be_written_is_one_sentence(here: Path):
    for name in ("sheet.xyz", "sheet.json", "sheet.exr", "sheet.hdr", "sheet.pic"):
        with pytest.raises(ValueError, match=r"must be written as \.png, \.jpg, .*, but .* ends in"):
            write_picture(np.zeros((8, 8, 3), np.uint8), Path(name))
        assert not list(here.iterdir())


@pytest.fixture(scope="module")
def runs(prepared_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a category-specific run and a category-agnostic one."""
    folder = tmp_path_factory.mktemp("boxes") / "project"
    shutil.copytree(prepared_project, folder)
    params = (folder / "params.yaml").read_text()
    brief = "split: held-out, pack: small, train: {epochs: 1, draws: 4}}"
    (folder / "params.yaml").write_text(params.replace("split: held-out, pack: small}", brief))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for key in ("floor", "prototypes"):
            train_without_ray(key)
    return folder / "runs"


def test_two_cameras_have_two_poses(here: Path, runs: Path):
    two = pictures("cam1/0001.jpg", "cam2/0001.jpg")
    boxes = [[24, 30, 72, 40], [59, 45, 72, 40]]
    file = write(here / "boxes.json", coco(["cam1/0001.jpg", "cam2/0001.jpg"], boxes))
    assert predict_pictures(str(runs / "floor/seed-0/train"), [*two, two[0]], file, Path("poses")) == 2
    poses = json.loads(Path("poses/poses.json").read_text())
    names = {image["id"]: image["file_name"] for image in poses["images"]}
    assert [(names[a["image_id"]], a["bbox"]) for a in poses["annotations"]] == [
        ("cam1/0001.jpg", boxes[0]),
        ("cam2/0001.jpg", boxes[1]),
    ]
    assert len(list(Path("poses").glob("*.png"))) == 2


def test_two_cameras_have_their_own_maps(here: Path, runs: Path, prepared_project: Path):
    two = pictures("cam1/0001.jpg", "cam2/0001.jpg")
    support = prepared_project / "data/menagerie/quads/annotations.json"
    written = inspect_pictures(str(runs / "prototypes/seed-0/train"), two, None, Path("maps"), support, "fox")
    assert len(written) == len(set(written)) == len(list(Path("maps").iterdir())) >= 2


def test_answers_that_are_no_numbers_are_refused_and_nothing_is_written(
    here: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
):
    from safetensors.torch import load_file, save_file

    shutil.copytree(runs / "floor/seed-0/train", "spoiled")
    weights = load_file("spoiled/best.safetensors")
    save_file({n: v * math.nan if v.is_floating_point() else v for n, v in weights.items()}, "spoiled/best.safetensors")
    with pytest.raises(ValueError, match=r"best.safetensors must hold finite weights, but has NaN or infinity in mean"):
        predict_pictures("spoiled", pictures("1.jpg"), None, Path("poses"))
    assert not Path("poses").exists()


@pytest.mark.parametrize("inner", ["boxes.json", "boxes_bom.json"])
def test_the_case_of_two_cameras_gives_two_poses(
    cases: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str
):
    shutil.copytree(cases / "predict-same-names", tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    two = [Path("cam1/0001.jpg"), Path("cam2/0001.jpg")]
    assert predict_pictures(str(runs / "floor/seed-0/train"), two, Path(inner), Path("poses")) == 2
    with pytest.raises(ValueError, match=r"bbox of annotation 1 must be four finite numbers"):
        predict_pictures(str(runs / "floor/seed-0/train"), two, Path("boxes_nan.json"), Path("other"))
    assert not Path("other").exists()
