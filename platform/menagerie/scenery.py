"""Paints what surrounds a figure: ground and sky, clutter that resembles limbs and coats, occluders in front."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np

from menagerie.brush import CLUTTER, Brush
from menagerie.coats import smooth_noise, tinted
from menagerie.scenes import Colours, Scene

T = TypeVar("T")


@lru_cache(1)
def grain_bank() -> np.ndarray:
    """(4, 256, 256) noise from coarse to fine, made once."""
    rng = np.random.default_rng(11)
    return np.stack([smooth_noise(rng, sigma) for sigma in (24.0, 7.0, 1.8, 0.7)])


def grain(rng: np.random.Generator, level: int, size: int) -> np.ndarray:
    """(size, size) noise, at a random place of the bank."""
    field = np.roll(grain_bank()[level], tuple(rng.integers(0, 256, 2)), (0, 1))
    return field if size == 256 else cv2.resize(field, (size, size))


def background(rng: np.random.Generator, scene: Scene, size: int, horizon: float, coat: Colours) -> np.ndarray:
    """(size, size, 3) uint8: ground below the horizon, and clutter, some of it in the figure's own colours."""
    top, bottom = (tinted(rng, _one(rng, colours), 0.12) for colours in (scene.sky, scene.ground))
    rows = np.arange(size, dtype=np.float32)[:, None, None]
    below = np.clip((rows - horizon) / max(2.0, 0.01 * size) + 0.5, 0, 1)
    fade = (rows / size - 0.5) * rng.uniform(-50, 30)
    image = (1 - below) * np.asarray(top, np.float32) + below * np.asarray(bottom, np.float32) + fade
    texture = scene.rough * (0.4 * grain(rng, 0, size) + 0.45 * grain(rng, 1, size) + 0.5 * grain(rng, 2, size))
    image = image + (texture * (0.25 + 0.75 * below[..., 0]))[..., None]
    image = np.clip(image, 0, 255).astype(np.uint8)
    brush = Brush(image)
    level = float(np.clip(horizon, 0.05 * size, 0.8 * size))
    for _ in range(rng.integers(3, 9)):
        colour = tinted(rng, _one(rng, scene.tones), 0.2)
        CLUTTER[_one(rng, scene.clutter.split())](
            brush, rng, colour, (rng.uniform(0, size), rng.uniform(level, size)), size * rng.uniform(0.1, 0.45)
        )
    for _ in range(rng.integers(1, 5)):
        colour = tinted(rng, _one(rng, coat), 0.12)
        CLUTTER[_one(rng, ("limb", "limb", "blob"))](
            brush, rng, colour, tuple(rng.uniform(0, size, 2)), size * rng.uniform(0.1, 0.4)
        )
    blur = rng.uniform(0, 2.2) * size / 256
    return cv2.GaussianBlur(image, (0, 0), blur) if blur > 0.4 else image


def occlude(rng: np.random.Generator, scene: Scene, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Paint one thing before the figure, into ``image``; gives the pixels it covers.

    It hides at most a third of the figure's silhouette ``mask``: larger tries are dropped.
    """
    size = len(image)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, right, top, bottom = columns[0], columns[-1], rows[0], rows[-1]
    extent = max(right - left, bottom - top)
    for _ in range(3):
        trial, cover = image.copy(), np.zeros((size, size), np.uint8)
        at = (rng.uniform(left, right), rng.uniform(top + 0.5 * (bottom - top), bottom + 0.1 * extent))
        colour = tinted(rng, _one(rng, scene.tones), 0.2)
        CLUTTER[_one(rng, scene.front.split())](Brush(trial, cover), rng, colour, at, extent * rng.uniform(0.15, 0.4))
        covered = cover > 0
        if np.count_nonzero(covered & mask) <= np.count_nonzero(mask) / 3:
            image[:] = trial
            return covered
    return np.zeros((size, size), bool)


def _one(rng: np.random.Generator, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]
