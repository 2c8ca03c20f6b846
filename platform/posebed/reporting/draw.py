"""Draws poses on pictures and lays pictures out on a sheet, with numpy and cv2.

Pictures are RGB uint8 arrays (H, W, 3); coordinates are their pixels, integers being pixel centres. Which pictures
are worth drawing is decided in ``reporting.gallery``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import cv2
import numpy as np

from posebed.records import Category

Colour = tuple[int, int, int]

# Okabe and Ito's set for colour-blind readers; the three sides also differ in lightness.
LEFT, RIGHT, MIDDLE = (86, 180, 233), (238, 119, 31), (255, 244, 214)
UNSIDED = ((86, 180, 233), (240, 228, 66), (0, 158, 115), (204, 121, 167), (255, 244, 214), (238, 119, 31))
CASING, WHITE, INK, PAPER = (24, 24, 24), (255, 255, 255), (40, 38, 36), (250, 248, 244)
LEAST = 512
"""Longer side in pixels that pictures are brought up to, so that marks do not hide them."""
CELL, GAP, LINE = 360, 16, 20
"""Of a contact sheet, in pixels: longer side of its pictures, space between them, height of a line of text."""

_FRACTION = 4  # bits behind the binary point in cv2's drawing coordinates
_TURN = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)  # cv2's own small circles have corners
_SIDES = {
    "left": re.compile(r"left|(?:^|[_\W])l(?:$|[_\W\d])|[a-z]L\d*$", re.ASCII),
    "right": re.compile(r"right|(?:^|[_\W])r(?:$|[_\W\d])|[a-z]R\d*$", re.ASCII),
}


def side(name: str) -> str:
    """left, right or nothing, as the keypoint's name says: ``left_eye``, ``L_Eye``, ``eyeL``."""
    for word, pattern in _SIDES.items():
        if pattern.search(name) or pattern.search(name.lower()):
            return word
    return ""


def colours(category: Category) -> list[Colour]:
    """One colour per keypoint: by side where the category has sides, else in turn."""
    sides = [side(name) for name in category.keypoints]
    if not any(sides):
        for left, right in category.flip_pairs:
            sides[left], sides[right] = "left", "right"
    if not any(sides):
        return [UNSIDED[k % len(UNSIDED)] for k in range(len(sides))]
    return [{"left": LEFT, "right": RIGHT, "": MIDDLE}[s] for s in sides]


def draw_pose(
    image: np.ndarray,
    xy: np.ndarray,
    shown: np.ndarray,
    category: Category,
    *,
    truth: np.ndarray | None = None,
    longest: int | None = None,
    numbered: bool = False,
) -> np.ndarray:
    """The picture with limbs and filled dots where ``shown`` holds, and, where a truth is given, its keypoints as
    rings, tied to their dots by a thin line.

    Args:
        image: RGB; it is not changed.
        xy: (K, 2) pixels of ``image``.
        shown: (K,) bool.
        truth: (K, 2) pixels of ``image``.
        longest: Longer side of the picture that comes back; by default the given one's, but at least LEAST.
        numbered: Write each keypoint's number, from 1, beside its dot.
    """
    height, width = image.shape[:2]
    factor = (longest or max(height, width, LEAST)) / max(height, width)
    canvas = _resized(image, factor)
    points = _scaled(xy, factor)
    visible = np.flatnonzero(np.asarray(shown, bool) & np.isfinite(points).all(1))
    palette = colours(category)
    radius = _radius(points[visible], max(canvas.shape[:2]))

    canvas = _limbs(canvas, points, [(a, b) for a, b in category.limbs if {a, b} <= set(visible)], palette, radius)
    if truth is not None:
        rings = _scaled(truth, factor)
        for k in visible:
            _tied_ring(canvas, rings[k], points[k], palette[k], radius)
    for k in visible:
        _disc(canvas, points[k], radius + 1.2, CASING)
        _disc(canvas, points[k], radius, palette[k])
    if numbered:
        for k in visible:
            _number(canvas, points[k] + radius + 2, str(k + 1))
    return canvas


def window(image: np.ndarray, box: Sequence[float] | np.ndarray, margin: float = 1.3) -> tuple[np.ndarray, np.ndarray]:
    """A square about the box (x, y, width, height), grown by ``margin``, moved and cut to lie in the picture; and its
    (2,) corner, to be taken from coordinates."""
    x, y, width, height = box
    side = max(8, round(max(width, height) * margin))
    spans: list[slice] = []
    for centre, room in ((x + width / 2, image.shape[1]), (y + height / 2, image.shape[0])):
        length = min(side, room)
        start = int(np.clip(round(centre - length / 2), 0, room - length))
        spans.append(slice(start, start + length))
    across, down = spans
    return image[down, across], np.array([across.start, down.start])


def _resized(image: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return image.copy()
    height, width = image.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA)


def _scaled(xy: np.ndarray, factor: float) -> np.ndarray:
    """Pixel centres stay pixel centres, so that scaling turns about (-0.5, -0.5)."""
    return (np.asarray(xy, float) + 0.5) * factor - 0.5


def _radius(points: np.ndarray, longest: int) -> float:
    """Of the dots: in proportion to pose and picture, but small enough that neighbours stay apart."""
    if len(points) < 2:
        return longest / 110
    extent = float(np.clip(np.ptp(points, axis=0).max(), longest / 3, longest))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    distances[np.diag_indices(len(points))] = np.inf
    return float(np.clip(0.4 * np.median(distances.min(1)), extent / 260, extent / 100))


