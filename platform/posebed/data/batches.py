"""Rows of a pack to the tensors that models see: exact crops for evaluation, augmented ones for training.

Pixels stay uint8. On a CPU cv2 warps them; an accelerator is sent the stored crops and warps them there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posebed.config import AugmentConfig
from posebed.data.augment import (
    Bodies,
    Draws,
    augmentation,
    recolour_cv2,
    recolour_torch,
    warp_cv2,
    warp_torch,
)
from posebed.data.crop import apply_affine, compose, translation
from posebed.data.pack import Pack
from posebed.pose import Batch, EpisodeBatch, Keypoints

# n crops, K keypoints, S shots, H W the crops' height and width


@dataclass(frozen=True)
class Crops:
    """Pictures and their true keypoints."""

    image: Tensor
    """(n, 3, H, W)"""
    keypoints: Keypoints
    """(n, K)"""


def exact(pack: Pack, rows: np.ndarray, device: torch.device) -> Crops:
    """The crops of these rows as they were cut from the image, and their keypoints.

    A row that occurs several times, such as the support of many queries, is read and sent once.
    """
    xy, labelled = _annotated(pack, rows)
    distinct, place = np.unique(rows, return_inverse=True)
    pixels = _sent(pack.evaluation_crops[distinct], device)[torch.as_tensor(place, device=device)]
    return Crops(_channels_first(pixels), _keypoints(xy, labelled, device))


def augmented(
    pack: Pack, bodies: Bodies, rows: np.ndarray, config: AugmentConfig, draws: Draws, device: torch.device
) -> Crops:
    """The crops of these rows, each changed by its own draws, and the keypoints moved along."""
    category = pack.category[rows]
    xy, labelled = _annotated(pack, rows)
    change = augmentation(config, draws, pack.size, xy, bodies.half[category] * labelled)
    affine = compose(change.affine, translation(-pack.border[1], -pack.border[0]))
    if device.type == "cpu":
        batch = warp_cv2(pack.training_crops[rows], affine, pack.size)
        if config.colour:
            recolour_cv2(batch, change.gain, change.offset)
        image = _channels_first(torch.as_tensor(batch))
    else:
        batch = warp_torch(_sent(pack.training_crops[rows], device), affine, pack.size)
        image = recolour_torch(batch, change.gain, change.offset)
    source = np.where(change.flipped[:, None], bodies.partner[category], np.arange(pack.max_keypoints))
    xy = np.take_along_axis(apply_affine(change.affine, xy), source[..., None], 1)
    return Crops(image, _keypoints(xy, np.take_along_axis(labelled, source, 1), device))


def batch(pack: Pack, tuples: np.ndarray, crops: Crops) -> Batch:
    """The crops of (n, S + 1) rows, supports first and the query last; an ``EpisodeBatch`` where there are supports."""
    image, xy, weight = (
        values.view(*tuples.shape, *values.shape[1:])
        for values in (crops.image, crops.keypoints.xy, crops.keypoints.weight)
    )
    aspect = torch.as_tensor(pack.aspect[tuples], device=image.device)
    queries = tuples[:, -1]
    query = Batch(
        image=image[:, -1],
        keypoints=Keypoints(xy[:, -1], weight[:, -1]),
        category=torch.as_tensor(pack.category[queries], device=image.device),
        row=torch.as_tensor(queries, device=image.device),
        aspect=aspect[:, -1],
    )
    if tuples.shape[1] == 1:
        return query
    return EpisodeBatch(
        **vars(query),
        support_image=image[:, :-1],
        support=Keypoints(xy[:, :-1], weight[:, :-1]),
        support_aspect=aspect[:, :-1],
    )


def _annotated(pack: Pack, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (n, K, 2) in crop pixels, and which of them are labelled."""
    keypoints = pack.keypoints[rows]
    return apply_affine(pack.affine[rows], keypoints[..., :2]), keypoints[..., 2] > 0


def _keypoints(xy: np.ndarray, labelled: np.ndarray, device: torch.device) -> Keypoints:
    xy = np.where(labelled[..., None], xy, 0).astype(np.float32)
    return Keypoints(torch.as_tensor(xy, device=device), torch.as_tensor(labelled.astype(np.float32), device=device))


def _sent(pixels: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.as_tensor(pixels)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _channels_first(pictures: Tensor) -> Tensor:
    return pictures.permute(0, 3, 1, 2)
