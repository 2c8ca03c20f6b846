"""One picture of a set: a category's figure, posed, lit, put into a scene and photographed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from menagerie.camera import Camera, point_camera
from menagerie.config import MenagerieConfig
from menagerie.figure import BASE, CHANNELS, XYZ, Figure
from menagerie.render import Layer, Light, render
from menagerie.scenery import background, grain, occlude
from menagerie.scenes import SCENES, Colours
from menagerie.skeleton import Kind

SMALLEST = 0.004
"""Share of the picture that a figure must fill; one that fills less is drawn anew."""


@dataclass(frozen=True)
class Picture:
    """A picture with its truth."""

    image: np.ndarray
    """(H, W, 3) uint8, RGB."""
    category: int
    """Position in ``config.kinds()``."""
    keypoints: np.ndarray
    """(K, 3) float32: x, y in pixels; 2 visible, 1 covered by the figure itself or by something before it, and
    0, 0, 0 outside the picture."""
    box: tuple[float, float, float, float]
    """Of the whole silhouette within the picture, hidden parts too."""
    area: float
    """Pixels of that silhouette."""
    depth: np.ndarray
    """(H, W) distance of the figure, infinite beside it."""
    cover: np.ndarray
    """(H, W) bool: what the occluder hides."""
    camera: Camera
    figure: Figure


def draw_picture(config: MenagerieConfig, index: int) -> Picture:
    """Draw picture ``index``; it depends on nothing but the config and the index."""
    kinds = config.kinds()
    category = _category(config.seed, index, len(kinds))
    rng = np.random.default_rng([config.seed, index])
    kind = kinds[category]
    while True:
        figure = kind.build(rng)
        camera = point_camera(rng, kind.view, figure.vertices(), config.side)
        light = _light(rng)
        layer = render(figure, camera, light, config.side, rng.random(2))
        if np.count_nonzero(layer.mask) >= SMALLEST * config.side**2:
            break
    image, cover = _staged(rng, kind, figure, camera, light, layer, config.side)
    keypoints = _seen(figure.keypoints(kind.category.keypoints), camera, layer.depth, cover)
    area = float(np.count_nonzero(layer.mask))
    photo = _developed(rng, image)
    return Picture(photo, category, keypoints, _box(layer.mask), area, layer.depth, cover, camera, figure)


def _category(seed: int, index: int, count: int) -> int:
    """Every round of ``count`` pictures shows each category once, in its own order."""
    turn, place = divmod(index, count)
    return int(np.random.default_rng([seed, turn, count, 1]).permutation(count)[place])


def _light(rng: np.random.Generator) -> Light:
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.0)
    towards = np.array([np.cos(azimuth), np.sin(azimuth), height])
    warm = rng.normal(0, 0.05)
    strength, ambient = rng.uniform(0.45, 0.8), rng.uniform(0.6, 0.85)
    tone = np.array([1 + warm, 1, 1 - warm])
    return Light(towards / np.linalg.norm(towards), strength * tone, ambient * (2 - tone))


def _staged(
    rng: np.random.Generator, kind: Kind, figure: Figure, camera: Camera, light: Light, layer: Layer, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The figure in a scene (uint8), and the pixels that an occluder covers."""
    scene = SCENES[kind.scenes[rng.integers(len(kind.scenes))]]
    back = background(rng, scene, size, camera.horizon(), _coat(rng, figure)).astype(np.float32)
    if scene.grounded:
        back *= _shadow(figure, camera, light, size)[..., None]
    alpha = cv2.GaussianBlur(layer.mask.astype(np.float32), (3, 3), 0.55)
    colour = cv2.GaussianBlur(layer.colour, (3, 3), 0.55)
    image = np.clip(back * (1 - alpha[..., None]) + colour, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        return image, occlude(rng, scene, image, layer.mask)
    return image, np.zeros((size, size), bool)


def _coat(rng: np.random.Generator, figure: Figure) -> Colours:
    """Three colours of the figure, for things beside it that resemble it."""
    vertices = np.concatenate([s.reshape(-1, CHANNELS) for s in figure.surfaces])
    chosen = vertices[rng.integers(0, len(vertices), 3)]
    return tuple((float(red), float(green), float(blue)) for red, green, blue in chosen[:, BASE])


def _shadow(figure: Figure, camera: Camera, light: Light, size: int) -> np.ndarray:
    """(size, size) factor that darkens the ground z = 0 where the figure keeps the light away."""
    points = np.concatenate([s[::2, ::2, XYZ].reshape(-1, 3) for s in figure.surfaces])
    ground = points - light.towards * (points[:, 2:] / light.towards[2])
    spot = np.rint(camera.project(ground)[:, :2] / 4).astype(np.int32)
    small = size // 4 + 1
    spot = spot[((spot >= 0) & (spot < small)).all(1)]
    mask = np.zeros((small, small), np.float32)
    mask[spot[:, 1], spot[:, 0]] = 1
    mask = cv2.GaussianBlur(cv2.dilate(mask, np.ones((3, 3))), (5, 5), 0)
    return 1 - 0.5 * float(light.colour.max()) * cv2.resize(mask, (4 * small, 4 * small))[:size, :size]


def _seen(keypoints: np.ndarray, camera: Camera, depth: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """(K, 3) x, y, visibility from (K, 4) position and reach."""
    size = len(depth)
    placed = camera.project(keypoints[:, :3])
    result = np.zeros((len(keypoints), 3), np.float32)
    for i, (x, y, distance) in enumerate(placed):
        if not (0 <= x <= size - 1 and 0 <= y <= size - 1):
            continue
        column, row = round(float(x)), round(float(y))
        hidden = cover[row, column] or depth[row, column] < distance - keypoints[i, 3]
        result[i] = x, y, 1 if hidden else 2
    return result


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = float(columns[0]), float(rows[0])
    return left, top, float(columns[-1]) - left + 1, float(rows[-1]) - top + 1


def _developed(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Exposure, a colour cast, softness and sensor noise."""
    gain = rng.uniform(0.88, 1.16) * (1 + rng.normal(0, 0.03, 3))
    contrast = rng.uniform(0.88, 1.12) * gain
    photo = cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 0.9)) if rng.random() < 0.4 else image
    noise = rng.uniform(0, 6) * grain(rng, 3, len(image))
    bright = photo * contrast.astype(np.float32) + (118 * (gain - contrast)).astype(np.float32)
    return np.clip(bright + noise[..., None].astype(np.float32), 0, 255).astype(np.uint8)
