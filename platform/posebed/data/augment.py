"""Training augmentation: numbers drawn for a whole batch, then one affine and one colour change per crop.

Drawing is apart from applying, so that workers draw the same batch and apply their own slice of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from posebed.config import AugmentConfig
from posebed.data.crop import compose, crop_affine, invert_affine, widened
from posebed.records import Category

# n crops, K keypoints, H W the crops' height and width, C categories

_MIDDLE = 127.5
"""The grey that contrast leaves as it is."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of n crops; the same many whatever the crops show."""

    scale: np.ndarray
    """(n,) N(0, 1), as ``angle``; all others are uniform."""
    angle: np.ndarray
    rotate_draw: np.ndarray
    """(n,) in 0..1, as ``flips``, ``halves`` and ``upper``."""
    flips: np.ndarray
    halves: np.ndarray
    upper: np.ndarray
    shift: np.ndarray
    """(n, 2) in -1..1."""
    colour: np.ndarray
    """(n, 5) in -1..1: brightness, contrast, and one for each channel."""
    shift_draw: np.ndarray
    """(n,) in 0..1."""

    def __getitem__(self, crops: slice) -> Draws:
        return Draws(*(getattr(self, f.name)[crops] for f in fields(self)))


def draw(rng: np.random.Generator, n: int) -> Draws:
    return Draws(
        scale=rng.standard_normal(n),
        angle=rng.standard_normal(n),
        rotate_draw=rng.random(n),
        flips=rng.random(n),
        halves=rng.random(n),
        upper=rng.random(n),
        shift=rng.uniform(-1, 1, (n, 2)),
        colour=rng.uniform(-1, 1, (n, 5)),
        shift_draw=rng.random(n),
    )


@dataclass(frozen=True)
class Augmentation:
    """What is done to each of n crops."""

    affine: np.ndarray
    """(n, 2, 3), pixels of the crop to pixels of the augmented crop."""
    flipped: np.ndarray
    """(n,) bool: mirrored, so that flip pairs trade places."""
    gain: np.ndarray
    """(n, 3), a channel's value v becomes gain v + offset, within 0..255."""
    offset: np.ndarray


def augmentation(
    config: AugmentConfig, draws: Draws, size: tuple[int, int], xy: np.ndarray, half: np.ndarray
) -> Augmentation:
    """Decide from the draws.

    ``xy`` (n, K, 2) are keypoints in crop pixels; ``half`` (n, K) is 1 for labelled keypoints of the upper body,
    -1 for those of the lower and 0 for all others.
    """
    side = np.array([size[1], size[0]], np.float64)
    centre, extent = _half_body(config, draws, size, xy, half)
    shift = config.shift * (draws.shift_draw < config.shift_share)
    centre = centre + shift[:, None] * draws.shift * extent
    factor = np.clip(1 + config.scale * draws.scale, 1 - config.scale, 1 + config.scale)
    angle = config.rotation * np.clip(draws.angle, -2, 2) * (draws.rotate_draw < config.rotation_share)
    affine = crop_affine(centre, extent * factor[:, None], size, angle)
    flipped = draws.flips < config.flip
    mirror = np.array([[-1, 0, side[0] - 1], [0, 1, 0]])
    affine = np.where(flipped[:, None, None], compose(mirror, affine), affine)
    vary = 1 + config.colour * draws.colour
    light, contrast = vary[:, :1] * vary[:, 2:], vary[:, 1:2]
    return Augmentation(affine, flipped, light * contrast, light * _MIDDLE * (1 - contrast))


