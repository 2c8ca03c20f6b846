"""What four-legged animals carry on head and neck: ears, horns, antlers, manes, a trunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from menagerie.coats import Paint, tinted
from menagerie.figure import Figure
from menagerie.kinds.anatomy import Frame, Species

BONE = Paint((214, 204, 180), gloss=0.25)
DARK_HORN = Paint((72, 62, 54), gloss=0.25)
ANTLER = Paint((136, 104, 70), gloss=0.1)


def ears(figure: Figure, species: Species, head: Frame, side: int) -> None:
    """One ear, flat and turned forward; the inner side shows a lighter patch."""
    size, skull = species.ear_size, species.skull
    root = head.point(0.02 * species.head, side * 0.62 * skull, (0.3 if species.ear == "fan" else 0.72) * skull)
    shapes = {
        "pointed": ((0.0, 0.35, 1.0), (0.36, 0.34, 0.05)),
        "round": ((0.05, 0.35, 0.62), (0.34, 0.50, 0.42)),
        "leaf": ((-0.1, 0.75, 0.75), (0.22, 0.36, 0.08)),
        "long": ((-0.2, 0.2, 1.0), (0.16, 0.24, 0.10)),
        "floppy": ((0.15, 0.5, -0.65), (0.30, 0.36, 0.26)),
        "fan": ((-0.45, 0.95, -0.25), (0.42, 0.62, 0.40)),
    }
    (forward, out, up), (low, middle, top) = shapes[species.ear]
    direction = np.array([forward, side * out, up]) * size
    path = [root + head.axes @ (direction * share) for share in (0.0, 0.5, 1.0)]
    wide = np.array([low, middle, top]) * size
    flat = np.maximum(0.12 * wide, 0.006)
    across = head.axes @ np.array([0.35, side * 1.0, 0.3 if species.ear in ("fan", "floppy", "leaf") else 0.0])
    if species.ear == "fan":
        across = head.axes @ np.array([-0.3, 0.0, 1.0])
    paint = replace(species.coat, base=species.ear_colour or species.coat.base, belly=None, pattern="fur", tip_from=0.8)
    figure.tube(path, np.stack([wide, flat], 1), paint, across, steps=3, cap=0.4)


def horns(figure: Figure, species: Species, head: Frame) -> None:
    """Antlers, horns or ossicones, in pairs; a rhinoceros has two in a row."""
    skull, along = species.skull, species.head
    if species.gear == "rhino":
        for at, high in ((0.86, 0.22), (0.62, 0.12)):
            base = head.point(at * along, 0, 0.25 * skull)
            tip = base + head.axes @ np.array([-0.03, 0, high])
            figure.tube(
                [base, (base + tip) / 2 + head.axes[:, 0] * 0.02, tip], [0.06, 0.042, 0.008], DARK_HORN, head.axes[:, 1]
            )
        return
    curves = {
        "cattle": ([(0, 0.3, 0.6), (0, 1.1, 0.9), (0.15, 1.5, 1.7)], 0.035, BONE),
        "lyre": ([(0, 0.35, 0.9), (-0.5, 0.7, 2.2), (-0.3, 0.5, 3.6)], 0.024, DARK_HORN),
        "ossicones": (
            [(0, 0.35, 0.8), (-0.15, 0.42, 1.5), (-0.2, 0.45, 1.9)],
            0.026,
            replace(species.coat, tip=(40, 32, 30), pattern="fur"),
        ),
        "antlers": ([(0, 0.4, 0.8), (-0.5, 1.3, 1.9), (0.1, 1.7, 3.4)], 0.024, ANTLER),
        "palms": ([(0, 0.5, 0.7), (0, 1.9, 1.0), (0.2, 3.0, 2.3)], 0.030, ANTLER),
    }
    if species.gear not in curves:
        return
    curve, thick, paint = curves[species.gear]
    for side in (1, -1):
        path = np.array([head.point(x * skull + 0.06 * along, side * y * skull, z * skull) for x, y, z in curve])
        figure.tube(path, np.array([1.0, 0.8, 0.35]) * thick, paint, head.axes[:, 0], ring=8)
        if species.gear == "antlers":
            for share, reach in ((0.3, 1.0), (0.62, 1.1), (0.85, 0.8)):
                _tine(figure, path, share, head.axes @ (np.array([0.8, side * 0.35, 0.75]) * reach * skull), thick)
        if species.gear == "palms":
            spread = path[1:] + head.axes @ np.array([0.0, 0.0, 0.9 * skull])
            figure.sheet(path[1:], spread, ANTLER, head.axes[:, 0] * -0.02)
            for share in (0.55, 0.75, 0.95):
                _tine(figure, path, share, head.axes @ (np.array([0.3, side * 0.5, 1.9]) * skull), thick)


def _tine(figure: Figure, path: np.ndarray, share: float, arm: np.ndarray, thick: float) -> None:
    at = path[0] + (path[1] - path[0]) * share * 2 if share < 0.5 else path[1] + (path[2] - path[1]) * (share * 2 - 1)
    figure.tube([at, at + arm], [0.7 * thick, 0.25 * thick], ANTLER, np.cross(arm, [0.1, 0.3, 0.9]), ring=8, steps=2)


def trunk_and_tusks(figure: Figure, species: Species, head: Frame) -> None:
    """An elephant's."""
    if species.gear != "tusks":
        return
    ahead = head.axes[:, 0] * np.array([1.0, 1.0, 0.0])
    ahead, up = ahead / np.linalg.norm(ahead), np.array([0.0, 0.0, 1.0])
    floor = figure.vertices()[:, 2].min() + 0.06
    path = [head.point(0.72 * species.head, 0, -0.05 * species.skull)]
    for forward, rise in ((0.75, -0.5), (0.3, -1.0), (0.05, -1.0), (0.3, -0.8)):
        path.append(path[-1] + (forward * ahead + rise * up) * 0.25)
        path[-1][2] = max(path[-1][2], floor)
    figure.tube(path, np.array([0.13, 0.115, 0.085, 0.065, 0.05]), replace(species.coat, belly=None), head.axes[:, 1])
    for side in (1, -1):
        root = head.point(0.66 * species.head, side * 0.11, -0.5 * species.skull)
        out = side * 0.04 * head.axes[:, 1]
        figure.tube(
            [root, root + 0.13 * ahead - 0.12 * up + out, root + 0.34 * ahead - 0.10 * up + out],
            [0.034, 0.03, 0.008],
            BONE,
            head.axes[:, 1],
            ring=8,
        )


