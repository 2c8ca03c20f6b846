"""A trained run's files say which model it is of, and choose nothing that is imported."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.inference.trained_model import open_trained
from posebed.records import Category
from posebed.training.run_folder import described, write_untrained

SETTING = Setting((64, 64), 2, (Category("thing", "thing", ("a", "b")),))


WEIGHTS = {"mean": torch.zeros(2, 2, dtype=torch.float64), "labelled": torch.ones(2, dtype=torch.bool)}


def trained(folder: Path, weights: dict[str, Tensor] = WEIGHTS, **about: Any) -> Path:
    content = {"key": "run", "model": "mean_pose", "task": "category_specific", "config": {}, "train": {}}
    content |= {"seed": 0, "data": "d", "split": "s", "pack": "p", "shots": 0, "boxes": "annotated", "fingerprint": "f"}
    write_untrained(folder, weights, {**content, **described(SETTING, 1.25, "plain"), **about})
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
    with pytest.raises(
        ValueError,
        match=r"run/run\.json must hold a config of mean_pose, but config has unicorns, which m",
    ):
        open_trained(trained(tmp_path / "run", config={"unicorns": 1}), installed())


def test_descriptions_of_the_first_version_named_the_zoo_s_module(tmp_path: Path):
    folder = trained(tmp_path / "run", model="posezoo.no_such_model")
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"schema": 3', '"schema": 1'))
    with pytest.raises(LookupError, match="but is 'no_such_model'"):
        open_trained(folder, installed())


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (
            {**WEIGHTS, "mean": torch.tensor([[0.5, float("nan")], [0, 0]])},
            "must hold finite weights, but has NaN or inf.* in mean;",
        ),
        ({"mean": WEIGHTS["mean"]}, "must hold the weights of its model, but: .*labelled"),
        ({**WEIGHTS, "further": torch.zeros(1)}, "must hold the weights of its model, but: .*further"),
        (
            {**WEIGHTS, "mean": torch.zeros(2, 2, dtype=torch.int64)},
            "must be floating-point, but is torch.int64 in mean",
        ),
    ],
)
def test_weights_that_are_not_the_model_s_are_refused_by_tensor(tmp_path: Path, weights: dict[str, Tensor], says: str):
    with pytest.raises(ValueError, match=f"run/best.safetensors {says}"):
        open_trained(trained(tmp_path / "run", weights), installed())


def test_weights_and_curves_that_are_others_than_were_described_are_refused(tmp_path: Path):
    folder = trained(tmp_path / "run")
    open_trained(folder, installed())
    for name in ("curve.json", "best.safetensors"):
        sound = (folder / name).read_bytes()
        (folder / name).write_bytes(b" []" if name == "curve.json" else _other_weights(tmp_path))
        with pytest.raises(ValueError, match=f"{name} must be as it was written, but its content has another hash"):
            open_trained(folder, installed())
        (folder / name).write_bytes(sound)
    about = folder / "run.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "schema": 2, "files": {}}))
    (folder / "best.safetensors").write_bytes(_other_weights(tmp_path))
    open_trained(folder, installed())  # of the time before descriptions held hashes


def _other_weights(folder: Path) -> bytes:
    return (trained(folder / "other", {**WEIGHTS, "mean": WEIGHTS["mean"] + 1}) / "best.safetensors").read_bytes()


@pytest.mark.parametrize("giant", [{"channels": 10**7}, {"deconvs": 10**9}])
def test_a_description_of_a_giant_is_refused_before_memory_is_taken(giant: dict[str, int], tmp_path: Path):
    folder = trained(
        tmp_path / "run",
        model="simple_baseline",
        config={"backbone": "test_resnet", "weights": "none", **giant},
    )
    with pytest.raises(
        ValueError, match=r"the weights of the model in run\.json, but has 0\.0 MB for a much larger one"
    ):
        open_trained(folder, installed())
