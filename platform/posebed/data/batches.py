"""Rows of a pack to the tensors that models see: exact crops for evaluation, augmented ones for training.

Pixels stay uint8. On a CPU cv2 warps them; an accelerator is sent the stored crops and warps them there.
"""

from __future__ import annotations

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

Crops = tuple[Tensor, Keypoints]
"""Pictures (n, 3, H, W) and their true keypoints (n, K)."""


def exact(pack: Pack, rows: np.ndarray, device: torch.device) -> Crops:
    """The crops of these rows as they were cut from the image, and their keypoints.

    A row that occurs several times, such as the support of many queries, is read and sent once.
    """
    xy, labelled = _annotated(pack, rows)
    distinct, place = np.unique(rows, return_inverse=True)
    pixels = _sent(pack.evaluation_crops[distinct], device)[torch.from_numpy(place).to(device)]
    return _channels_first(pixels), _keypoints(xy, labelled, device)


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
        image = _channels_first(torch.from_numpy(batch))
    else:
        batch = warp_torch(_sent(pack.training_crops[rows], device), affine, pack.size)
        image = recolour_torch(batch, change.gain, change.offset)
    source = np.where(change.flipped[:, None], bodies.partner[category], np.arange(pack.max_keypoints))
    xy = np.take_along_axis(apply_affine(change.affine, xy), source[..., None], 1)
    return image, _keypoints(xy, np.take_along_axis(labelled, source, 1), device)


def batch(pack: Pack, tuples: np.ndarray, crops: Crops) -> Batch:
    """The crops of (n, S + 1) rows, supports first and the query last; an ``EpisodeBatch`` where there are supports."""
    image, xy, weight = (each.unflatten(0, tuples.shape) for each in (crops[0], crops[1].xy, crops[1].weight))
    category, row = (torch.from_numpy(each).to(image.device) for each in (pack.category[tuples[:, -1]], tuples[:, -1]))
    aspect = torch.from_numpy(pack.aspect[tuples]).to(image.device)
    query = (image[:, -1], Keypoints(xy[:, -1], weight[:, -1]), category, row)
    if tuples.shape[1] == 1:
        return Batch(*query, aspect=aspect[:, -1])
    shown = Keypoints(xy[:, :-1], weight[:, :-1])
    return EpisodeBatch(*query, image[:, :-1], shown, aspect=aspect[:, -1], support_aspect=aspect[:, :-1])


def _annotated(pack: Pack, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (n, K, 2) in crop pixels, and which of them are labelled."""
    keypoints = pack.keypoints[rows]
    return apply_affine(pack.affine[rows], keypoints[..., :2]), keypoints[..., 2] > 0


def _keypoints(xy: np.ndarray, labelled: np.ndarray, device: torch.device) -> Keypoints:
    xy = np.where(labelled[..., None], xy, 0).astype(np.float32)
    return Keypoints(torch.from_numpy(xy).to(device), torch.from_numpy(labelled.astype(np.float32)).to(device))


def _sent(pixels: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(pixels)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _channels_first(pictures: Tensor) -> Tensor:
    return pictures.permute(0, 3, 1, 2)
