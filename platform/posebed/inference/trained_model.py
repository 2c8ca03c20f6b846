"""The model of a trained run, ready to predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from posebed.catalog import Catalog
from posebed.config import Section
from posebed.contracts import Setting, SomeModelSpec, Task
from posebed.experiment import RUN_AGAIN
from posebed.files import must_be_as_written
from posebed.forms import complaint
from posebed.inference.freezing import frozen
from posebed.listing import amount, clipped
from posebed.places import about_file, weights_file
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.records import Category
from posebed.scoring.result import Epoch, read_curve
from posebed.training.pose_module import PoseModule, TooLargeError, build
from posebed.training.run_folder import WEIGHTS_AGAIN, best_weights, read_about, setting_of, without_download


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

    @cached_property
    def for_answers(self) -> PoseModule:
        """The model, frozen: what answers are made with, as quickly as they can be. It is not for saving."""
        return frozen(self.model, _blank(self.task, self.setting).to(self.device))


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
    about, file = read_about(folder), about_file(folder)
    setting = setting or setting_of(about)
    try:
        spec = catalog.model(about["model"])
    except LookupError as error:
        raise LookupError(f"{file}: {error}") from error
    try:
        config = without_download(spec.config.model_validate(about["config"]))
    except ValidationError as error:
        raise ValueError(f"{file} must hold a config of {about['model']}, but config {complaint(error)}") from error
    weights, room, source = best_weights(folder, about), about["keypoints"], str(weights_file(folder))
    given = sum(tensor.nbytes for tensor in weights.values())
    if _exceeds(2 * given + _ROOM, spec, config, setting):
        raise ValueError(
            f"{source} must hold the weights of the model in {file.name}, but has {amount(given)} for a much larger "
            f"one; {WEIGHTS_AGAIN}"
        )
    try:
        model = build(spec, config, setting)
    except (ValueError, LookupError) as error:
        raise type(error)(f"{file}: {error}") from error
    own = model.state_dict()
    if setting.keypoints > room and any(n in weights and weights[n].shape != t.shape for n, t in own.items()):
        raise ValueError(
            f"{about['key']} must be asked for at most {room} keypoints, as many as its model has outputs, but is "
            f"asked for {setting.keypoints}"
        )
    _load(model, weights, source)
    curve = tuple(read_curve(folder / "curve.json"))
    must_be_as_written(folder / "curve.json", about, RUN_AGAIN)
    return Trained(
        model=model.to(device).eval(),
        setting=setting,
        task=Task(about["task"]),
        device=torch.device(device),
        about=about,
        curve=curve,
    )


_ROOM = 2**28
"""Bytes by which a model may exceed twice its weights: buffers that are not saved, rows of further categories."""


def _exceeds(most_bytes: int, spec: SomeModelSpec, config: Section, setting: Setting) -> bool:
    """Whether a model takes more memory than that, found out before memory is taken for it."""
    try:
        with torch.device("meta"):  # which has shapes and no numbers
            build(spec, config, setting, most_bytes)
    except TooLargeError:
        return True
    except Exception:  # a model that looks at its numbers while it is built is not known before
        return False
    return False


def _load(model: PoseModule, weights: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights of other names, shapes or types than the model's."""
    whole = [n for n, t in model.state_dict().items() if t.is_floating_point() and _is_whole(weights.get(n, t))]
    if whole:
        found = f"{weights[whole[0]].dtype} in {whole[0]}"
        raise ValueError(f"{source} must be floating-point, but is {found}; {WEIGHTS_AGAIN}")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        unlike = clipped(" ".join(str(error).partition("\n")[2].split()), 300)
        raise ValueError(f"{source} must hold the weights of its model, but: {unlike}; {WEIGHTS_AGAIN}") from None


def _is_whole(tensor: Tensor) -> bool:
    return not tensor.is_floating_point()


def of_category(setting: Setting, category: Category) -> Setting:
    """The setting of a category-agnostic model that is asked for another category. Models whose outputs are numbered
    keep theirs."""
    return replace(setting, keypoints=max(setting.keypoints, len(category.keypoints)), categories=(category,))


def _blank(task: Task, setting: Setting) -> Batch:
    """One grey crop, for an episode with one support, on which the keypoints of the first category lie on a line."""
    shown = (torch.arange(setting.keypoints) < len(setting.categories[0].keypoints)).float()
    along = torch.linspace(0, 1, setting.keypoints)[:, None] * (torch.tensor(setting.size[::-1]) - 1)
    image, keypoints = torch.full((1, 3, *setting.size), 128, dtype=torch.uint8), Keypoints(along[None], shown[None])
    zeros, square = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.float64)
    query = Batch(image, keypoints, category=zeros, row=zeros, aspect=square)
    if task == Task.CATEGORY_SPECIFIC:
        return query
    support = Keypoints(keypoints.xy[:, None], keypoints.weight[:, None])
    return EpisodeBatch(**vars(query), support_image=image[:, None], support=support, support_aspect=square[:, None])
