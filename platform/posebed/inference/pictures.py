"""A trained model on anybody's pictures: boxes in, poses in image pixels out.

A category-agnostic model is shown annotated pictures of the category it is to find, which training need not have shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posebed.contracts import SupportEncoder
from posebed.data.crop import apply_affine, centre_and_extent, clip_box, crop_affine, invert_affine, warp
from posebed.inference.trained_model import Trained
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.records import Category, Record
from posebed.training.pose_module import decoded

# S shots, K keypoints, H W the crops' height and width

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pose:
    """One figure's pose in one picture."""

    image: Path
    box: Box
    """x, y, width, height that the model was pointed to."""
    xy: np.ndarray
    """(K, 2) image pixels."""
    confidence: np.ndarray
    """(K,)"""
    category: Category


@dataclass(frozen=True)
class Supports:
    """Annotated crops of a category, as a category-agnostic model sees them."""

    image: Tensor
    """(1, S, 3, H, W)"""
    keypoints: Keypoints
    """(1, S, K)"""
    aspect: Tensor
    """(1, S), as ``Batch.aspect``."""
    support_features: object
    """What the model makes of them, once for all queries; None where it does not look at them without a query."""


@torch.no_grad()
def supports(trained: Trained, shots: Iterable[tuple[np.ndarray, Record]]) -> Supports:
    """Crops of annotated records on their RGB pictures (H, W, 3).

    Args:
        trained: opened for the category of the records.
    """
    crops, aspects, points = list[Tensor](), list[Tensor](), list[np.ndarray]()
    for picture, record in shots:
        crop, aspect, affine = _crop(trained, picture, record.box)
        crops.append(crop)
        aspects.append(aspect)
        xy, labelled = apply_affine(affine, record.keypoints[:, :2]), record.keypoints[:, 2] > 0
        padded = np.zeros((trained.setting.keypoints, 3), np.float32)
        padded[: len(xy)] = np.column_stack([xy, labelled]) * labelled[:, None]
        points.append(padded)
    image, annotated = torch.stack(crops)[None], torch.as_tensor(np.stack(points), device=trained.device)[None]
    seen = Supports(
        image=image,
        keypoints=Keypoints(annotated[..., :2], annotated[..., 2]),
        aspect=torch.stack(aspects, 1),
        support_features=None,
    )
    if not isinstance(trained.model, SupportEncoder):
        return seen
    return replace(
        seen, support_features=trained.model.encode_support(_episode(_query(trained, crops[0], aspects[0]), seen))
    )


@torch.no_grad()
def pose_in_boxes(
    trained: Trained, image: Path, picture: np.ndarray, boxes: Sequence[Box], shown: Supports | None = None
) -> list[Pose]:
    """One pose per box of an RGB picture (H, W, 3).

    Args:
        shown: the supports, which a category-agnostic model needs.

    Raises:
        ValueError: a box misses the picture.
    """
    model, category, poses = trained.model, trained.setting.categories[0], list[Pose]()
    count = len(category.keypoints)
    for box in boxes:
        batch, affine = cropped(trained, picture, box, shown)
        features = shown.support_features if shown else None
        if features is not None and isinstance(batch, EpisodeBatch) and isinstance(model, SupportEncoder):
            prediction = model.locate(batch, features)
        else:
            prediction = model(batch)
        pose = decoded(model, prediction, batch)
        xy = apply_affine(invert_affine(affine), pose.xy[0, :count].double().cpu().numpy())
        poses.append(
            Pose(
                image=image,
                box=box,
                xy=xy,
                confidence=pose.weight[0, :count].float().cpu().numpy(),
                category=category,
            )
        )
    return poses


def cropped(trained: Trained, picture: np.ndarray, box: Box, shown: Supports | None) -> tuple[Batch, np.ndarray]:
    """What the model sees of a box, as a batch of one, and the affine (2, 3) from the picture to it.

    Raises:
        ValueError: the box misses the picture.
    """
    crop, aspect, affine = _crop(trained, picture, box)
    query = _query(trained, crop, aspect)
    return (_episode(query, shown) if shown else query), affine


def _query(trained: Trained, crop: Tensor, aspect: Tensor) -> Batch:
    """Of unknown keypoints and the first category."""
    count = trained.setting.keypoints
    unknown = Keypoints(torch.zeros(1, count, 2), torch.zeros(1, count)).to(trained.device)
    zero = torch.zeros(1, dtype=torch.int64, device=trained.device)
    return Batch(image=crop[None], keypoints=unknown, category=zero, row=zero, aspect=aspect)


def _episode(query: Batch, shown: Supports) -> EpisodeBatch:
    return EpisodeBatch(**vars(query), support_image=shown.image, support=shown.keypoints, support_aspect=shown.aspect)


def _crop(trained: Trained, picture: np.ndarray, box: Box) -> tuple[Tensor, Tensor, np.ndarray]:
    """(3, H, W), the aspect of its box (1,), and the affine (2, 3) from the picture to it."""
    height, width = picture.shape[:2]
    inside = clip_box(box, width, height)
    if min(inside[2:]) <= 0:
        raise ValueError(f"a box must overlap its picture of {width} x {height} pixels, but is {box}")
    size = trained.setting.size
    affine = crop_affine(
        *centre_and_extent(inside, size, trained.about["padding"]), size, convention=trained.about["convention"]
    )
    crop = torch.as_tensor(warp(picture, affine, size)).permute(2, 0, 1).to(trained.device)
    return crop, torch.tensor([inside[2] / inside[3]], device=trained.device), affine
