"""A pinhole camera that looks at a figure, and how it is pointed so that the figure falls into the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """Ranges that a category is photographed in; degrees."""

    elevation: tuple[float, float] = (-4.0, 35.0)
    azimuth: tuple[float, float] = (0.0, 360.0)
    """0 looks at the figure from its front, 90 from its left."""
    roll: float = 6.0
    """Standard deviation."""
    aside: float = 0.0
    """Share of the pictures that are taken more or less from one side, as people like to show an animal."""


@dataclass(frozen=True)
class Camera:
    axes: np.ndarray
    """Rows: right, down and away, in the figure's frame."""
    target: np.ndarray
    distance: float
    focal: float
    """Pixels."""
    centre: np.ndarray
    """Pixel that the target falls on."""

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) in the figure's frame to x, y in pixels and depth in the figure's units."""
        seen = (points - self.target) @ self.axes.T
        depth = np.maximum(seen[..., 2:] + self.distance, 1e-3)
        return np.concatenate([seen[..., :2] * (self.focal / depth) + self.centre, depth], -1)

    def horizon(self) -> float:
        """Row of the picture where the ground meets the sky, for an unrolled camera."""
        away = self.axes[2]
        return float(self.centre[1] + self.focal * away[2] / max(np.hypot(away[0], away[1]), 1e-6))


def view_axes(azimuth: float, elevation: float, roll: float) -> np.ndarray:
    """Rows right, down, away of a camera that stands at the azimuth and elevation. Radians."""
    (ca, ce, cr), (sa, se, sr) = np.cos([azimuth, elevation, roll]), np.sin([azimuth, elevation, roll])
    right, away = np.array([-sa, ca, 0.0]), -np.array([ce * ca, ce * sa, se])
    down = np.cross(away, right)
    return np.stack([cr * right + sr * down, cr * down - sr * right, away])


def point_camera(rng: np.random.Generator, view: View, points: np.ndarray, size: int) -> Camera:
    """A random camera; the figure fills half to the whole of the picture, now and then cut by its edge."""
    low, high = view.elevation
    elevation = np.radians(low + (high - low) * rng.beta(1.1, 1.6))
    roll = np.radians(rng.normal(0, view.roll)) if rng.random() < 0.6 else 0.0
    azimuth = rng.uniform(*view.azimuth)
    if rng.random() < view.aside:
        azimuth = rng.choice([90, 270]) + rng.normal(0, 28)
    axes = view_axes(np.radians(azimuth), elevation, roll)
    target = (points.min(0) + points.max(0)) / 2
    radius = float(np.sqrt(((points - target) ** 2).sum(1)).max())
    distance = radius * rng.uniform(2.6, 6.0)
    flat = Camera(axes, target, distance, 1.0, np.zeros(2)).project(points)[:, :2]
    low_xy, high_xy = flat.min(0), flat.max(0)
    share = rng.uniform(0.45, 0.98) if rng.random() < 0.85 else rng.uniform(0.98, 1.2)
    focal = share * size / float((high_xy - low_xy).max())
    extent = (high_xy - low_xy) * focal
    room = np.maximum(size - extent, 0.04 * size)
    middle = (size - 1) / 2 + rng.uniform(-0.5, 0.5, 2) * room
    return Camera(axes, target, distance, focal, middle - (low_xy + high_xy) / 2 * focal)
