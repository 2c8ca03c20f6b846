"""A trained run's files say which model it is of, and choose nothing that is imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.inference.trained_model import open_trained
from posebed.records import Category
from posebed.training.run_folder import described, write_untrained

SETTING = Setting((64, 64), 2, (Category("thing", "thing", ("a", "b")),))


def trained(folder: Path, **about: Any) -> Path:
    content = {"key": "run", "model": "mean_pose", "task": "category_specific", "config": {}}
    write_untrained(folder, {"x": torch.zeros(1)}, {**content, **described(SETTING, 1.25, "ours"), **about})
    return folder


@pytest.mark.parametrize("model", ["evil", "posebed.config", "os.path", "", "../evil"])
def test_a_model_that_is_in_no_catalog_is_refused_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("evil.py").write_text("raise SystemExit('imported')")
    with pytest.raises(LookupError, match=r"model must be one of cape_former, .* but is '"):
        open_trained(trained(tmp_path / "run", model=model), installed())
    assert "evil" not in sys.modules


def test_the_config_of_another_model_is_refused_by_its_file(tmp_path: Path):
    with pytest.raises(ValueError, match=r"run: config: unicorns: "):
        open_trained(trained(tmp_path / "run", config={"unicorns": 1}), installed())


def test_descriptions_of_the_first_version_named_the_zoo_s_module(tmp_path: Path):
    folder = trained(tmp_path / "run", model="posezoo.no_such_model")
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"schema": 2', '"schema": 1'))
    with pytest.raises(LookupError, match="but is 'no_such_model'"):
        open_trained(folder, installed())
