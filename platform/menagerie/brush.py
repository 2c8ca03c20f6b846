"""Flat things painted with OpenCV: grass, trunks, bushes, rocks, panels and limb-like strokes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from menagerie.coats import Colour, shade

Place = tuple[float, float]


@dataclass(frozen=True)
class Brush:
    """Paints into a picture and, where there is one, marks the same pixels of a mask."""

    image: np.ndarray
    mask: np.ndarray | None = None

    def polygon(self, points: np.ndarray, colour: Colour) -> None:
        corners = np.rint(points).astype(np.int32)
        cv2.fillPoly(self.image, [corners], _full(colour), cv2.LINE_AA)
        if self.mask is not None:
            cv2.fillPoly(self.mask, [corners], 255)

    def line(self, points: np.ndarray, colour: Colour, width: float) -> None:
        path, width = np.rint(points).astype(np.int32), max(1, round(width))
        cv2.polylines(self.image, [path], False, _full(colour), width, cv2.LINE_AA)
        if self.mask is not None:
            cv2.polylines(self.mask, [path], False, 255, width)

    def ellipse(self, at: Place, radii: Place, angle: float, colour: Colour) -> None:
        centre, axes = (round(at[0]), round(at[1])), (max(1, round(radii[0])), max(1, round(radii[1])))
        cv2.ellipse(self.image, centre, axes, angle, 0, 360, _full(colour), -1, cv2.LINE_AA)
        if self.mask is not None:
            cv2.ellipse(self.mask, centre, axes, angle, 0, 360, 255, -1)


def _full(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255)
    return int(red), int(green), int(blue)


def _grass(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    for _ in range(14):
        x, high = at[0] + rng.normal(0, 0.3 * span), span * rng.uniform(0.25, 0.8)
        lean = rng.normal(0, 0.22) * high
        blade = np.array([[x, at[1]], [x + 0.35 * lean, at[1] - 0.6 * high], [x + lean, at[1] - high]])
        brush.line(blade, shade(colour, rng.uniform(0.7, 1.3)), max(1.0, 0.02 * span))


def _weed(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    for _ in range(4):
        rise = np.linspace(0, 1.4 * span, 8)
        x = at[0] + rng.normal(0, 0.2 * span) + 0.06 * span * np.sin(rise / (0.16 * span) + rng.uniform(0, 6))
        brush.line(np.stack([x, at[1] - rise], 1), shade(colour, rng.uniform(0.7, 1.2)), 0.04 * span)


def _trunk(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    half, lean = span * rng.uniform(0.06, 0.16), rng.normal(0, 0.12) * span
    foot, top = np.array([at[0], at[1]]), np.array([at[0] + lean, at[1] - 6 * span])
    for share, tone in ((1.0, 0.75), (0.6, 1.0), (0.25, 1.2)):
        side = np.array([half * share, 0])
        brush.polygon(np.stack([foot - side, foot + side, top + 0.7 * side, top - 0.7 * side]), shade(colour, tone))


def _post(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    half, high = span * rng.uniform(0.06, 0.12), span * rng.uniform(1.5, 3.0)
    x, y = at
    brush.polygon(np.array([[x - half, y], [x + half, y], [x + half, y - high], [x - half, y - high]]), colour)
    brush.polygon(
        np.array([[x + 0.3 * half, y], [x + half, y], [x + half, y - high], [x + 0.3 * half, y - high]]),
        shade(colour, 0.7),
    )


def _branch(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    angle = rng.uniform(0, 2 * np.pi)
    end = np.array(at) + 1.6 * span * np.array([np.cos(angle), 0.5 * np.sin(angle)])
    middle = (np.array(at) + end) / 2 + rng.normal(0, 0.12 * span, 2)
    brush.line(np.stack([np.array(at), middle, end]), shade(colour, 0.7), 0.06 * span)
    for share in rng.uniform(0, 1, 7):
        leaf = np.array(at) + (end - np.array(at)) * share + rng.normal(0, 0.1 * span, 2)
        brush.ellipse(
            (leaf[0], leaf[1]), (0.13 * span, 0.06 * span), rng.uniform(0, 180), shade(colour, rng.uniform(0.8, 1.4))
        )


def _bush(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    for i in range(12):
        x, y = at[0] + rng.normal(0, 0.3 * span), at[1] - abs(rng.normal(0, 0.25 * span))
        radius = span * rng.uniform(0.1, 0.24)
        brush.ellipse((x, y), (radius, 0.8 * radius), rng.uniform(0, 90), shade(colour, 0.65 + 0.05 * i))


def _rock(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    outline = np.stack([np.cos(angles), 0.6 * np.sin(angles)], 1) * (span * rng.uniform(0.35, 0.55, (9, 1)))
    brush.polygon(outline + at, shade(colour, 0.75))
    brush.polygon(outline * 0.72 + at + np.array([-0.05, -0.09]) * span, shade(colour, 1.1))


def _limb(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    heading = rng.uniform(0, 2 * np.pi) + np.array([0.0, rng.normal(0, 0.7), rng.normal(0, 0.7)])
    joints = np.array(at) + np.vstack(
        [np.zeros(2), np.cumsum(0.5 * span * np.stack([np.cos(heading), np.sin(heading)], 1), 0)]
    )
    width = span * rng.uniform(0.08, 0.22)
    for i, tone in ((0, 0.85), (1, 1.0), (2, 0.9)):
        brush.line(joints[i : i + 2], shade(colour, tone), width * (1 - 0.25 * i))


def _blob(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    radii, angle = span * rng.uniform(0.2, 0.55, 2), rng.uniform(0, 180)
    brush.ellipse(at, (radii[0], radii[1]), angle, shade(colour, 0.8))
    brush.ellipse((at[0] - 0.1 * radii[0], at[1] - 0.15 * radii[1]), (0.75 * radii[0], 0.7 * radii[1]), angle, colour)


def _leaf(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    for _ in range(3):
        spot, angle = np.array(at) + rng.normal(0, 0.4 * span, 2), rng.uniform(0, 360)
        brush.ellipse((spot[0], spot[1]), (0.35 * span, 0.14 * span), angle, shade(colour, rng.uniform(0.75, 1.25)))
        ray = 0.35 * span * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        brush.line(np.stack([spot - ray, spot + ray]), shade(colour, 1.4), 1)


def _twig(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    arm = 0.8 * span * np.array([np.cos(a := rng.uniform(0, 2 * np.pi)), np.sin(a)])
    brush.line(np.stack([at - arm, np.array(at) + rng.normal(0, 0.08 * span, 2), at + arm]), colour, 0.05 * span)


def _panel(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    half = span * rng.uniform(0.2, 0.6, 2)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    raised = np.array([at[0], at[1] * rng.uniform(0.3, 1.0)])
    brush.polygon(raised + corners * half, shade(colour, 0.7))
    brush.polygon(raised + corners * half * 0.82, colour)


def _shelf(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    wide, high = 1.4 * span, 0.45 * span
    for i in range(3):
        y = at[1] - i * high
        brush.line(np.array([[at[0], y], [at[0] + wide, y]]), shade(colour, 0.7), 0.06 * span)
        for x in np.arange(0.05, 1.3, 0.16) * span:
            book = np.array([[x, 0], [x + 0.12 * span, 0], [x + 0.12 * span, -0.3 * span], [x, -0.3 * span]])
            brush.polygon(book + np.array([at[0], y]), tuple(rng.uniform(40, 210, 3)))


def _house(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    wide, high, foot = span * rng.uniform(0.7, 1.5), span * rng.uniform(1.2, 3.0), 0.75 * at[1]
    corners = np.array([[0, 0], [wide, 0], [wide, -high], [0, -high]])
    brush.polygon(corners + np.array([at[0], foot]), colour)
    for x in np.arange(0.12, 0.9, 0.26) * wide:
        for y in np.arange(0.1, 0.9, 0.22) * high:
            brush.polygon(corners * 0.11 + (at[0] + x, foot - y), shade(colour, 0.5))


def _cloud(brush: Brush, rng: np.random.Generator, colour: Colour, at: Place, span: float) -> None:
    for _ in range(6):
        spot = (at[0] + rng.normal(0, 0.4 * span), 0.6 * at[1] + rng.normal(0, 0.08 * span))
        brush.ellipse(spot, (0.35 * span, 0.16 * span), 0, tuple(rng.uniform(215, 245) * np.ones(3)))


Painter = Callable[[Brush, np.random.Generator, Colour, Place, float], None]
CLUTTER: dict[str, Painter] = {
    "grass": _grass, "weed": _weed, "trunk": _trunk, "post": _post, "branch": _branch, "bush": _bush, "rock": _rock,
    "limb": _limb, "blob": _blob, "leaf": _leaf, "twig": _twig, "panel": _panel, "shelf": _shelf, "house": _house,
    "cloud": _cloud,
}  # fmt: skip
"""Things by name; each is painted in one colour at a place, about as large as the span in pixels."""
