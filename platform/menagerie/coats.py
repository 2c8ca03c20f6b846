"""Colours and surface patterns: the paint of a figure's parts, and the tiling atlas that patterns are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

Colour = tuple[float, float, float]
"""RGB in 0..255."""

TILE = 256
"""Side of one pattern of the atlas in texels; a pattern repeats after ``1 / Paint.scale`` units of the figure."""


@dataclass(frozen=True)
class Paint:
    """How a surface is coloured: ``base``, and ``mark`` wherever the pattern is 1."""

    base: Colour
    mark: Colour = (40, 32, 28)
    belly: Colour | None = None
    """Colour of what faces down."""
    tip: Colour | None = None
    """Colour of the far end, from the share ``tip_from`` of the length on."""
    tip_from: float = 0.7
    pattern: str = "fur"
    scale: float = 1.0
    """Repeats of the pattern per unit of the figure."""
    gloss: float = 0.1


def tinted(rng: np.random.Generator, colour: Colour, amount: float = 0.1) -> Colour:
    """A colour near the given one: lighter or darker, and a little warmer or colder."""
    return tinted_alike(rng, (colour,), amount)[0]


def tinted_alike(rng: np.random.Generator, colours: Sequence[Colour], amount: float = 0.1) -> list[Colour]:
    """Colours that all changed in the same way."""
    change = (1 + rng.uniform(-2, 2) * amount) * (1 + rng.normal(0, amount / 3, 3))
    return [_colour(np.clip(np.asarray(colour) * change, 4, 250)) for colour in colours]


def shade(colour: Colour, factor: float) -> Colour:
    """The colour in more or less light."""
    return _colour(np.asarray(colour) * factor)


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = map(float, values)
    return red, green, blue


def pick(rng: np.random.Generator, *colours: Colour, amount: float = 0.08) -> Colour:
    """One of the colours, tinted."""
    return tinted(rng, colours[rng.integers(len(colours))], amount)


def any_colour(rng: np.random.Generator, saturation: tuple[float, float] = (0.2, 0.9)) -> Colour:
    """A colour of any hue, as paint, cloth and plastic have it."""
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(0.3, 0.95)]]], np.float32)
    return _colour(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255)


def smooth_noise(rng: np.random.Generator, sigma: float, size: int = TILE) -> np.ndarray:
    """Tiling noise of mean 0 and deviation 1; ``sigma`` is its grain in pixels."""
    white = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    grey = np.fft.irfft2(white * np.exp(-2 * (np.pi * sigma * frequency) ** 2), (size, size))
    return ((grey - grey.mean()) / grey.std()).astype(np.float32)


@lru_cache(1)
def atlas() -> tuple[dict[str, int], np.ndarray]:
    """Name to layer, and the layers (P, TILE, TILE) in 0..1: rows run around a part, columns along it."""
    rng = np.random.default_rng(7)
    along = np.tile(np.arange(TILE) / TILE, (TILE, 1))
    wavy, rough, fine = (smooth_noise(rng, sigma) for sigma in (22, 9, 1.2))
    nearest, second = _cells(rng, 30)
    small, _ = _cells(rng, 90)
    layers = {
        "fur": 0.35 * _step(fine, 0.4, 0.6),
        "stripes": _step(np.sin(2 * np.pi * 9 * along + 1.3 * wavy) + 0.55 * rough, 0.75, 0.25),
        "bands": _step(np.sin(2 * np.pi * 8 * along + 0.9 * wavy), 0.05, 0.2),
        "rosettes": _step(-np.abs(small - 8.5) + 0.8 * rough, -2.6, 0.7),
        "dots": _step(-small, -5.5, 0.7),
        "patches": _step(wavy + 0.15 * rough, 0.25, 0.06),
        "cells": 1 - _step(second - nearest, 5.5, 1.2),
        "wool": _step(rough, 0.0, 1.0) * 0.8,
        "mottled": _step(smooth_noise(rng, 5), 0.2, 0.5) * 0.9,
        "scales": _scales(),
        "wood": _step(np.sin(2 * np.pi * 6 * along.T + 2 * wavy) + 0.6 * fine, 0.4, 0.6),
        "plaid": _plaid(),
        "bars": _step(np.sin(2 * np.pi * 10 * along), 0.0, 0.15),
        "plain": 0.08 * _step(smooth_noise(rng, 3), 0, 1),
    }
    return {name: i for i, name in enumerate(layers)}, np.stack(list(layers.values())).astype(np.float32)


def _step(value: np.ndarray, edge: float, softness: float) -> np.ndarray:
    return np.clip((value - edge) / softness + 0.5, 0, 1)


def _cells(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every texel to the nearest and the second of well-spread points, tiling."""
    chosen = rng.uniform(0, TILE, (1, 2))
    while len(chosen) < count:
        tries = rng.uniform(0, TILE, (12, 2))
        offset = np.abs(tries[:, None] - chosen[None])
        offset = np.minimum(offset, TILE - offset)
        chosen = np.vstack([chosen, tries[np.hypot(*offset.transpose(2, 0, 1)).min(1).argmax()]])
    grid = np.arange(TILE)
    dx, dy = (np.abs(grid[None] - chosen[:, i : i + 1]) for i in (0, 1))
    dx, dy = np.minimum(dx, TILE - dx), np.minimum(dy, TILE - dy)
    distance = np.partition(np.hypot(dx[:, None, :], dy[:, :, None]), 1, axis=0)
    return distance[0], distance[1]


def _scales() -> np.ndarray:
    y, x = np.mgrid[:TILE, :TILE] / 16
    x = x + 0.5 * (np.floor(y) % 2)
    return np.clip(1.6 * np.hypot(x % 1 - 0.5, y % 1) - 0.7, 0, 1)


def _plaid() -> np.ndarray:
    y, x = np.mgrid[:TILE, :TILE] / 32
    return 0.5 * ((x % 1 < 0.45).astype(float) + (y % 1 < 0.45))
