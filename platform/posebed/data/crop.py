"""From a box in the image to the crop that a model sees, and back: affine maps as (2, 3) matrices.

Integers are pixel centres. Every function broadcasts over leading dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import ArrayLike

from posebed.config import Convention


def clip_box(box: Iterable[float | np.ndarray], width: float | np.ndarray, height: float | np.ndarray) -> np.ndarray:
    """The part of a box (x, y, width, height) that lies in the image; each may be an array, for many boxes at once."""
    x, y, w, h = box
    left, top = np.clip(x, 0, width), np.clip(y, 0, height)
    return np.array([left, top, np.clip(x + w, 0, width) - left, np.clip(y + h, 0, height) - top])


def widened(extent: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Extents (..., 2) as width and height, the shorter side grown to the aspect ratio of ``size`` (H, W)."""
    aspect = size[1] / size[0]
    width = np.maximum(extent[..., 0], extent[..., 1] * aspect)
    return np.stack([width, width / aspect], -1)


def centre_and_extent(box: ArrayLike, size: tuple[int, int], padding: float = 1.25) -> tuple[np.ndarray, np.ndarray]:
    """Centre and extent of what a crop of ``size`` shows of an (..., 4) box, both (..., 2) in image pixels."""
    box = np.asarray(box, np.float64)
    return box[..., :2] + box[..., 2:] / 2, padding * widened(box[..., 2:], size)


def crop_affine(
    centre: np.ndarray,
    extent: np.ndarray,
    size: tuple[int, int],
    rotation: ArrayLike = 0.0,
    convention: Convention = "plain",
) -> np.ndarray:
    """Image pixels to crop pixels, (..., 2, 3).

    ``rotation`` in degrees turns the picture counter-clockwise, as it is seen.
    """
    angle = np.deg2rad(np.asarray(rotation, np.float64))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    span = np.array([size[1], size[0]], np.float64) - (convention != "plain")
    scale = span / extent
    if convention == "aligned":
        scale = np.broadcast_to(span[0] / np.maximum(extent[..., :1] - 1, 1), extent.shape)
    linear = scale[..., None] * turn
    shift = span / 2 - (linear @ centre[..., None])[..., 0]
    return np.concatenate([linear, shift[..., None]], -1)


def translation(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def apply_affine(affine: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Points (..., N, 2) through affines (..., 2, 3)."""
    return xy @ np.swapaxes(affine[..., :2], -1, -2) + affine[..., None, :, 2]


def invert_affine(affine: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(affine[..., :2])
    return np.concatenate([linear, -linear @ affine[..., 2:]], -1)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The affine that does ``inner`` first, then ``outer``."""
    linear = outer[..., :2] @ inner[..., :2]
    return np.concatenate([linear, outer[..., :2] @ inner[..., 2:] + outer[..., 2:]], -1)


def warp(image: np.ndarray, affine: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One bilinear look through the affine; black where the image ends."""
    return cv2.warpAffine(image, affine, (size[1], size[0]), flags=cv2.INTER_LINEAR)