def manes(figure: Figure, species: Species, rng: np.random.Generator, head: Frame, chest: Frame) -> None:
    """A lion's collar of tufts, or the crest along the neck of horses."""
    paint = Paint(tinted(rng, species.mane_colour), (30, 20, 14), gloss=0.02)
    if species.mane == "lion":
        middle = 0.5 * (head.at + chest.at)
        figure.ball(middle, [0.26, 0.25, 0.34], paint, head.axes.T)
        figure.ball(head.point(-0.02), [0.15, 0.24, 0.26], paint, head.axes.T)
        for angle in np.linspace(0, 2 * np.pi, 11)[:-1]:
            out = head.axes @ np.array([-0.5, np.cos(angle), np.sin(angle)])
            root = head.point(0.02) + 0.13 * out
            figure.tube(
                [root, root + 0.13 * out, root + 0.2 * out - np.array([0, 0, 0.05])],
                [0.08, 0.07, 0.01],
                paint,
                head.axes[:, 0],
                ring=8,
                steps=2,
            )
    elif species.mane == "crest":
        root = chest.point(up=0.25 * species.chest)
        along = head.at - root
        up = np.cross(along, head.axes[:, 1])
        up = up / np.linalg.norm(up)
        low, top = root - 0.1 * along + 0.95 * species.neck_base * up, head.at + 0.9 * species.neck_top * up
        tall = species.neck_top * np.array([0.15, 0.5, 0.6, 0.55, 0.4])
        path = low + (top - low) * np.linspace(0, 1, 5)[:, None] + up * 0.2 * tall[:, None]
        path[-1] = head.point(0.12 * species.head, 0, 0.95 * species.skull)
        figure.tube(path, np.stack([0.25 * tall + 0.012, tall], 1), paint, head.axes[:, 1])
