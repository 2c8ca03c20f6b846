"""The way of a newcomer: an environment from the built wheel and the locked packages, a project outside any repository,
own pictures, first results, a first prediction."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
UV = (sys.executable, "-m", "uv")
KEYPOINTS = ("top", "right", "bottom", "left")
SIDE = 96

pytestmark = pytest.mark.services


class Newcomer:
    """Somebody whose shell has an environment of its own and knows nothing of the checkout."""

    def __init__(self, environment: Path) -> None:
        foreign = ("PYTHONPATH", "VIRTUAL_ENV", "MLFLOW_TRACKING_URI")
        self.variables = {name: value for name, value in os.environ.items() if name not in foreign}
        own = str(Path(sys.executable).parent)
        path = [part for part in self.variables["PATH"].split(os.pathsep) if part != own]
        self.variables["PATH"] = os.pathsep.join([str(environment / "bin"), *path])

    def gives(self, *words: str, at: Path) -> str:
        done = subprocess.run(words, cwd=at, env=self.variables, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With the wheel and the locked packages, of uv's cache or else of an index."""
    folder = tmp_path_factory.mktemp("newcomer")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    made = folder / "environment"
    subprocess.run([*UV, "venv", "--quiet", "--python", sys.executable, str(made)], check=True)
    install = (*UV, "pip", "install", "--quiet", "--python", str(made / "bin/python"))
    locked = ("--require-hashes", "-r", str(CHECKOUT / "requirements.lock.txt"))
    for place in (["--offline"], []):  # the cache lacks what pip installed for `make setup`
        packages = subprocess.run([*install, *place, *locked], capture_output=True, text=True)
        if not packages.returncode:
            break
    else:
        pytest.skip(f"uv's cache or an index must have the locked packages: {packages.stderr[-300:]}")
    subprocess.run([*install, "--offline", "--no-deps", str(wheel)], check=True)
    yield made
    shutil.rmtree(made)  # several GB where the cache is on another file system


def draw_kites(folder: Path, count: int) -> None:
    """Write pictures of bright kites on noise, with their four corners as COCO keypoints."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        x, y = random.uniform(38, 58, 2)
        reach = random.uniform(14, 30)
        corners = np.array([[x, y - reach], [x + reach / 2, y], [x, y + reach], [x - reach / 2, y]])
        picture = random.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
        cv2.fillPoly(picture, [corners.round().astype(np.int32)], (40, 200, int(random.integers(100, 255))))
        name = f"kite {number}.png"
        assert cv2.imwrite(str(folder / "images" / name), picture)
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        box = [x - reach / 2, y - reach, reach, 2 * reach]
        points = [value for corner in corners.tolist() for value in (*corner, 2)]
        about = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "num_keypoints": len(KEYPOINTS)}
        annotations.append(about | {"keypoints": points, "bbox": box, "area": box[2] * box[3]})
    links = [[1, 2], [2, 3], [3, 4], [4, 1]]
    category = {"id": 1, "name": "kite", "supercategory": "toy", "keypoints": KEYPOINTS, "skeleton": links}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "annotations.json").write_text(json.dumps(content))


def name_own_data(params: Path) -> None:
    """Edit the example's parameters: own pictures instead of its four sets, two runs, and little time."""
    entries = yaml.safe_load(params.read_text())
    model = entries["models"]["simple_baseline"]
    model["train"] |= {"epochs": 2, "draws": 32, "batch_size": 8, "warmup_steps": 2, "checkpoint_every": 1}
    split = {"split": "kites", "pack": "kites"}
    entries |= {
        "data": {"kites": {"source": "coco_folder", "path": "photographs/drachen"}},
        "splits": {"kites": entries["splits"]["tiger"] | {"data": "kites"}},
        "packs": {"kites": {"data": "kites", "crop_size": [64, 64]}},
        "models": {"mean_pose": {}, "simple_baseline": model},
        "runs": {"floor": {"model": "mean_pose", **split}, "own": {"model": "simple_baseline", **split}},
        "scoring": {"resamples": 100},
    }
    params.write_text(yaml.safe_dump(entries))


@pytest.mark.slow(minutes=5)
def test_from_the_wheel_to_a_first_prediction(environment: Path, tmp_path: Path) -> None:
    """In a folder whose path has spaces and letters outside ASCII."""
    newcomer = Newcomer(environment)
    project = tmp_path / "ein neues Pröjekt – 詩"
    assert "dvc repro" in newcomer.gives("posebed", "init", str(project), "--example", "photographs", at=tmp_path)
    place = newcomer.gives("python", "-c", "import posestages; print(posestages.__file__)", at=project)
    assert Path(place).is_relative_to(environment)

    draw_kites(project / "photographs" / "drachen", 24)
    assert "No problem in 24 annotations" in newcomer.gives("posebed", "check", "photographs/drachen", at=project)
    name_own_data(project / "params.yaml")

    newcomer.gives("dvc", "repro", at=project)
    again = newcomer.gives("dvc", "repro", at=project)
    assert re.findall("Running stage '(.+)'", again) == ["identities"]  # which looks what has changed

    table = newcomer.gives("posebed", "results", at=project)
    assert all(text in table for text in ("PCK@0.2", "own", "floor"))
    page = (project / "report/index.html").read_text()
    assert "kites" in page and "own" in page

    picture = "photographs/drachen/images/kite 1.png"
    assert "1 pose:" in newcomer.gives("posebed", "predict", "own", picture, at=project)
    found = json.loads((project / "poses/poses.json").read_text())
    (pose,) = found["annotations"]
    corners = np.array(pose["keypoints"]).reshape(len(KEYPOINTS), 3)
    assert np.isfinite(corners).all() and (corners[:, :2] > -SIDE).all() and (corners[:, :2] < 2 * SIDE).all()
    assert len([*(project / "poses").glob("*.[jp][pn]g")]) == 1
