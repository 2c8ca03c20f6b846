"""A trained run on disk: ``best.safetensors``, ``last.safetensors``, ``curve.json`` and ``run.json``.

``run.json`` says what is needed to build the model again, so that a trained run predicts without the data that it
was trained on.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from posebed.contracts import Setting, Task
from posebed.data.pack import Pack
from posebed.experiment import Experiment
from posebed.records import categories_from_json, categories_to_json
from posebed.scoring.result import Epoch

FILES = ("best.safetensors", "last.safetensors", "curve.json")
"""What a run takes from its newest checkpoint."""


def write_trained(folder: Path, outcome: Path, experiment: Experiment) -> None:
    """Copy a job's outcome to its place, whole or not at all."""
    setting = Pack.open(experiment.pack_folder).setting()
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for file in FILES:
        shutil.copy2(outcome / file, unfinished / file)
    about = experiment.described() | {
        "fingerprint": experiment.fingerprint,
        "size": list(setting.size),
        "padding": json.loads((experiment.pack_folder / "about.json").read_text())["padding"],
        "keypoints": setting.keypoints,
        "categories": json.loads(categories_to_json(setting.categories)),
    }
    (unfinished / "run.json").write_text(json.dumps(about, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


@dataclass(frozen=True)
class Trained:
    model: Any
    """The ``PoseModel`` with its best weights, in eval mode."""
    setting: Setting
    task: Task
    device: torch.device
    about: Mapping[str, Any]
    """The whole of ``run.json``."""
    curve: tuple[Epoch, ...]


def open_trained(folder: Path, device: torch.device | str = "cpu") -> Trained:
    """Build a run's model and load its best weights.

    Raises:
        LookupError: the folder holds no trained run.
    """
    if not (folder / "run.json").is_file():
        raise LookupError(f"{folder} must hold a trained run, but it has no run.json")
    about = json.loads((folder / "run.json").read_text())
    spec = importlib.import_module(about["model"]).SPEC
    categories = categories_from_json(json.dumps(about["categories"]))
    setting = Setting(size=tuple(about["size"]), keypoints=about["keypoints"], categories=categories)
    model = spec.model(_without_download(spec.config.model_validate(about["config"])), setting)
    model.load_state_dict(load_file(folder / "best.safetensors"))
    curve = tuple(Epoch.model_validate(line) for line in json.loads((folder / "curve.json").read_text()))
    return Trained(model.to(device).eval(), setting, Task(about["task"]), torch.device(device), about, curve)


def _without_download(config: Any) -> Any:
    """The trained weights replace the pretrained ones, which therefore need not be fetched again."""
    return config.model_copy(update={"weights": "none"}) if hasattr(config, "weights") else config