def _limbs(
    canvas: np.ndarray, points: np.ndarray, limbs: list[tuple[int, int]], palette: list[Colour], radius: float
) -> np.ndarray:
    """Limbs let the picture shine through; a limb takes the colour of its sided end."""
    drawn = canvas.copy()
    for a, b in limbs:
        _line(drawn, points[a], points[b], CASING, radius * 0.9 + 2)
    for a, b in limbs:
        _line(drawn, points[a], points[b], palette[b] if palette[a] == MIDDLE else palette[a], radius * 0.9)
    return cv2.addWeighted(drawn, 0.75, canvas, 0.25, 0)


def _tied_ring(canvas: np.ndarray, ring: np.ndarray, dot: np.ndarray, colour: Colour, radius: float) -> None:
    if np.linalg.norm(ring - dot) > 2.2 * radius:
        _line(canvas, ring, dot, CASING, 3)
        _line(canvas, ring, dot, WHITE, 1)
    _ring(canvas, ring, 2.1 * radius, CASING, radius * 0.4 + 1.6)
    _ring(canvas, ring, 2.1 * radius, colour, radius * 0.4)


def _fixed(values: np.ndarray) -> np.ndarray:
    """cv2's fixed-point coordinates; far outside the picture is as good as any other place outside."""
    return np.clip(np.round(values * 2**_FRACTION), -(2**24), 2**24).astype(np.int32)


def _line(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, colour: Colour, width: float) -> None:
    cv2.polylines(canvas, [_fixed(np.stack([start, end]))], False, colour, max(1, round(width)), cv2.LINE_AA, _FRACTION)


def _disc(canvas: np.ndarray, centre: np.ndarray, radius: float, colour: Colour) -> None:
    cv2.fillConvexPoly(canvas, _fixed(centre + radius * _CIRCLE), colour, cv2.LINE_AA, _FRACTION)


def _ring(canvas: np.ndarray, centre: np.ndarray, radius: float, colour: Colour, width: float) -> None:
    outline = _fixed(centre + radius * _CIRCLE)
    cv2.polylines(canvas, [outline], True, colour, max(1, round(width)), cv2.LINE_AA, _FRACTION)


def _number(canvas: np.ndarray, at: np.ndarray, text: str) -> None:
    place = (round(float(at[0])), round(float(at[1])))
    for colour, width in ((CASING, 3), (WHITE, 1)):
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, width, cv2.LINE_AA)


def contact_sheet(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str],
    columns: int,
    categories: Sequence[Category] = (),
) -> np.ndarray:
    """Pictures in a grid, row by row, each above its title; below them the keypoints of every category by name.

    Raises:
        ValueError: not one title per picture, or no picture.
    """
    if not pictures or len(pictures) != len(titles):
        raise ValueError(
            f"a contact sheet must have pictures and one title for each, but got {len(pictures)} pictures and "
            f"{len(titles)} titles"
        )
    columns = min(columns, len(pictures))
    width = columns * (CELL + GAP) + GAP
    rows = [_row(pictures[i : i + columns], titles[i : i + columns], width) for i in range(0, len(pictures), columns)]
    return np.vstack([blank(GAP, width), *rows, *(_legend(c, width) for c in categories)])


def blank(height: int, width: int) -> np.ndarray:
    """Empty paper."""
    return np.full((height, width, 3), PAPER, np.uint8)


def _row(pictures: Sequence[np.ndarray], titles: Sequence[str], width: int) -> np.ndarray:
    fitted = [_resized(p, CELL / max(p.shape[:2])) for p in pictures]
    tallest = max(len(p) for p in fitted)
    row = blank(tallest + LINE + GAP, width)
    for i, (picture, title) in enumerate(zip(fitted, titles, strict=True)):
        left = GAP + i * (CELL + GAP)
        row[: len(picture), left : left + picture.shape[1]] = picture
        write_line(row, title, (left, len(picture) + 15), CELL)
    return row


def _legend(category: Category, width: int) -> np.ndarray:
    """The category's name, and under it its keypoints, numbered from 1, beside a dot of their colour."""
    column = 170
    columns = max(1, (width - 2 * GAP) // column)
    lines = math.ceil(len(category.keypoints) / columns)
    legend = blank((lines + 1) * LINE + GAP, width)
    write_line(legend, f"{category.name}: {len(category.keypoints)} keypoints", (GAP, 15), width - 2 * GAP)
    for k, (name, colour) in enumerate(zip(category.keypoints, colours(category), strict=True)):
        # Down the columns, as lists are read.
        left = GAP + (k // lines) * column
        base = (k % lines + 1) * LINE + 15
        _disc(legend, np.array([left + 6.0, base - 5.0]), 6, CASING)
        _disc(legend, np.array([left + 6.0, base - 5.0]), 5, colour)
        write_line(legend, f"{k + 1} {name.replace('_', ' ')}", (left + 18, base), column - 22)
    return legend


def write_line(canvas: np.ndarray, text: str, at: tuple[int, int], room: int) -> None:
    """Write one line with its baseline at ``at``, shortened with dots where it needs more than ``room`` pixels."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.46
    shortened = text
    while len(shortened) > 3 and cv2.getTextSize(shortened, font, scale, 1)[0][0] > room:
        shortened = shortened.removesuffix("...")[:-1] + "..."
    cv2.putText(canvas, shortened, at, font, scale, INK, 1, cv2.LINE_AA)
