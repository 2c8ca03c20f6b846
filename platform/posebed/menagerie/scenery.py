"""What surrounds a figure: ground and sky, clutter that resembles limbs and coats, and occluders in front."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from posebed.menagerie.brush import CLUTTER, Brush
from posebed.menagerie.coats import Colour, smooth_noise, tinted

Colours = tuple[Colour, ...]


@dataclass(frozen=True)
class Scene:
    sky: Colours
    """What the upper part may be coloured: sky, wall, far water."""
    ground: Colours
    clutter: tuple[str, ...]
    """Names of ``brush.CLUTTER``."""
    front: tuple[str, ...]
    """What may stand before the figure."""
    rough: float = 16.0
    """Contrast of the ground's texture."""
    tones: Colours = ((70, 98, 44), (104, 112, 58), (88, 74, 54))
    """Colours of clutter and occluders."""


_SKIES: Colours = ((168, 198, 226), (206, 216, 224), (226, 206, 178), (132, 172, 214))
_WALLS: Colours = ((206, 196, 178), (160, 176, 178), (188, 160, 142), (116, 130, 142), (222, 220, 212), (150, 160, 128))

SCENES = {
    "meadow": Scene(_SKIES, ((96, 132, 58), (122, 140, 66), (78, 112, 52)), ("grass", "bush", "trunk", "rock"), ("grass", "post")),
    "savanna": Scene(_SKIES, ((190, 160, 98), (172, 138, 84), (150, 130, 74)), ("grass", "bush", "rock", "trunk"), ("grass", "branch"), tones=((164, 140, 76), (120, 104, 56), (96, 84, 52))),
    "forest": Scene(((72, 92, 56), (54, 70, 46), (112, 128, 96)), ((86, 70, 46), (70, 82, 44), (106, 88, 60)), ("trunk", "bush", "branch", "grass"), ("trunk", "branch", "bush"), 22, ((58, 76, 38), (84, 66, 46), (70, 58, 42))),
    "snow": Scene(((190, 204, 220), (214, 218, 226)), ((228, 232, 240), (212, 220, 230)), ("trunk", "rock", "bush"), ("branch", "rock"), 7, ((88, 84, 82), (70, 86, 80), (196, 204, 214))),
    "rock": Scene(_SKIES, ((140, 130, 118), (118, 110, 102), (160, 142, 118)), ("rock", "bush", "grass"), ("rock", "grass"), 26, ((128, 118, 106), (98, 92, 86), (150, 134, 112))),
    "water": Scene(((34, 92, 128), (46, 122, 150), (24, 70, 98)), ((40, 96, 116), (120, 128, 104), (22, 62, 84)), ("weed", "rock", "blob"), ("weed",), 13, ((36, 98, 72), (60, 108, 86), (98, 92, 70))),
    "sky": Scene(_SKIES, _SKIES, ("cloud", "branch"), ("branch",), 5, ((96, 84, 66), (66, 92, 48), (230, 232, 236))),
    "soil": Scene(((120, 92, 62), (142, 118, 84)), ((116, 88, 60), (146, 122, 88), (90, 84, 64)), ("leaf", "twig", "rock"), ("leaf", "twig"), 28, ((92, 110, 44), (126, 92, 50), (72, 58, 42))),
    "leaf": Scene(((86, 128, 50), (62, 104, 44)), ((92, 138, 56), (70, 112, 48), (120, 150, 76)), ("leaf", "twig", "blob"), ("leaf", "twig"), 14, ((64, 112, 44), (112, 146, 64), (126, 98, 58))),
    "room": Scene(_WALLS, ((150, 112, 76), (120, 98, 82), (170, 160, 150), (96, 78, 64)), ("panel", "post", "shelf"), ("post", "panel"), 9, ((126, 96, 70), (92, 104, 120), (196, 190, 180), (150, 70, 58))),
    "table": Scene(_WALLS, ((158, 118, 78), (210, 206, 198), (96, 72, 54), (120, 134, 140)), ("blob", "panel", "twig"), ("post", "twig"), 10, ((168, 70, 58), (70, 98, 140), (206, 190, 150), (84, 84, 84))),
    "street": Scene(_SKIES, ((112, 112, 114), (132, 128, 122), (92, 94, 98)), ("house", "post", "trunk", "panel"), ("post", "panel"), 14, ((140, 118, 104), (104, 110, 118), (176, 164, 148), (92, 62, 54))),
}  # fmt: skip


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
    texture = scene.rough * (0.7 * grain(rng, 0, size) + 0.6 * grain(rng, 1, size) + 0.5 * grain(rng, 2, size))
    image = image + (texture * (0.25 + 0.75 * below[..., 0]))[..., None]
    image = np.clip(image, 0, 255).astype(np.uint8)
    brush = Brush(image)
    level = float(np.clip(horizon, 0.05 * size, 0.8 * size))
    for _ in range(rng.integers(3, 9)):
        colour = tinted(rng, _one(rng, scene.tones), 0.2)
        CLUTTER[_one(rng, scene.clutter)](brush, rng, colour, (rng.uniform(0, size), rng.uniform(level, size)), size * rng.uniform(0.1, 0.45))
    for _ in range(rng.integers(1, 5)):
        colour = tinted(rng, _one(rng, coat), 0.12)
        CLUTTER[_one(rng, ("limb", "limb", "blob"))](brush, rng, colour, tuple(rng.uniform(0, size, 2)), size * rng.uniform(0.1, 0.4))
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
        CLUTTER[_one(rng, scene.front)](Brush(trial, cover), rng, colour, at, extent * rng.uniform(0.15, 0.4))
        covered = cover > 0
        if np.count_nonzero(covered & mask) <= np.count_nonzero(mask) / 3:
            image[:] = trial
            return covered
    return np.zeros((size, size), bool)


def _one(rng: np.random.Generator, choices: tuple) -> object:
    return choices[rng.integers(len(choices))]