def _half_body(
    config: AugmentConfig, draws: Draws, size: tuple[int, int], xy: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and extent (n, 2) of what is shown: the whole crop, or the keypoints of one half in 1.5 times their box.

    A half needs more than two labelled keypoints to be preferred. It is enlarged four times at most, as stored crops
    have no finer detail.
    """
    side = np.array([size[1], size[0]], np.float64)
    upper: np.ndarray = (half > 0).sum(1)
    lower: np.ndarray = (half < 0).sum(1)
    take_upper = np.where(draws.upper < 0.5, upper > 2, lower <= 2)
    chosen = half == np.where(take_upper, 1, -1)[:, None]
    reduced = (draws.halves < config.half_body) & (upper + lower > config.half_body_keypoints) & (chosen.sum(1) > 1)
    count = np.maximum(chosen.sum(1), 1)[:, None]
    mean = np.where(chosen[..., None], xy, 0).sum(1) / count
    low = np.where(chosen[..., None], xy, np.inf).min(1)
    high = np.where(chosen[..., None], xy, -np.inf).max(1)
    extent = np.maximum(1.5 * widened(np.maximum(high - low, 0), size), side / 4)
    reduced = reduced[:, None]
    return np.where(reduced, mean, side / 2), np.where(reduced, extent, side)


@dataclass(frozen=True)
class Bodies:
    """Sides and halves of every category's body, padded to K."""

    partner: np.ndarray
    """(C, K) int64: the keypoint that takes each one's place in the mirrored picture."""
    half: np.ndarray
    """(C, K) int8: 1 upper body, -1 lower, 0 where padded or where the category has no such notion."""

    @classmethod
    def of(cls, categories: Sequence[Category], largest: int) -> Bodies:
        partner = np.tile(np.arange(largest), (len(categories), 1))
        half = np.zeros((len(categories), largest), np.int8)
        for row, category in enumerate(categories):
            partner[row, : len(category.keypoints)] = category.flip_index()
            if category.upper_body:
                half[row, : len(category.keypoints)] = -1
                half[row, list(category.upper_body)] = 1
        return cls(partner, half)


def warp_cv2(crops: np.ndarray, affine: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 crops (n, h, w, 3) through their affines into one batch (n, H, W, 3); black outside."""
    batch = np.empty((len(crops), *size, 3), np.uint8)
    for seen, crop, matrix in zip(batch, crops, affine, strict=True):
        cv2.warpAffine(crop, matrix, (size[1], size[0]), dst=seen, flags=cv2.INTER_LINEAR)
    return batch


def recolour_cv2(batch: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> None:
    """Change the colours of uint8 pictures (n, H, W, 3) in place, by one table of 256 values per channel."""
    values = np.arange(256, dtype=np.float32)[:, None]
    tables = np.rint(np.clip(gain[:, None] * values + offset[:, None], 0, 255)).astype(np.uint8)
    for picture, table in zip(batch, tables, strict=True):
        cv2.LUT(picture, table[None], dst=picture)


def warp_torch(crops: Tensor, affine: np.ndarray, size: tuple[int, int]) -> Tensor:
    """As ``warp_cv2`` on the crops' device; float (n, 3, H, W)."""
    height, width = crops.shape[1:3]
    to_place = np.array([[2 / (width - 1), 0, -1], [0, 2 / (height - 1), -1]])  # torch counts from -1 to 1
    x_part, y_part, start = _on(crops.device, compose(to_place, invert_affine(affine)))[:, None, None].unbind(-1)
    y, x = (torch.arange(side, device=crops.device)[:, None] for side in size)
    grid = x_part * x + y_part * y[:, None] + start
    return F.grid_sample(crops.permute(0, 3, 1, 2).float(), grid, align_corners=True)


def recolour_torch(batch: Tensor, gain: np.ndarray, offset: np.ndarray) -> Tensor:
    """As ``recolour_cv2``, but (n, 3, H, W), float to uint8."""
    factor, summand = (_on(batch.device, each)[..., None, None] for each in (gain, offset))
    return torch.addcmul(summand, batch, factor).clamp(0, 255).round().to(torch.uint8)


def _on(device: torch.device, array: np.ndarray) -> Tensor:
    return torch.as_tensor(array).to(device, torch.float32)
