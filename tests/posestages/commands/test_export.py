"""Runs as files: checked against their model, read by the script of `examples/onnx`, published and read back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from safetensors.torch import load_file, save_file

import posebed as package
from command_line import posebed
from posebed.data.crop import centre_and_extent, clip_box, crop_affine, warp
from posebed.data.images import Images, decode_named
from posebed.inference.poses import Poses
from posestages.commands.pictures import predict_pictures

CHECKOUT = Path(__file__).parents[3]
SCRIPT = CHECKOUT / "examples" / "onnx" / "predict.py"
BOX = (10.0, 5.0, 55.5, 60.0)

pytestmark = pytest.mark.services
pytest.importorskip("onnxruntime", reason="needs posebed[export]")
pytest.importorskip("onnxscript", reason="needs posebed[export]")


@pytest.fixture(scope="module")
def runs(prepared_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scored runs, their files, and a picture."""
    folder = tmp_path_factory.mktemp("export") / "project"
    shutil.copytree(prepared_project, folder)
    project = package.Project.open(folder)
    for key in ("baseline", "prototypes"):
        project.run(key).train()
    data = folder / "data/menagerie/quads"
    coco = json.loads((data / "annotations.json").read_text())
    shots = [one for one in coco["annotations"] if one["category_id"] == coco["annotations"][0]["category_id"]][:3]
    category = next(one for one in coco["categories"] if one["id"] == shots[0]["category_id"])
    images = {one["id"]: one for one in coco["images"]}
    (folder / "shots" / "images").mkdir(parents=True)
    named = []
    for shot in shots:
        image = images[shot["image_id"]]
        picture = Images(data).decode(f"images.zip/{image['file_name']}")
        image = image | {"file_name": f"{image['id']}.png"}
        cv2.imwrite(str(folder / "shots" / "images" / image["file_name"]), picture[..., ::-1])
        named.append(image)
    (folder / "shots" / "shots.json").write_text(
        json.dumps({"images": named[:2], "annotations": shots[:2], "categories": [category]})
    )
    shutil.copy(folder / "shots" / "images" / named[2]["file_name"], folder / "picture.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in (["baseline"], ["prototypes"], ["prototypes", "--to", "torch"]):
            done = posebed("export", *words)
            assert done.returncode == 0, done.stderr
            assert "of the scale in coordinates" in done.stdout and "crops of the part 'val'" in done.stdout
    return folder


@pytest.fixture(autouse=True)
def here(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(runs)
    return runs


def refused(*words: str) -> str:
    done = posebed("export", *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    return done.stderr


def by_script(*words: str) -> np.ndarray:
    """x, y and confidence of every keypoint, as the script prints them where neither torch nor posebed is there."""
    blocked = "import runpy, sys; sys.modules |= dict.fromkeys(('torch', 'posebed', 'cv2'))"
    code = f"{blocked}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code, str(SCRIPT), *words], capture_output=True, text=True, check=True)
    return np.array([[float(number) for number in line.split("\t")[1:]] for line in done.stdout.splitlines()])


def by_predict(run: str, support: Path | None = None) -> np.ndarray:
    boxes: dict[str, Any] = {"images": [{"id": 1, "file_name": "picture.png", "width": 80, "height": 80}]}
    boxes["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX}]
    Path("boxes.json").write_text(json.dumps(boxes | {"categories": [{"id": 1, "name": "any"}]}))
    predict_pictures(run, [Path("picture.png")], Path("boxes.json"), Path("poses"), support)
    (found,) = json.loads(Path("poses/poses.json").read_text())["annotations"]
    return np.column_stack([np.reshape(found["keypoints"], (-1, 3))[:, :2], found["confidence"]])


def test_the_script_finds_what_predict_finds():
    box = ("--box", *map(str, BOX))
    pairs = [
        (by_script("baseline.onnx", "picture.png", *box), by_predict("baseline")),
        (
            by_script(
                *("prototypes-support.onnx", "prototypes-query.onnx", "picture.png", *box),
                *("--support", "shots/shots.json"),
            ),
            by_predict("prototypes", Path("shots")),
        ),
    ]
    for script, predict in pairs:
        assert script.shape == predict.shape and (predict[:, 2] > 0).any()
        known = predict[:, 2] > 0
        np.testing.assert_allclose(script[known], predict[known], atol=0.02)


@pytest.mark.parametrize("convention", ["plain", "udp", "aligned"])
@pytest.mark.parametrize("box", [(0, 0, 120, 90), (40.3, 30.7, 50, 40), (-20, 50, 60, 70.5)])
def test_the_script_crops_as_posebed_does(convention: Any, box: tuple[float, ...], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import predict  # pyright: ignore[reportMissingImports]

    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    picture, size = cv2.GaussianBlur(noise, (0, 0), 1.5), (96, 64)
    inside = clip_box(box, 120, 90)
    affine = crop_affine(*centre_and_extent(inside, size, 1.25), size, convention=convention)
    crop, own, aspect = predict.cropped(picture, box, {"size": size, "padding": 1.25, "convention": convention})
    np.testing.assert_allclose(own, affine, rtol=1e-12)
    differences = np.abs(crop.transpose(1, 2, 0).astype(int) - warp(picture, affine, size))
    assert differences.max() <= 1 and (differences > 0).mean() < 0.01, "ties of rounding alone"
    assert aspect == pytest.approx(inside[2] / inside[3])


def test_a_file_says_which_run_it_is_of_and_is_checked_again():
    import onnx

    about = json.loads(onnx.load("baseline.onnx").metadata_props[0].value)
    assert about["run"] == "baseline" and about["size"] == [64, 64] and about["padding"] == 1.25
    assert len(about["categories"][0]["keypoints"]) == 17 and len(about["mean"]) == 3
    assert posebed("export", "baseline", "--check", "baseline.onnx").returncode == 0
    files = ("--check", "prototypes-query.onnx", "--check", "prototypes-support.onnx")
    assert posebed("export", "prototypes", *files).returncode == 0


def test_a_file_of_another_run_is_told_from_it():
    assert "must hold the weights of baseline, but is of the run prototypes" in refused(
        "baseline", "--check", "prototypes-query.onnx"
    )
    assert "support and query" in refused("prototypes", "--check", "prototypes-query.onnx")
    Path("noise.onnx").write_bytes(b"no file of ONNX")
    assert "onnxruntime cannot read it" in refused("baseline", "--check", "noise.onnx")
    assert "there is none" in refused("baseline", "--check", "missing.onnx")


def test_a_file_that_other_programs_wrote_is_told():
    import onnx

    file = onnx.load("baseline.onnx")
    del file.metadata_props[:]
    onnx.save(file, "foreign.onnx")
    assert "must be written by `posebed export`" in refused("baseline", "--check", "foreign.onnx")
    file.metadata_props.add(key="posebed", value=json.dumps({"format": 99, "graph": "model"}))
    onnx.save(file, "newer.onnx")
    assert "newer posebed" in refused("baseline", "--check", "newer.onnx")


def test_a_file_that_disagrees_is_not_left(monkeypatch: pytest.MonkeyPatch):
    from posebed.export import files

    class Shifted(files.OnnxFile):
        def __call__(self, given: Any) -> Any:
            found = super().__call__(given)
            return found | {"xy": found["xy"] + 0.01}

    monkeypatch.setitem(files._WAYS, "onnx", (files.write_onnx, Shifted))  # pyright: ignore[reportArgumentType]
    assert "must agree with its model to 1e-04 of the scale" in refused("baseline", "--out", "shifted/baseline.onnx")
    assert [*Path("shifted").iterdir()] == []


def test_what_cannot_be_checked_is_refused():
    shutil.copytree("runs/baseline/seed-0/train", "moved", dirs_exist_ok=True)
    about = json.loads(Path("moved/run.json").read_text())
    Path("moved/run.json").write_text(json.dumps(about | {"pack": "elsewhere"}))
    assert "choose pictures with --picture" in refused("moved", "--out", "moved.onnx")
    assert not Path("moved.onnx").exists()
    done = posebed("export", "moved", "--out", "moved.onnx", "--picture", "picture.png")
    assert done.returncode == 0 and "Checked on 1 pictures" in done.stdout, done.stderr
    assert "must end in .pt2" in refused("baseline", "--to", "torch", "--out", "a.onnx")
    assert "--support must be given" in refused("baseline", "--picture", "picture.png", "--support", "shots")
    assert "must be checked with --support" in refused("prototypes", "--picture", "picture.png")


def test_a_model_that_is_trained_in_a_test_is_refused_by_name():
    shutil.copytree("runs/prototypes/seed-0/train", "adaptive", dirs_exist_ok=True)
    about = json.loads(Path("adaptive/run.json").read_text())
    Path("adaptive/run.json").write_text(json.dumps(about | {"key": "adaptive", "model": "maml", "config": {}}))
    assert "but maml is trained anew on the supports of every episode" in refused("adaptive")


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install posebed[export]" in refused("baseline", "--out", "none.onnx")
    assert not Path("none.onnx").exists()


def published(run: str) -> Path:
    folder = Path(f"published-{run}")
    shutil.rmtree(folder, ignore_errors=True)
    done = posebed("publish", run, str(folder))
    assert done.returncode == 0 and "with its result" in done.stdout, done.stderr
    return folder


def same(one: Poses, other: Poses) -> None:
    np.testing.assert_array_equal(one.xy, other.xy)
    np.testing.assert_array_equal(one.confidence, other.confidence)


def test_a_published_run_predicts_the_same():
    picture = decode_named(Path("picture.png"))
    same(package.load_model(published("baseline")).predict(picture), package.load_model("baseline").predict(picture))
    there = package.load_model(published("prototypes")).predict(picture, supports=Path("shots"))
    same(there, package.load_model("prototypes").predict(picture, supports=Path("shots")))
    assert posebed("export", "published-baseline", "--check", "baseline.onnx").returncode == 0


def test_the_card_says_result_protocol_and_provenance():
    folder = published("baseline")
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "curve.json", "model.safetensors"}
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    metrics = yaml.safe_load(front)["model-index"][0]["results"][0]["metrics"]
    score = package.Project.open(".").run("baseline").result.score("PCK@0.2")
    assert {"type": "PCK@0.2", "name": "PCK@0.2", "value": score.value} in metrics
    assert f"| PCK@0.2 | {score.value:.4g} | [{score.low:.4g}, {score.high:.4g}] |" in body
    assert "Protocol:" in body and "weights (sha256)" in body
    assert str(Path.cwd()) not in front + body


def test_published_settings_keep_no_path(tmp_path: Path):
    shutil.copytree("runs/baseline/seed-0/train", tmp_path / "run")
    about = json.loads((tmp_path / "run/run.json").read_text())
    about["config"]["weights"] = "/home/somebody/resnet.pth"
    (tmp_path / "run/run.json").write_text(json.dumps(about))
    assert posebed("publish", str(tmp_path / "run"), str(tmp_path / "out")).returncode == 0
    assert json.loads((tmp_path / "out/config.json").read_text())["config"]["weights"] == "resnet.pth"


def test_folders_that_are_no_published_run_are_told(tmp_path: Path):
    done = posebed("publish", "baseline", str(Path("runs")))
    assert done.returncode == 2 and "must be a new or empty folder" in done.stderr
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "bert"}')
    save_file(load_file("runs/baseline/seed-0/train/best.safetensors"), other / "model.safetensors")
    with pytest.raises(ValueError, match="must be a run that `posebed publish` wrote, but has no key"):
        package.load_model(other)
