"""Draws a figure: its surfaces as dense points into a depth buffer, then colour and light where something was hit."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from menagerie.camera import Camera
from menagerie.coats import TILE, atlas
from menagerie.figure import BASE, CHANNELS, GLOSS, MARK, NORMAL, PATTERN, TEXTURE, THIN, XYZ, Figure

SPACING = 0.75
"""Largest distance between neighbouring samples in pixels: small enough that no pixel is missed."""
BACK = 0.12
"""Cosine between normal and line of sight from which on a surface is taken to face away."""


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


@dataclass(frozen=True)
class _Grid:
    """How one surface is sampled: at every pair of the positions ``down`` its rows and ``right`` its columns."""

    first: int
    """Row of its first vertex among all."""
    rows: int
    columns: int
    down: np.ndarray
    right: np.ndarray


def render(figure: Figure, camera: Camera, light: Light, size: int, offset: np.ndarray) -> Layer:
    """Draw the figure; ``offset`` (2,) in 0..1 shifts all patterns, so that no two coats are alike."""
    vertices, facing = _projected(figure, camera)
    coarse = np.concatenate([vertices[:, XYZ], facing[:, None]], 1)
    grids = _grids(figure, coarse, size)
    samples = np.concatenate([_sampled(grid, coarse) for grid in grids], 1) if grids else np.zeros((4, 0))
    hit, pixel = _nearest(samples, size)
    depth = np.full(size * size, np.inf, np.float32)
    depth[pixel] = samples[2, hit]
    depth = depth.reshape(size, size)
    seen = _interpolated(hit, grids, vertices)
    normals = np.zeros((size * size, 3), np.float32)
    normals[pixel] = seen[:, NORMAL]
    normals = cv2.blur(normals.reshape(size, size, 3), (3, 3)).reshape(-1, 3)[pixel]
    normals /= np.sqrt((normals * normals).sum(1, keepdims=True)) + 1e-6
    colour = np.zeros((size * size, 3), np.float32)
    colour[pixel] = _lit(_painted(seen, offset), normals, seen[:, GLOSS], camera, light)
    return Layer(colour.reshape(size, size, 3) * _creases(depth)[..., None], depth)


def _projected(figure: Figure, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(M, CHANNELS): all vertices with pixel x, y and depth for positions, and normals as the camera sees them.
    (M,): the cosine between normal and line of sight, below 0 towards the camera."""
    vertices = np.concatenate([s.reshape(-1, CHANNELS) for s in figure.surfaces])
    rays = (vertices[:, XYZ] - camera.target) @ camera.axes.T + np.array([0, 0, camera.distance])
    normals = vertices[:, NORMAL] @ camera.axes.T
    facing = (normals * rays).sum(1) / np.sqrt((rays * rays).sum(1))
    vertices[:, XYZ] = camera.project(vertices[:, XYZ])
    thin = vertices[:, THIN] > 0
    vertices[:, NORMAL] = np.where((thin & (facing > 0))[:, None], -normals, normals)
    return vertices, np.where(thin, -1, facing).astype(np.float32)


def _grids(figure: Figure, coarse: np.ndarray, size: int) -> list[_Grid]:
    """The surfaces that may be seen, and where to sample them so that neighbours are at most SPACING pixels apart."""
    grids: list[_Grid] = []
    first = 0
    for surface in figure.surfaces:
        rows, columns = surface.shape[:2]
        grid = coarse[first : first + rows * columns].reshape(rows, columns, 4)
        xy, away = grid[..., :2], grid[..., 3] > BACK
        low, high = xy.min((0, 1)), xy.max((0, 1))
        if (high >= 0).all() and (low <= size).all() and not away.all():
            down, right = xy[1:] - xy[:-1], xy[:, 1:] - xy[:, :-1]
            tall = np.sqrt((down * down).sum(-1).max(1)) * ~(away[1:] & away[:-1]).all(1)
            wide = np.sqrt((right * right).sum(-1).max(0)) * ~(away[:, 1:] & away[:, :-1]).all(0)
            grids.append(_Grid(first, rows, columns, _positions(tall), _positions(wide)))
        first += rows * columns
    return grids


