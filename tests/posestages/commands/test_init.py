"""A project in a folder of its own, made by `posebed init`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from command_line import posebed
from posebed.config import read_params
from posestages.commands.init import EXAMPLES

CHECKOUT = Path(__file__).parents[3]
ALL = [None, *EXAMPLES]


def made(folder: Path, example: str | None = None) -> str:
    done = posebed("init", str(folder), *(["--example", example] if example else []))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", ALL)
def test_every_example_is_a_project_that_dvc_and_we_can_read(
    example: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a new pröject"
    assert "cd '" in made(folder, example)
    params = read_params(folder / "params.yaml")
    monkeypatch.chdir(folder)
    stages = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"], capture_output=True, text=True
    )
    assert stages.returncode == 0, stages.stderr
    assert {f"pack@{key}" for key in params.packs} | {"benchmark", "report"} <= {*stages.stdout.split()}


def test_in_a_repository_what_was_there_stays_and_what_stages_write_is_ignored(tmp_path: Path):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    folder = tmp_path / "poses"
    folder.mkdir()
    (folder / "README.md").write_text("Mine.\n")
    (folder / ".gitignore").write_text("/secret\n/runs/\n")
    made(folder)
    assert (folder / "README.md").read_text() == "Mine.\n"
    lines = (folder / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["/secret", "/runs/"] and lines.count("/runs/") == 1 and "/data/packs/" in lines
    assert "no_scm" not in (folder / ".dvc/config").read_text()


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml"])
def test_a_project_is_not_overwritten(name: str, tmp_path: Path):
    (tmp_path / name).write_text("mine")
    refused = posebed("init", str(tmp_path))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1) and f"must not have {name} yet" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"


def test_an_example_that_is_none_is_refused(tmp_path: Path):
    refused = posebed("init", str(tmp_path / "new"), "--example", "cats")
    assert refused.returncode == 2 and "--example must be one of quadrupeds, " in refused.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.services
def test_the_wheel_alone_makes_a_project_and_runs_it_outside_any_repository(tmp_path: Path):
    """In a folder whose path has a space and letters outside ASCII, by an environment that has the wheel and what it
    needs, and no checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/*/site-packages")
    # The packages of this environment, but not the checkout that is installed into it.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--offline"]
    subprocess.run([*install, "--python", str(environment / "bin/python"), str(wheel)], check=True)

    def run(*words: str, folder: Path) -> str:
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        own |= {"PATH": f"{environment / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"}
        done = subprocess.run([*words], cwd=folder, env=own, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    project = tmp_path / "ein neues Pröjekt"
    run("posebed", "init", str(project), folder=tmp_path)
    (project / "params.yaml").write_text(SMALL)
    place = run("python", "-c", "import posestages; print(posestages.__file__)", folder=project)
    assert place.startswith(str(environment))
    printed = run("dvc", "repro", folder=project)
    assert "PCK@0.2" in printed and (project / "report/index.html").is_file()
    assert "up to date" in run("dvc", "repro", folder=project).lower() or (project / "dvc.lock").is_file()


SMALL = """
menagerie:
  quads: {set: quadrupeds, images: 48, side: 80, categories: [tiger, horse, cow, fox]}
data:
  quads: {source: coco_folder, path: data/menagerie/quads}
splits:
  quads: {data: quads, val: 0.2, test: 0.2}
packs:
  small: {data: quads, crop_size: [64, 64]}
models:
  mean_pose: {}
  simple_baseline:
    config: {backbone: test_resnet, weights: none, channels: 8, flip_test: "off"}
    train: {epochs: 2, batch_size: 8, checkpoint_every: 1, precision: float32}
scoring: {resamples: 100}
searches: {}
runs:
  floor: {model: mean_pose, split: quads, pack: small}
  baseline: {model: simple_baseline, split: quads, pack: small}
"""
