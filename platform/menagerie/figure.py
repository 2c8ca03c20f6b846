"""A posed figure: painted surfaces in space and the keypoints that sit on them.

Every figure stands in its own frame: x forward, y to its own left, z up; left_* keypoints have the larger y in a
straight pose. Units are the figure's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from menagerie.coats import Paint, atlas

XYZ, NORMAL, BASE, MARK = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)
TEXTURE, PATTERN, GLOSS, THIN, CHANNELS = slice(12, 14), 14, 15, 16, 17
"""Columns of a vertex; THIN is 1 on surfaces that are seen from both sides."""


Knots = ArrayLike | Sequence[ArrayLike]
"""Points along a line: an array (N, 3), or a list of whatever a point can be given as."""


@dataclass
class Figure:
    """Surfaces and keypoints, built part by part."""

    surfaces: list[np.ndarray] = field(default_factory=list)
    """Each (U, V, CHANNELS) float32: a grid of vertices, bilinear in between."""
    marks: dict[str, np.ndarray] = field(default_factory=dict)
    """Keypoint to x, y, z and reach: it is hidden where something lies more than its reach before it."""

    def mark(self, name: str, at: ArrayLike, reach: float) -> None:
        """Place a keypoint."""
        self.marks[name] = np.append(np.asarray(at, float), reach)

    def keypoints(self, names: Sequence[str]) -> np.ndarray:
        """(K, 4): position and reach, in the order of the names.

        Raises:
            LookupError: the figure lacks one of them, or has others.
        """
        if set(names) != set(self.marks):
            raise LookupError(
                f"a figure must mark {', '.join(sorted(names))}, but marks {', '.join(sorted(self.marks))}"
            )
        return np.stack([self.marks[name] for name in names])

    def vertices(self) -> np.ndarray:
        """(N, 3) positions of every vertex."""
        return np.concatenate([s[..., XYZ].reshape(-1, 3) for s in self.surfaces])

    def stand(self) -> None:
        """Move the figure up or down so that its lowest vertex touches the ground, z = 0."""
        self.turn(np.eye(3), (0.0, 0.0, -float(self.vertices()[:, 2].min())))

    def turn(self, rotation: np.ndarray, shift: ArrayLike = (0, 0, 0)) -> None:
        """Turn (about the origin), then shift everything."""
        for surface in self.surfaces:
            surface[..., XYZ] = surface[..., XYZ] @ rotation.T + np.asarray(shift)
            surface[..., NORMAL] = surface[..., NORMAL] @ rotation.T
        for at in self.marks.values():
            at[:3] = rotation @ at[:3] + np.asarray(shift)

    def tube(
        self,
        path: Knots,
        radii: ArrayLike,
        paint: Paint,
        across: ArrayLike | None = None,
        *,
        steps: int = 4,
        ring: int = 12,
        cap: float = 1.0,
    ) -> None:
        """A round or oval tube along a smooth path.

        ``radii`` is one per knot, or two: along ``across`` and at right angles to it. ``cap`` stretches the rounded
        ends; 0 leaves them open.
        """
        across = _athwart(path) if across is None else np.asarray(across, float)
        knots, radius = np.asarray(path, float), np.asarray(radii, float)
        if radius.ndim < 2:
            radius = np.repeat(np.broadcast_to(radius, len(knots))[:, None], 2, 1)
        line = curve(np.concatenate([knots, radius], 1), steps)
        centre, radius = line[:, :3], np.maximum(line[:, 3:], 1e-3)
        forward = _unit(_slope(centre))
        if cap:
            centre, forward, radius = _capped(centre, forward, radius, cap)
        first = _unit(across - forward * (forward @ across)[:, None])
        second = cross(forward, first)
        cos, sin, angle = _circle(ring)
        side, rise = first[:, None] * radius[:, None, :1], second[:, None] * radius[:, None, 1:]
        points = centre[:, None] + side * cos + rise * sin
        normals = _unit(cross(rise * cos - side * sin, _slope(points)))
        lengths = np.concatenate([[0], np.cumsum(np.sqrt(((centre[1:] - centre[:-1]) ** 2).sum(1)))])
        texture = np.empty((*points.shape[:2], 2))
        texture[..., 0], texture[..., 1] = lengths[:, None], angle * radius.mean()
        self._add(points, normals, texture, paint)

    def rod(self, one: ArrayLike, other: ArrayLike, radius: float, paint: Paint, end: float | None = None) -> None:
        """A straight round stick, from ``radius`` to ``end``."""
        self.tube([one, other], [radius, radius if end is None else end], paint, steps=2, ring=8, cap=0.5)

    def ball(self, centre: ArrayLike, radii: ArrayLike, paint: Paint, axes: np.ndarray | None = None) -> None:
        """An ellipsoid; ``axes`` are the directions of its radii, as rows."""
        sphere, radii = _sphere(), np.broadcast_to(np.asarray(radii, float), 3)
        points, normals = sphere * radii, _unit(sphere / radii)
        if axes is not None:
            points, normals = points @ axes, normals @ axes
        texture = np.stack([sphere[..., 0] * radii[0], np.arctan2(sphere[..., 1], sphere[..., 2]) * radii[1]], -1)
        self._add(points + np.asarray(centre, float), normals, texture, paint)

    def sheet(self, one: Knots, other: Knots, paint: Paint, bulge: ArrayLike = (0, 0, 0)) -> None:
        """A thin surface between two edges of equally many points, swollen by ``bulge`` halfway."""
        one, other = np.asarray(one, float), np.asarray(other, float)
        share = np.linspace(0, 1, 5)[None, :, None] if np.any(bulge) else np.linspace(0, 1, 2)[None, :, None]
        points = one[:, None] * (1 - share) + other[:, None] * share
        points = points + np.asarray(bulge, float) * 4 * share * (1 - share)
        normals = _unit(cross(_slope(points.swapaxes(0, 1)).swapaxes(0, 1), _slope(points)))
        along = np.concatenate([[0], np.cumsum(np.sqrt(((one[1:] - one[:-1]) ** 2).sum(1)))])
        wide = float(np.abs(other - one).max())
        texture = np.stack(np.broadcast_arrays(along[:, None], share[..., 0] * wide), -1)
        self._add(points, normals, texture, paint, thin=True)

    def box(self, centre: ArrayLike, half: ArrayLike, paint: Paint, axes: np.ndarray | None = None) -> None:
        """A cuboid with ``half`` the size along each of ``axes`` (rows)."""
        axes = np.eye(3) if axes is None else axes
        arms = axes * np.asarray(half, float)[:, None]
        for i in range(3):
            one, other = arms[(i + 1) % 3], arms[(i + 2) % 3]
            for side in (-1, 1):
                middle = np.asarray(centre, float) + side * arms[i]
                near = np.stack([middle - one - other, middle + one - other])
                self.sheet(near, near + 2 * other, paint)

    def _add(
        self, points: np.ndarray, normals: np.ndarray, texture: np.ndarray, paint: Paint, *, thin: bool = False
    ) -> None:
        vertices = np.empty((*points.shape[:2], CHANNELS), np.float32)
        vertices[..., XYZ], vertices[..., NORMAL] = points, normals
        vertices[..., BASE], vertices[..., MARK] = paint.base, paint.mark
        if paint.belly is not None:
            below = np.clip(-1.4 * normals[..., 2:] - 0.2, 0, 1)
            vertices[..., BASE] += below * (np.asarray(paint.belly) - vertices[..., BASE])
            vertices[..., MARK] += 0.7 * below * (np.asarray(paint.belly) - vertices[..., MARK])
        if paint.tip is not None:
            share = texture[..., :1] / max(float(texture[..., 0].max()), 1e-6)
            far = np.clip((share - paint.tip_from) / 0.08 + 0.5, 0, 1)
            vertices[..., BASE] += far * (np.asarray(paint.tip) - vertices[..., BASE])
            vertices[..., MARK] += far * (np.asarray(paint.tip) - vertices[..., MARK])
        vertices[..., TEXTURE] = texture * paint.scale
        vertices[..., PATTERN], vertices[..., GLOSS], vertices[..., THIN] = atlas()[0][paint.pattern], paint.gloss, thin
        self.surfaces.append(vertices)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cross product over the last axis; for small arrays several times faster than numpy's."""
    result = np.empty(np.broadcast_shapes(a.shape, b.shape))
    result[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    result[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    result[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return result


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """(3, 3): roll about x (left side up), then pitch (nose up), then yaw (to the left). Radians.

    Its columns are the turned forward, left and up.
    """
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_y = np.array([[cp, 0, -sp], [0, 1, 0], [sp, 0, cp]])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return about_z @ about_y @ about_x


def curve(knots: Knots, steps: int = 4) -> np.ndarray:
    """A smooth curve through the knots, with ``steps`` points from each to the next."""
    knots = np.asarray(knots, float)
    return _smooth(len(knots), steps) @ knots


def _athwart(path: Knots) -> np.ndarray:
    """The axis that is most at right angles to a path."""
    path = np.asarray(path, float)
    return np.eye(3)[np.abs(path[-1] - path[0]).argmin()]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.sqrt((vectors * vectors).sum(-1, keepdims=True)) + 1e-9)


def _slope(rows: np.ndarray) -> np.ndarray:
    """Differences along the first axis, central inside and one-sided at the ends."""
    slope = np.empty_like(rows)
    slope[1:-1] = rows[2:] - rows[:-2]
    slope[0], slope[-1] = rows[1] - rows[0], rows[-1] - rows[-2]
    return slope


_LIFT = np.sin(np.radians([86.0, 60.0, 30.0]))
_SHRINK = np.cos(np.radians([86.0, 60.0, 30.0]))


def _capped(
    centre: np.ndarray, forward: np.ndarray, radius: np.ndarray, cap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stations of a tube with three more at each end, which close it roundly."""
    before = centre[0] - forward[0] * (cap * radius[0].mean() * _LIFT)[:, None]
    after = centre[-1] + forward[-1] * (cap * radius[-1].mean() * _LIFT[::-1])[:, None]
    rows = np.r_[0, 0, 0, np.arange(len(centre)), [len(centre) - 1] * 3]
    shrink = np.concatenate([_SHRINK, np.ones(len(centre)), _SHRINK[::-1]])
    return np.concatenate([before, centre, after]), forward[rows], radius[rows] * shrink[:, None]


@lru_cache(64)
def _smooth(knots: int, steps: int) -> np.ndarray:
    """((knots - 1) * steps + 1, knots): weights of a Catmull-Rom curve through the knots."""
    weights = np.zeros(((knots - 1) * steps + 1, knots))
    for row in range(len(weights)):
        i = min(row // steps, knots - 2)
        t = row / steps - i
        shares = (
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        )
        for knot, share in zip((i - 1, i, i + 1, i + 2), shares, strict=True):
            if knot < 0:
                weights[row, 0] += 2 * share
                weights[row, 1] -= share
            elif knot >= knots:
                weights[row, knots - 1] += 2 * share
                weights[row, knots - 2] -= share
            else:
                weights[row, knot] += share
    return weights


@lru_cache(8)
def _circle(ring: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine and sine (1, ring + 1, 1), angle (1, ring + 1), from below once around."""
    angle = np.linspace(-np.pi / 2, 1.5 * np.pi, ring + 1)
    return np.cos(angle)[None, :, None], np.sin(angle)[None, :, None], angle[None]


@lru_cache(1)
def _sphere() -> np.ndarray:
    """(9, 13, 3) unit vectors; the poles lie on x."""
    polar, around = np.linspace(0.02, np.pi - 0.02, 9)[:, None], np.linspace(0, 2 * np.pi, 13)[None]
    around = np.broadcast_to(around, (9, 13))
    return np.stack(
        [np.broadcast_to(-np.cos(polar), (9, 13)), np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around)], -1
    )
