"""A trained model in Python: pictures in, poses out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posebed.catalog import installed
from posebed.contracts import Task
from posebed.data.images import decode_named
from posebed.listing import shortened
from posebed.params import read_params
from posebed.places import PARAMS, RUNS
from posebed.records import Category, Record
from posestages.commands.boxes import whole
from posestages.commands.members import member_of
from posestages.commands.support import read_shots
from posestages.stage import catalog_here

if TYPE_CHECKING:
    from posebed.inference.pictures import Box, Supports
    from posebed.inference.poses import Poses
    from posebed.inference.trained_model import Trained

Picture = np.ndarray | Path | str
"""(H, W, 3) RGB, uint8; or the path of a file."""
Shot = tuple[Picture, Any]
"""A picture and its keypoints (K, 3): x, y, and visibility 0, 1 or 2 as in COCO."""


class Model:
    """A trained run's model with its best weights. ``load_model`` makes one."""

    def __init__(self, folder: Path, project: Path) -> None:
        from posebed.training.run_folder import read_about, setting_of

        self._folder, self._project = folder.absolute(), project.absolute()
        self._about = read_about(folder)
        self._setting = setting_of(self._about)
        self._opened: Trained | None = None

    @property
    def name(self) -> str:
        """The model's name, such as ``kitpose``."""
        return str(self._about["model"])

    @property
    def category_agnostic(self) -> bool:
        """Whether ``predict`` needs supports."""
        return self._about["task"] == Task.CATEGORY_AGNOSTIC

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories that it was trained on, with their keypoints."""
        return self._setting.categories

    def predict(
        self,
        images: Picture | Sequence[Picture],
        boxes: Sequence[Sequence[Box]] | None = None,
        supports: Path | str | Sequence[Shot] | None = None,
        category: str | None = None,
    ) -> Poses:
        """Find one pose in every box.

        Args:
            images: one picture, or several.
            boxes: for each picture its boxes: x, y, width and height in pixels. By default each picture is one box.
            supports: what a category-agnostic model looks for: a COCO file or its folder, or pairs of a picture and its
                keypoints, where each picture is one box.
            category: the category to look for, where the file of supports has several.

        Raises:
            ValueError: a box lies outside of its picture, the number of boxes is not that of the pictures, supports are
                missing or not wanted, or a picture cannot be decoded.
        """
        from posebed.inference.pictures import poses_in_boxes
        from posebed.inference.poses import Poses

        several = [images] if isinstance(images, np.ndarray | Path | str) else list(images)
        if not several:
            raise ValueError("images must have a picture, but has none")
        if boxes is not None and len(boxes) != len(several):
            raise ValueError(f"boxes must be of {len(several)} pictures, but are of {len(boxes)}")
        trained, shown = self._ready(supports, category)
        parts: list[Poses] = []
        for place, image in enumerate(several):
            name, picture = f"picture {place}" if isinstance(image, np.ndarray) else str(image), decoded(image)
            own = [_box(box) for box in boxes[place]] if boxes is not None else [whole(picture)]
            parts.append(poses_in_boxes(trained, name, picture, own, shown))
        return Poses.joined(parts)

    def _ready(
        self, given: Path | str | Sequence[Shot] | None, category: str | None
    ) -> tuple[Trained, Supports | None]:
        """The model, opened for what it is to look for, and that."""
        from posebed.inference.pictures import supports

        if not self.category_agnostic:
            if given is not None:
                raise ValueError(f"supports must be given to a category-agnostic model, but {self.name} is none")
            self._opened = self._opened or self._open()
            return self._opened, None
        if given is None:
            raise ValueError(f"{self.name} is category-agnostic and must be given supports, but got none")
        if isinstance(given, Path | str):
            shots = read_shots(Path(given), category)
            pairs, looked_for = [*shots.pictures()], shots.category
        else:
            pairs, looked_for = _annotated(given)
        trained = self._open(looked_for)
        return trained, supports(trained, pairs)

    def _open(self, looked_for: Category | None = None) -> Trained:
        import torch

        from posebed.inference.trained_model import of_category, open_trained

        device = "cuda" if torch.cuda.is_available() else "cpu"
        setting = of_category(self._setting, looked_for) if looked_for else None
        with chdir(self._project):  # where models of the project's own lie
            return open_trained(self._folder, catalog_here(), device, setting)


def load_model(source: str | Path, project: str | Path = ".") -> Model:
    """Load the model of a trained run.

    Args:
        source: key of a run, for its first member; a member, ``KEY/seed-N``; the folder of a trained run; or a preset,
            for a trained run that repeats it.
        project: folder of the project.

    Raises:
        LookupError: there is no such run, or it was not trained.
    """
    project = Path(project)
    with chdir(project):
        run = str(source)
        if run in installed().published().presets and not (RUNS / run).is_dir():
            run = _repeating(run)
        folder = member_of(run).absolute()
    return Model(folder, project)


def _repeating(preset: str) -> str:
    """The trained run that repeats a preset."""
    runs = read_params(PARAMS).runs if PARAMS.is_file() else {}
    named = [key for key, run in runs.items() if run.preset == preset]
    trained = [key for key in named if any((RUNS / key).glob("seed-*/train/run.json"))]
    if not trained:
        raise LookupError(
            f"the preset {preset} must have a trained run here, but has none; `posebed presets {preset} --add` writes "
            "its entries into params.yaml, and `posebed import-checkpoint` takes released weights"
        )
    return trained[0]


def _annotated(shots: Sequence[Shot]) -> tuple[list[tuple[np.ndarray, Record]], Category]:
    """Pictures with their annotations as records, and a category of as many keypoints."""
    if not shots:
        raise ValueError("supports must have a picture with its keypoints, but have none")
    points = [np.asarray(keypoints, np.float32) for _, keypoints in shots]
    if wrong := [p.shape for p in points if p.ndim != 2 or p.shape[1] != 3 or p.shape != points[0].shape]:
        raise ValueError(
            f"keypoints of supports must be of one shape (K, 3): x, y, visibility, but one is of {wrong[0]} and the "
            f"first of {points[0].shape}"
        )
    category = Category("supports", "supports", tuple(str(number) for number in range(len(points[0]))))
    pairs: list[tuple[np.ndarray, Record]] = []
    for place, ((image, _), keypoints) in enumerate(zip(shots, points, strict=True)):
        if not (keypoints[:, 2] > 0).any():
            raise ValueError(f"support {place} must show a keypoint, but shows none")
        picture = decoded(image)
        height, width = picture.shape[:2]
        box = whole(picture)
        pairs.append((picture, Record(str(place), "", width, height, category.key, box, box[2] * box[3], keypoints)))
    return pairs, category


def decoded(image: Picture) -> np.ndarray:
    """(H, W, 3) RGB, uint8.

    Raises:
        ValueError: an array of another form, or a file that is no picture.
    """
    if not isinstance(image, np.ndarray):
        path = Path(image)
        if not path.is_file():
            raise ValueError(f"a picture must be a file, but there is no {path}")
        return decode_named(path)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"a picture must be (H, W, 3) RGB of uint8, but is {image.shape} of {image.dtype}")
    return image


def _box(box: Sequence[float]) -> Box:
    if len(box) != 4:
        raise ValueError(f"a box must be x, y, width and height, but is {shortened(map(str, box))}")
    x, y, width, height = map(float, box)
    return (x, y, width, height)
