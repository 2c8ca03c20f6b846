"""The model of a trained run, ready to predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from posebed.catalog import Catalog
from posebed.config import sentence
from posebed.contracts import Setting, Task
from posebed.places import weights_file
from posebed.records import Category
from posebed.scoring.result import Epoch, read_curve
from posebed.training.pose_module import PoseModule, build
from posebed.training.run_folder import read_about, read_weights, setting_of, without_download


@dataclass(frozen=True)
class Trained:
    model: PoseModule
    """With its best weights, in eval mode."""
    setting: Setting
    task: Task
    device: torch.device
    about: Mapping[str, Any]
    """The whole of ``run.json``."""
    curve: tuple[Epoch, ...]


def open_trained(
    folder: Path, catalog: Catalog, device: torch.device | str = "cpu", setting: Setting | None = None
) -> Trained:
    """Build a run's model and load its best weights.

    Args:
        catalog: where the model's name is looked up; the folder's files import nothing.
        setting: of other categories than those that the model was trained for, if it is category-agnostic.

    Raises:
        LookupError: the folder holds no trained run, or one of a model that is not in the catalog.
        ValueError: the config is not one of that model, or the setting has more keypoints than the model has room for.
    """
    about = read_about(folder)
    spec, setting = catalog.model(about["model"]), setting or setting_of(about)
    try:
        config = spec.config.model_validate(about["config"])
    except ValidationError as error:
        raise ValueError(sentence(error, f"{folder}: config")) from error
    model = build(spec, without_download(config), setting)
    weights, room = read_weights(weights_file(folder)), about["keypoints"]
    if setting.keypoints > room and any(weights[n].shape != own.shape for n, own in model.state_dict().items()):
        raise ValueError(
            f"{about['key']} must be asked for at most {room} keypoints, as many as its model has outputs, but is "
            f"asked for {setting.keypoints}"
        )
    model.load_state_dict(weights)
    curve = tuple(read_curve(folder / "curve.json"))
    return Trained(
        model=model.to(device).eval(),
        setting=setting,
        task=Task(about["task"]),
        device=torch.device(device),
        about=about,
        curve=curve,
    )


def of_category(setting: Setting, category: Category) -> Setting:
    """The setting of a category-agnostic model that is asked for another category. Models whose outputs are numbered
    keep theirs."""
    return replace(setting, keypoints=max(setting.keypoints, len(category.keypoints)), categories=(category,))
