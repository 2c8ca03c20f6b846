"""Draws a figure: its surfaces as dense points into a depth buffer, then colour and light where something was hit."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from posebed.menagerie.camera import Camera
from posebed.menagerie.coats import TILE, atlas
from posebed.menagerie.figure import BASE, CHANNELS, GLOSS, MARK, NORMAL, PATTERN, TEXTURE, XYZ, Figure

SPACING = 0.72
"""Largest distance between neighbouring points in pixels; below 1/sqrt(2)-ish no holes remain."""


@dataclass(frozen=True)
class Light:
    towards: np.ndarray
    """Unit vector to the light, in the figure's frame."""
    colour: np.ndarray
    """(3,) factor of what the light reaches."""
    ambient: np.ndarray
    """(3,) factor of everything."""


@dataclass(frozen=True)
class Layer:
    """The figure alone, before it is put into a scene."""

    colour: np.ndarray
    """(H, W, 3) float32, RGB in 0..255; 0 where nothing was hit."""
    depth: np.ndarray
    """(H, W) float32; infinite where nothing was hit."""

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: the silhouette."""
        return np.isfinite(self.depth)


def render(figure: Figure, camera: Camera, light: Light, size: int, offset: np.ndarray) -> Layer:
    """Draw the figure; ``offset`` (2,) in 0..1 shifts all patterns, so that no two coats are alike."""
    points = _dense(figure, camera, size)
    hit, pixel = _nearest(points, size)
    seen = points[hit]
    depth = np.full(size * size, np.inf, np.float32)
    depth[pixel] = seen[:, 2]
    depth = depth.reshape(size, size)
    normals = np.zeros((size * size, 3), np.float32)
    normals[pixel] = seen[:, NORMAL]
    normals = cv2.blur(normals.reshape(size, size, 3), (3, 3)).reshape(-1, 3)[pixel]
    normals /= np.sqrt((normals * normals).sum(1, keepdims=True)) + 1e-6
    colour = np.zeros((size * size, 3), np.float32)
    colour[pixel] = _lit(_painted(seen, offset), normals, seen[:, GLOSS], camera, light)
    return Layer(colour.reshape(size, size, 3) * _creases(depth)[..., None], depth)


def _dense(figure: Figure, camera: Camera, size: int) -> np.ndarray:
    """(N, CHANNELS): the surfaces refined until neighbours are at most SPACING pixels apart, with pixel x, y and
    depth for their positions and normals as the camera sees them."""
    flat = np.concatenate([s.reshape(-1, CHANNELS) for s in figure.surfaces])
    flat[:, XYZ] = camera.project(flat[:, XYZ])
    flat[:, NORMAL] = flat[:, NORMAL] @ camera.axes.T.astype(np.float32)
    grids: list[tuple[np.ndarray, int, int]] = []
    start = 0
    for surface in figure.surfaces:
        rows, columns = surface.shape[:2]
        grid = flat[start : start + rows * columns].reshape(rows, columns, CHANNELS)
        start += rows * columns
        xy = grid[..., :2]
        low, high = xy.min((0, 1)), xy.max((0, 1))
        if (high < 0).any() or (low > size).any():
            continue
        down, right = xy[1:] - xy[:-1], xy[:, 1:] - xy[:, :-1]
        tall = rows * np.sqrt((down * down).sum(-1).max()) / SPACING
        wide = columns * np.sqrt((right * right).sum(-1).max()) / SPACING
        grids.append((grid, int(tall) + 2, int(wide) + 2))
    points = np.empty((sum(tall * wide for _, tall, wide in grids), CHANNELS), np.float32)
    start = 0
    for grid, tall, wide in grids:
        part = points[start : start + tall * wide].reshape(tall, wide, CHANNELS)
        cv2.resize(grid, (wide, tall), dst=part, interpolation=cv2.INTER_LINEAR)
        start += tall * wide
    return points


def _nearest(points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the points that are seen, and their pixels."""
    column, row = (np.rint(points[:, i]).astype(np.int32) for i in (0, 1))
    inside = np.flatnonzero((column >= 0) & (column < size) & (row >= 0) & (row < size))
    depth = points[inside, 2]
    near, far = (float(depth.min()), float(depth.max())) if len(depth) else (0.0, 1.0)
    steps = ((far - depth) * (65535 / max(far - near, 1e-6))).astype(np.uint16)
    order = inside[np.argsort(steps, kind="stable")]
    owner = np.full(size * size, -1, np.int32)
    owner[row[order] * size + column[order]] = order
    pixel = np.flatnonzero(owner >= 0)
    return owner[pixel], pixel


def _painted(seen: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(N, 3) colour before light."""
    layers = atlas()[1]
    along, around = (((seen[:, TEXTURE] + offset) * TILE).astype(np.int32) % TILE).T
    share = layers[np.rint(seen[:, PATTERN]).astype(np.int32), around, along][:, None]
    grain = layers[0, (along * 3) % TILE, (around * 3) % TILE][:, None]
    return (seen[:, BASE] * (1 - share) + seen[:, MARK] * share) * (1.06 - 0.35 * grain)


def _lit(paint: np.ndarray, normals: np.ndarray, gloss: np.ndarray, camera: Camera, light: Light) -> np.ndarray:
    """Lambert's law with a soft terminator, light from the sky, and a highlight where the surface is glossy."""
    normals = np.where(normals[:, 2:] > 0, -normals, normals)
    towards = camera.axes @ light.towards
    direct = np.clip(0.25 + 0.85 * (normals @ towards), 0, 1)[:, None]
    sky = (0.75 - 0.25 * (normals @ (camera.axes @ np.array([0.0, 0.0, -1.0]))))[:, None]
    halfway = towards - np.array([0.0, 0.0, 1.0])
    halfway /= np.linalg.norm(halfway) + 1e-6
    shine = 255 * (gloss * np.clip(normals @ halfway, 0, 1) ** 24)[:, None]
    return paint * (sky * light.ambient + direct * light.colour) + shine * light.colour


def _creases(depth: np.ndarray) -> np.ndarray:
    """(H, W) factor that darkens what lies behind its surroundings, as where a leg passes before the body."""
    hit = np.isfinite(depth)
    if not hit.any():
        return hit.astype(np.float32)
    near, far = float(depth[hit].min()), float(depth[hit].max())
    filled = np.where(hit, depth, far).astype(np.float32)
    behind = (filled - cv2.blur(filled, (9, 9))) / max(far - near, 1e-6)
    return np.where(hit, np.clip(1 - 3.2 * np.maximum(behind, 0), 0.45, 1), 0).astype(np.float32)
