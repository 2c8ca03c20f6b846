"""The stages that make data: refused data leaves nothing behind, dropped records are counted, bytes repeat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posebed.config import DataConfig
from posebed.data.crop import warp
from posebed.data.images import prepared_pictures
from posebed.data.pack import Pack
from posebed.datasets.coco_folder import check_path
from posebed.files import file_hashes
from posebed.params import Params
from posebed.records import PREPARED_FILES, Reading, categories_from, read_problems, read_records
from posestages import stage
from posestages.commands.pictures import draw_sheet
from posestages.pack import pack
from posestages.prepare import prepare, read

PICTURE = cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))[1].tobytes()


def make_data(folder: Path, **spoiled: dict[str, Any]) -> Path:
    """Ten cats and ten dogs; ``cat3={...}`` changes the fourth cat's annotation."""
    (folder / "images").mkdir(parents=True)
    content: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    for category, name in enumerate(("cat", "dog")):
        sigmas = {"sigmas": [0.1, 0.1]} if name == "cat" else {}
        content["categories"].append({"id": category, "name": name, "keypoints": ["nose", "tail"], **sigmas})
        for i in range(10):
            (folder / "images" / f"{name}{i}.png").write_bytes(PICTURE)
            identity = f"{name}{i}"
            content["images"].append({"id": identity, "file_name": f"{identity}.png", "width": 40, "height": 30})
            annotation = {"id": identity, "image_id": identity, "category_id": category, "bbox": [0, 0, 9, 9]}
            content["annotations"].append(
                annotation | {"keypoints": [1, 2, 2, 0, 0, 0]} | spoiled.get(identity, {}),
            )
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def params(path: Path, **data: Any) -> Params:
    return Params.model_validate({"data": {"pets": {"source": "coco_folder", "path": str(path), **data}}})


def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "about.json").read_text())


SPOILED: dict[str, dict[str, Any]] = {
    "cat3": {"bbox": [0, 0, -1, 5]},
    "cat4": {"bbox": [0, 0, -1, 5], "keypoints": [1, 2]},
    "dog7": {"bbox": [0, 0, 0, 5]},
}


def test_sound_data_is_written_whole(tmp_path: Path) -> None:
    path = make_data(tmp_path / "raw")
    prepare(params(path), "pets", tmp_path / "out")
    assert len(read_records(tmp_path / "out" / "records.parquet")) == 20
    categories = categories_from(json.loads((tmp_path / "out" / "categories.json").read_text()))
    assert [c.key for c in categories] == ["cat", "dog"]
    assert read_problems(tmp_path / "out" / "problems.csv") == []
    assert about(tmp_path / "out") == {
        "schema": 2,
        "root": str(path),
        "reading": {"orientation": "stored", "bits": None, "linked": []},
        "notes": [],
        "checked": 20,
        "kept": 20,
        "dropped": {},
        "instances": {"cat": 10, "dog": 10},
        "default_sigmas": ["dog"],
        "files": file_hashes(tmp_path / "out", PREPARED_FILES),
    }


