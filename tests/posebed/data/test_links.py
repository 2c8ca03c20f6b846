"""Links: read where the user or the project's DVC allows the place, refused with its name everywhere else."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.config import DataConfig
from posebed.data.images import ForbiddenLink, Images, OutsideRoot, decode_named
from posebed.datasets.coco_folder import Options, check_path
from posebed.datasets.coco_folder import read as read_folder
from posebed.records import Reading
from posestages.prepare import read as read_entry

PICTURE = cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))[1].tobytes()
ANNOTATIONS = """{"images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
"categories": [{"id": 1, "name": "cat", "keypoints": ["nose"]}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 2], "bbox": [0, 0, 9, 9]}]}"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with links of every kind beside an allowed and a secret folder; files hold where they lie."""
    world = tmp_path_factory.mktemp("world").resolve()
    for folder in ("data", "data/sub", "allowed", "allowed/sub", "secret", "secret/sub", "allowed-not"):
        (world / folder).mkdir(parents=True)
        (world / folder / "f").write_text(folder)
    with zipfile.ZipFile(world / "secret/z.zip", "w") as file:
        file.writestr("f", "secret/z.zip")
    for link, target in {
        "to-allowed": "../allowed",
        "to-secret": "../secret",
        "to-near": "../allowed-not",
        "file": "../secret/f",
        "absolute": str(world / "secret"),
        "z.zip": "../secret/z.zip",
        "inside": "sub",
        "circle": "circle",
        "sub/up": "../..",
    }.items():
        (world / "data" / link).symlink_to(target)
    (world / "allowed" / "back").symlink_to("../secret")
    return world


PARTS = ("..", "sub", "up", "f", "data", "allowed", "secret", "to-allowed", "to-secret", "to-near", "file", "absolute")
PARTS += ("z.zip", "inside", "circle", "back", ".", "", "allowed-not", "/")


@given(parts=st.lists(st.sampled_from(PARTS), max_size=6), linked=st.booleans(), absolute=st.booleans())
def test_no_path_of_an_annotation_file_leads_out_of_the_folder_and_the_named_places(
    world: Path, parts: list[str], linked: bool, absolute: bool
) -> None:
    path = (f"{world}/" if absolute else "") + "/".join(parts)
    images = Images(world / "data", Reading(linked=(str(world / "allowed"),) if linked else ()))
    try:
        content = images.read(path).decode()
    except (OutsideRoot, OSError):
        return
    assert content in {"data", "data/sub", *(("allowed", "allowed/sub") if linked else ())}


def test_links_to_named_places_and_within_the_folder_are_read(world: Path) -> None:
    images = Images(world / "data", Reading(linked=(str(world / "allowed"),)))
    for path, content in {"to-allowed/f": "allowed", "to-allowed/sub/f": "allowed/sub", "inside/f": "data/sub"}.items():
        assert images.read(path).decode() == content


@pytest.mark.parametrize("path", ["to-secret/f", "file", "absolute/f", "z.zip/f", "to-near/f", "to-allowed/back/f"])
def test_a_refused_link_is_named_with_its_target_and_the_option(world: Path, path: str) -> None:
    with pytest.raises(ForbiddenLink, match=r"is a link to .*; the option linked names folders") as refused:
        Images(world / "data", Reading(linked=(str(world / "allowed"),))).read(path)
    assert str(world) in refused.value.target


def test_a_circle_of_links_is_refused(world: Path) -> None:
    with pytest.raises(ForbiddenLink, match="a link to itself"):
        Images(world / "data").exists("circle")


def linked_set(folder: Path) -> Path:
    """A dataset whose folder of pictures is a link."""
    (folder / "data").mkdir()
    (folder / "disk").mkdir()
    (folder / "disk/a.png").write_bytes(PICTURE)
    (folder / "data/annotations.json").write_text(ANNOTATIONS)
    (folder / "data/images").symlink_to(folder / "disk")
    return folder / "data"


def test_the_option_linked_reaches_the_dataset_and_a_relative_place_is_seen_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = linked_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    dataset = read_entry(DataConfig(source="coco_folder", path=str(data), options={"linked": ["disk"]}), "data.x")
    assert (len(dataset.records), dataset.problems, dataset.reading.linked) == (1, (), ("disk",))
    assert Images(dataset.root, dataset.reading).decode(dataset.records[0].image).shape == (30, 40, 3)


@pytest.mark.parametrize("reader", [check_path, lambda path: read_folder(Options(), path)], ids=["check", "read"])
def test_pictures_behind_a_refused_link_are_problems_that_say_so(tmp_path: Path, reader) -> None:
    (problem,) = reader(linked_set(tmp_path)).problems
    assert problem.reason == "link leaves the folder"
    assert "a link to" in problem.found and "option linked" in problem.must


def test_a_picture_that_the_user_names_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/a.png").write_bytes(PICTURE)
    (tmp_path / "b.png").symlink_to(tmp_path / "disk/a.png")
    assert decode_named(tmp_path / "b.png").shape == (30, 40, 3)


def dvc_repository(folder: Path, cache: str | None = None) -> Path:
    """A folder that DVC takes for a repository; the path of one object in its cache."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text(f"[cache]\n    dir = {cache}\n" if cache else "")
    thing = (folder / ".dvc" / (cache or "cache")).resolve() / "files/md5/0a" / ("b" * 30)
    thing.parent.mkdir(parents=True)
    thing.write_bytes(PICTURE)
    return thing


def set_with(link_to: Path, data: Path) -> Path:
    (data / "images").mkdir(parents=True)
    (data / "annotations.json").write_text(ANNOTATIONS)
    (data / "images/a.png").symlink_to(link_to)
    return data


@pytest.mark.parametrize("cache", [None, "../../elsewhere"], ids=["default", "configured"])
def test_links_into_the_projects_dvc_cache_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str | None
) -> None:
    thing = dvc_repository(tmp_path / "project", cache)
    monkeypatch.chdir(tmp_path / "project")
    assert not check_path(set_with(thing, tmp_path / "project/data")).problems


def test_of_a_dvc_cache_only_objects_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = dvc_repository(tmp_path / "project")
    other = thing.parents[3] / "a.png"
    other.write_bytes(PICTURE)
    monkeypatch.chdir(tmp_path / "project")
    assert check_path(set_with(other, tmp_path / "project/data")).problems


@pytest.mark.parametrize("working", ["project", "project/data", "project/data/sub"])
def test_a_dvc_repository_that_came_with_the_data_allows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, working: str
) -> None:
    thing = dvc_repository(tmp_path / "project/data", str(tmp_path / "victim"))
    data = set_with(thing, tmp_path / "project/data/x").parent
    (tmp_path / "project/data/sub").mkdir()
    (data / "x/annotations.json").rename(data / "annotations.json")
    (data / "x/images").rename(data / "images")
    monkeypatch.chdir(tmp_path / working)
    (problem,) = check_path(data).problems
    assert problem.reason == "link leaves the folder"


def test_the_links_of_the_reported_case_are_read_once_allowed(cases: Path) -> None:
    real = cases / "symlinks/real"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "linkfiles")
        (data / "images").mkdir(parents=True)
        (data / "annotations.json").write_bytes((real / "annotations.json").read_bytes())
        for picture in (real / "images").iterdir():
            (data / "images" / picture.name).symlink_to(picture)
        assert {p.reason for p in read_folder(Options(), data).problems} == {"link leaves the folder"}
        allowed = read_folder(Options(linked=(str(real),)), data)
        assert (len(allowed.records), allowed.problems) == (8, ())