def _positions(lengths: np.ndarray) -> np.ndarray:
    """Places between grid lines, evenly spread over intervals of these lengths; one of length 0 has none."""
    ends = np.concatenate([[0.0], np.cumsum(lengths)])
    count = int(ends[-1] / SPACING) + 2
    place = np.interp(np.linspace(0, ends[-1], count), ends + 1e-6 * np.arange(len(ends)), np.arange(len(ends)))
    return np.minimum(place, len(lengths) - 1e-3).astype(np.float32)


def _sampled(grid: _Grid, coarse: np.ndarray) -> np.ndarray:
    """(4, N): x, y, depth and facing of every sample of a surface."""
    corners = coarse[grid.first : grid.first + grid.rows * grid.columns].reshape(grid.rows, grid.columns, 4)
    corners = np.ascontiguousarray(corners.transpose(2, 0, 1))
    row, column = grid.down.astype(np.int32), grid.right.astype(np.int32)
    down, right = (grid.down - row)[:, None], grid.right - column
    lines = corners[:, row] * (1 - down) + corners[:, row + 1] * down
    return (lines[..., column] * (1 - right) + lines[..., column + 1] * right).reshape(4, -1)


def _nearest(samples: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the samples that are seen, and their pixels."""
    x, y, depth, facing = samples
    inside = np.flatnonzero((facing < BACK) & (x > -0.5) & (x < size - 0.5) & (y > -0.5) & (y < size - 0.5))
    depth = depth[inside]
    near, far = (float(depth.min()), float(depth.max())) if len(depth) else (0.0, 1.0)
    steps = ((far - depth) * (65535 / max(far - near, 1e-6))).astype(np.uint16)
    order = inside[np.argsort(steps, kind="stable")]
    owner = np.full(size * size, -1, np.int32)
    owner[np.rint(y[order]).astype(np.int32) * size + np.rint(x[order]).astype(np.int32)] = order
    pixel = np.flatnonzero(owner >= 0)
    return owner[pixel], pixel


def _interpolated(hit: np.ndarray, grids: list[_Grid], vertices: np.ndarray) -> np.ndarray:
    """(N, CHANNELS) of the given samples, bilinear between the vertices."""
    tall, wide = (np.array([len(g.down) for g in grids]), np.array([len(g.right) for g in grids]))
    starts = np.concatenate([[0], np.cumsum(tall * wide)])
    of = np.searchsorted(starts, hit, "right") - 1
    i, j = np.divmod(hit - starts[of], wide[of])
    down = np.concatenate([g.down for g in grids])[(np.cumsum(tall) - tall)[of] + i]
    right = np.concatenate([g.right for g in grids])[(np.cumsum(wide) - wide)[of] + j]
    row, column = down.astype(np.int64), right.astype(np.int64)
    down, right = (down - row)[:, None], (right - column)[:, None]
    columns = np.array([g.columns for g in grids])[of]
    at = np.array([g.first for g in grids])[of] + row * columns + column
    upper = vertices[at] * (1 - right) + vertices[at + 1] * right
    lower = vertices[at + columns] * (1 - right) + vertices[at + columns + 1] * right
    return upper * (1 - down) + lower * down


def _painted(seen: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(N, 3) colour before light."""
    names, layers = atlas()
    along, around = (((seen[:, TEXTURE] + offset) * TILE).astype(np.int32) % TILE).T
    share = layers[np.rint(seen[:, PATTERN]).astype(np.int32), around, along][:, None]
    grain = layers[names["fur"], (along * 3) % TILE, (around * 3) % TILE][:, None]
    return (seen[:, BASE] * (1 - share) + seen[:, MARK] * share) * (1.06 - 0.35 * grain)


def _lit(paint: np.ndarray, normals: np.ndarray, gloss: np.ndarray, camera: Camera, light: Light) -> np.ndarray:
    """Lambert's law with a soft terminator, light from the sky, and a highlight where the surface is glossy."""
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
