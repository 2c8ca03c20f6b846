"""A trained category-specific model on anybody's pictures: boxes in, poses in image pixels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from posebed.contracts import Task
from posebed.data.crop import apply_affine, clip_box, crop_affine, framed, invert_affine, warp
from posebed.pose import Batch, Keypoints
from posebed.records import Category
from posebed.training.trained import Trained

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pose:
    """One figure found in one picture."""

    image: Path
    box: Box
    """x, y, width, height that the model was pointed to."""
    xy: np.ndarray
    """(K, 2) image pixels."""
    confidence: np.ndarray
    """(K,)"""
    category: Category


@torch.no_grad()
def pose_in_boxes(trained: Trained, image: Path, picture: np.ndarray, boxes: Sequence[Box]) -> list[Pose]:
    """One pose per box of an RGB picture (H, W, 3).

    Raises:
        ValueError: the model is category-agnostic and would need annotated supports; or a box misses the picture.
    """
    poses: list[Pose] = []
    for box in boxes:
        batch, affine = cropped(trained, image, picture, box)
        found = trained.model.decode(trained.model(batch), batch)
        xy = apply_affine(invert_affine(affine), found.xy[0].double().cpu().numpy())
        confidence = found.weight[0].float().cpu().numpy()
        poses.append(Pose(image, box, xy, confidence, trained.setting.categories[0]))
    return poses


def cropped(trained: Trained, image: Path, picture: np.ndarray, box: Box) -> tuple[Batch, np.ndarray]:
    """What the model sees of a box, as a batch of one, and the affine (2, 3) from the picture to it.

    Raises:
        ValueError: as ``pose_in_boxes``.
    """
    if trained.task is Task.CATEGORY_AGNOSTIC:
        raise ValueError(
            f"a run that predicts from boxes alone must be category-specific, but {trained.about['key']} is not"
        )
    height, width = picture.shape[:2]
    inside = clip_box(box, width, height)
    if min(inside[2:]) <= 0:
        raise ValueError(f"a box must overlap its picture of {width} x {height} pixels, but {image} has {box}")
    size, count = trained.setting.size, trained.setting.keypoints
    affine = crop_affine(*framed(inside, size, trained.about["padding"]), size, convention=trained.about["convention"])
    crop = torch.from_numpy(warp(picture, affine, size)).permute(2, 0, 1)[None].to(trained.device)
    unknown = Keypoints(torch.zeros(1, count, 2), torch.zeros(1, count)).to(trained.device)
    zero = torch.zeros(1, dtype=torch.int64, device=trained.device)
    return Batch(crop, unknown, category=zero, row=zero), affine