def test_refused_data_leaves_nothing_behind(tmp_path: Path) -> None:
    path = make_data(tmp_path / "raw", **SPOILED)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"data\.pets must be free of problems") as refusal:
        prepare(params(path), "pets", tmp_path / "out" / "pets")
    assert "record cat4, cat: keypoints: wrong number of keypoint values: found 2 values" in str(refusal.value)
    assert "3 box without extent" in str(refusal.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_refused_data_leaves_the_former_table_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(params(make_data(tmp_path / "sound")), "pets", out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ValueError, match="must"):
        prepare(params(make_data(tmp_path / "spoiled", **SPOILED)), "pets", out)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_dropped_records_are_counted_by_reason_and_category(tmp_path: Path) -> None:
    path = make_data(tmp_path / "raw", **SPOILED)
    prepare(params(path, invalid="drop"), "pets", tmp_path / "out")
    kept = {r.record for r in read_records(tmp_path / "out" / "records.parquet")}
    assert len(kept) == 17
    assert not kept & set(SPOILED)
    assert about(tmp_path / "out")["dropped"] == {
        "box without extent": {"cat": 2, "dog": 1},
        "wrong number of keypoint values": {"cat": 1},
    }
    assert about(tmp_path / "out")["checked"] == 20
    assert about(tmp_path / "out")["instances"] == {"cat": 8, "dog": 9}
    problems = read_problems(tmp_path / "out" / "problems.csv")
    assert {p.record for p in problems} == set(SPOILED)


def test_a_file_that_cannot_be_read_is_never_dropped(tmp_path: Path) -> None:
    make_data(tmp_path / "raw" / "one")
    make_data(tmp_path / "raw" / "two")
    (tmp_path / "raw" / "two" / "annotations.json").write_text("{")
    with pytest.raises(ValueError, match=r"two/annotations\.json"):
        prepare(params(tmp_path / "raw", invalid="drop"), "pets", tmp_path / "out")


def test_data_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    every = {f"{name}{i}": {"bbox": []} for name in ("cat", "dog") for i in range(10)}
    with pytest.raises(ValueError, match="must have a record without problems"):
        prepare(params(make_data(tmp_path / "raw", **every), invalid="drop"), "pets", tmp_path / "out")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    path = make_data(tmp_path / "raw", **SPOILED)
    for name in ("one", "two"):
        prepare(params(path, invalid="drop"), "pets", tmp_path / name)
    one, two = ({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert set(one) == {"records.parquet", "pictures.parquet", "categories.json", "problems.csv", "about.json"}


@pytest.mark.parametrize(
    ("key", "data", "says"),
    [
        ("lions", {}, "data must have an entry 'lions', but has pets"),
        ("pets", {"source": "zoo"}, "or a module that params.yaml names, but is 'zoo'"),
        ("pets", {"options": {"image": "x", "group_run": 0}}, "data.pets.options: group_run.*\n.*image"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(tmp_path: Path, key: str, data: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, LookupError), match=says):
        prepare(params(make_data(tmp_path / "raw"), **data), key, tmp_path / "out")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_stages_run_one_after_the_other_and_refuse_with_a_sentence(tmp_path: Path) -> None:
    make_data(tmp_path / "raw")
    (tmp_path / "params.yaml").write_text(
        "data: {pets: {source: coco_folder, path: raw}}\nsplits: {half: {data: pets, val: 0.25, test: 0.25}}\n"
    )
    too_early = run(tmp_path, "posestages.split", "half")
    assert (too_early.returncode, too_early.stdout) == (2, "")
    assert "must find prepared records" in too_early.stderr and "Traceback" not in too_early.stderr
    assert run(tmp_path, "posestages.prepare", "pets").returncode == 0
    assert about(tmp_path / "data" / "prepared" / "pets")["root"] == "raw"
    assert run(tmp_path, "posestages.split", "half").returncode == 0
    assert about(tmp_path / "data" / "splits" / "half")["records"]["train"] == {"cat": 5, "dog": 5}
    assert run(tmp_path, "posestages.prepare").returncode == 2
    assert sorted(f.name for f in (tmp_path / "data").iterdir()) == ["prepared", "splits"]


def test_a_mistake_in_the_program_keeps_its_traceback() -> None:
    def main(arguments: list[str]) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        stage.run(main)


def test_no_stage_reports_home() -> None:
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert {os.environ[n] for n in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DVC_NO_ANALYTICS")} == {"true"}


def turned_data(folder: Path, tag: int, size: tuple[int, int]) -> Path:
    """One JPEG of 40 x 30 with an orientation tag, and annotations that state another size."""
    stored = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([tag]) + bytes(6)
    jpeg = jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2) + block + jpeg[2:]
    (folder / "images").mkdir(parents=True)
    (folder / "images/a.jpg").write_bytes(jpeg)
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 4, 20, 22], "keypoints": [4, 5, 2, 20, 24, 2]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "cat", "keypoints": ["nose", "tail"]}],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("tag", range(1, 9))
def test_displayed_pictures_are_displayed_in_packs_gallery_and_sheets(tmp_path: Path, tag: int) -> None:
    """The decoder's own turning, which is on without its flag, is the reference."""
    data = turned_data(tmp_path / "raw", tag, (30, 40) if tag >= 5 else (40, 30))
    shown = cv2.imread(str(data / "images/a.jpg"), cv2.IMREAD_COLOR_RGB)
    assert shown is not None
    entries = params(data, options={"orientation": "displayed"}).model_dump()
    config = Params.model_validate({**entries, "packs": {"p": {"data": "pets", "crop_size": (32, 32)}}})
    prepare(config, "pets", tmp_path / "out")
    assert np.array_equal(prepared_pictures(tmp_path / "out").decode("images/a.jpg"), shown)
    pack(config, "p", tmp_path / "out", tmp_path / "pack")
    crop = Pack.open(tmp_path / "pack").evaluation_crops[[0]][0]
    affine = Pack.open(tmp_path / "pack").affine[0]
    assert np.array_equal(crop, warp(shown, affine, (32, 32)))
    dataset = read(config.data["pets"], "check")
    draw_sheet(dataset, tmp_path / "turned.png", 1, [])
    (data / "images/a.jpg").write_bytes(cv2.imencode(".png", shown[..., ::-1])[1].tobytes())
    draw_sheet(replace(dataset, reading=Reading()), tmp_path / "plain.png", 1, [])
    assert (tmp_path / "turned.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_a_size_that_only_the_tag_explains_is_refused_with_tag_and_option(tmp_path: Path) -> None:
    data = turned_data(tmp_path / "raw", 6, (30, 40))
    with pytest.raises(ValueError, match="by its orientation tag 6 it fits the option 'orientation: displayed'"):
        prepare(params(data), "pets", tmp_path / "out")
    prepare(params(data, options={"orientation": "displayed"}), "pets", tmp_path / "out")
    assert "Pictures with an orientation tag, turned as it says: 1, " in " ".join(about(tmp_path / "out")["notes"])


def test_deep_pictures_of_a_dataset_are_scaled_alike_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_data(tmp_path / "raw")
    for name, value in (("cat0", 4095), ("cat1", 800)):
        cv2.imwrite(str(path / f"images/{name}.png"), np.full((30, 40, 3), value, np.uint16))
    prepare(params(path), "pets", tmp_path / "out")
    pictures = prepared_pictures(tmp_path / "out")
    assert [int(pictures.decode(f"images/{name}.png")[0, 0, 0]) for name in ("cat0", "cat1", "cat2")] == [255, 50, 0]
    note = "Pictures of more than 8 bits per channel, whose 12 bits are scaled to 8: 2, the first is images/cat0.png."
    assert about(tmp_path / "out")["notes"] == [note]
    assert note in capsys.readouterr().out


@pytest.mark.parametrize(("case", "tag"), [("exif3", 3), ("exif6_stored", 6), ("tif3", 3), ("exif6_shown", 6)])
def test_cases_with_orientation_tags_are_reported(cases: Path, case: str, tag: int) -> None:
    dataset = check_path(cases / "exif" / case)
    assert any("Pictures with an orientation tag, not turned" in n and f"tag {tag}." in n for n in dataset.notes)
    assert len(dataset.records) == (0 if case == "exif6_shown" else 8)
    displayed = DataConfig(source="coco_folder", path=str(cases / "exif" / case), options={"orientation": "displayed"})
    assert len(read(displayed, "check").records) == (0 if case == "exif6_stored" else 8)
