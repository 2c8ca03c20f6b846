"""A project in a folder of its own, made by `posebed init`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from command_line import posebed
from posebed.params import read_params
from posestages.commands.init import EXAMPLES

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
