"""A trained model on anybody's pictures: boxes in, poses in image pixels out.

A category-agnostic model is shown annotated pictures of the category it is to find, which training need not have shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from posebed.contracts import SupportEncoder
from posebed.data.crop import apply_affine, centre_and_extent, clip_box, crop_affine, invert_affine, warp
from posebed.inference.poses import Poses
from posebed.inference.trained_model import Trained
from posebed.pose import Batch, EpisodeBatch, Keypoints, taken
from posebed.records import Record
from posebed.training.pose_module import decoded

# B crops, S shots, K keypoints, H W the crops' height and width

Box = tuple[float, float, float, float]
BATCH = 16
"""Crops that the model is given at a time."""


@dataclass(frozen=True)
class Crop:
    """What a model sees of one box."""

    image: Tensor
    """(3, H, W), uint8, on the processor."""
    aspect: float
    """As ``Batch.aspect``."""
    affine: np.ndarray
    """(2, 3) from the picture to the crop."""


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
    crops, points = list[Crop](), list[np.ndarray]()
    for picture, record in shots:
        crop = crop_of(trained, picture, record.box)
        crops.append(crop)
        xy, labelled = apply_affine(crop.affine, record.keypoints[:, :2]), record.keypoints[:, 2] > 0
        padded = np.zeros((trained.setting.keypoints, 3), np.float32)
        padded[: len(xy)] = np.column_stack([xy, labelled]) * labelled[:, None]
        points.append(padded)
    images, aspects = _stacked(trained, crops)
    annotated = torch.as_tensor(np.stack(points), device=trained.device)[None]
    seen = Supports(
        image=images[None],
        keypoints=Keypoints(annotated[..., :2], annotated[..., 2]),
        aspect=aspects[None],
        support_features=None,
    )
    model = trained.for_answers
    if not isinstance(model, SupportEncoder):
        return seen
    episode = batch_of(trained, crops[:1], seen)
    return replace(seen, support_features=model.encode_support(cast(EpisodeBatch, episode)))


def poses_in_boxes(
    trained: Trained, image: str, picture: np.ndarray, boxes: Sequence[Box], shown: Supports | None = None
) -> Poses:
    """One pose per box of an RGB picture (H, W, 3), whose path is ``image``.

    Args:
        shown: the supports, which a category-agnostic model needs.

    Raises:
        ValueError: a box misses the picture, or the model's answer is not finite.
    """
    crops = [crop_of(trained, picture, box) for box in boxes]
    groups = [crops[start : start + BATCH] for start in range(0, len(crops), BATCH)]
    category = trained.setting.categories[0]
    nothing = np.zeros((0, len(category.keypoints), 2)), np.zeros((0, len(category.keypoints)), np.float32)
    answers = [nothing, *(poses_in_crops(trained, group, shown) for group in groups)]
    return Poses(
        category=category,
        image=(image,) * len(boxes),
        frame=np.full(len(boxes), -1),
        seconds=np.zeros(len(boxes)),
        box=np.array(boxes, float).reshape(-1, 4),
        xy=np.concatenate([xy for xy, _ in answers]),
        confidence=np.concatenate([confidence for _, confidence in answers]),
    )


@torch.no_grad()
def poses_in_crops(
    trained: Trained, crops: Sequence[Crop], shown: Supports | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Of A crops, all in one batch, the keypoints (A, K, 2) in pixels of their pictures, and confidences (A, K)."""
    model, count = trained.for_answers, len(trained.setting.categories[0].keypoints)
    batch = batch_of(trained, crops, shown)
    features = shown.support_features if shown else None
    if features is not None and isinstance(batch, EpisodeBatch) and isinstance(model, SupportEncoder):
        prediction = model.locate(batch, taken(features, batch.row))
    else:
        prediction = model(batch)
    pose = decoded(model, prediction, batch)
    affines = np.stack([crop.affine for crop in crops])
    xy = apply_affine(invert_affine(affines), pose.xy[:, :count].double().cpu().numpy())
    confidence = pose.weight[:, :count].float().cpu().numpy()
    return xy, confidence


def batch_of(trained: Trained, crops: Sequence[Crop], shown: Supports | None) -> Batch:
    """B crops of the first category, whose keypoints are not known, each with the same supports."""
    images, aspects = _stacked(trained, crops)
    unknown = Keypoints(*(torch.zeros(len(crops), trained.setting.keypoints, *more) for more in ((2,), ())))
    rows = torch.zeros(len(crops), dtype=torch.int64, device=trained.device)
    query = Batch(image=images, keypoints=unknown.to(trained.device), category=rows, row=rows, aspect=aspects)
    if shown is None:
        return query
    image, keypoints, aspect = (taken(of, rows) for of in (shown.image, shown.keypoints, shown.aspect))
    return EpisodeBatch(**vars(query), support_image=image, support=keypoints, support_aspect=aspect)


def crop_of(trained: Trained, picture: np.ndarray, box: Box) -> Crop:
    """What the model sees of a box in an RGB picture (H, W, 3). Threads may call it beside the model.

    Raises:
        ValueError: the box misses the picture.
    """
    height, width = picture.shape[:2]
    inside = clip_box(box, width, height)
    if min(inside[2:]) <= 0:
        raise ValueError(f"a box must overlap its picture of {width} x {height} pixels, but is {box}")
    size, about = trained.setting.size, trained.about
    affine = crop_affine(*centre_and_extent(inside, size, about["padding"]), size, convention=about["convention"])
    image = torch.as_tensor(warp(picture, affine, size)).permute(2, 0, 1)
    return Crop(image, inside[2] / inside[3], affine)


def _stacked(trained: Trained, crops: Sequence[Crop]) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) and (B,)."""
    images = torch.stack([crop.image for crop in crops]).to(trained.device)
    return images, torch.tensor([crop.aspect for crop in crops], device=trained.device)
