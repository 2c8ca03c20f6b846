"""A human face with the 68 landmarks of the iBUG 300-W scheme, in its order; right and left are the person's own."""

from __future__ import annotations

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, pick, shade
from menagerie.figure import Figure, rotation
from menagerie.kinds.people import SKIN
from menagerie.skeleton import Kind, category

_HALF = {
    "jaw": [(0.04, 0.90, 0.12), (0.06, 0.89, -0.12), (0.10, 0.85, -0.36), (0.17, 0.77, -0.58),
            (0.28, 0.64, -0.78), (0.43, 0.47, -0.94), (0.58, 0.29, -1.05), (0.68, 0.12, -1.10)],
    "brow": [(0.50, 0.70, 0.43), (0.66, 0.58, 0.54), (0.76, 0.44, 0.57), (0.83, 0.29, 0.54), (0.88, 0.15, 0.47)],
    "nostril": [(0.83, 0.17, -0.24), (0.93, 0.085, -0.28)],
    "eye": [(0.58, 0.54, 0.24), (0.72, 0.44, 0.32), (0.76, 0.30, 0.32),
            (0.70, 0.19, 0.23), (0.75, 0.30, 0.18), (0.71, 0.43, 0.18)],
    "lip": [(0.68, 0.34, -0.60), (0.83, 0.21, -0.53), (0.91, 0.08, -0.50), (0.90, 0.09, -0.75), (0.82, 0.21, -0.71)],
    "mouth": [(0.72, 0.28, -0.60), (0.86, 0.10, -0.58), (0.86, 0.10, -0.62)],
}  # fmt: skip
"""Forward, left and up of the left half, outer to inner (eyes: outer corner, over the top, and back below)."""
_EYE = ("outer", "upper_outer", "upper_inner", "inner", "lower_inner", "lower_outer")
_MIDDLE = {
    "chin": (0.72, 0, -1.12),
    "nose_bridge_1": (0.86, 0, 0.30), "nose_bridge_2": (0.96, 0, 0.14), "nose_bridge_3": (1.06, 0, -0.01),
    "nose_tip": (1.15, 0, -0.15),
    "nose_base": (0.98, 0, -0.29),
    "upper_lip": (0.93, 0, -0.52), "lower_lip": (0.92, 0, -0.77),
    "inner_upper_lip": (0.88, 0, -0.585), "inner_lower_lip": (0.88, 0, -0.62),
}  # fmt: skip


def _names() -> tuple[str, ...]:
    """The 68 names in iBUG's order, which runs from the person's right to the left."""
    jaw = [f"right_jaw_{i}" for i in range(1, 9)] + ["chin"] + [f"left_jaw_{i}" for i in range(8, 0, -1)]
    brows = [f"right_brow_{i}" for i in range(1, 6)] + [f"left_brow_{i}" for i in range(5, 0, -1)]
    nose = [*(f"nose_bridge_{i}" for i in (1, 2, 3)), "nose_tip"]
    nose += ["right_nostril_1", "right_nostril_2", "nose_base", "left_nostril_2", "left_nostril_1"]
    right, left = (tuple(f"{side}_eye_{part}" for part in _EYE) for side in ("right", "left"))
    eyes = [*right, left[3], left[2], left[1], left[0], left[5], left[4]]
    outer = [*(f"right_lip_{i}" for i in (1, 2, 3)), "upper_lip", *(f"left_lip_{i}" for i in (3, 2, 1, 5, 4))]
    outer += ["lower_lip", "right_lip_4", "right_lip_5"]
    inner = ["right_mouth_1", "right_mouth_2", "inner_upper_lip", "left_mouth_2", "left_mouth_1", "left_mouth_3"]
    inner += ["inner_lower_lip", "right_mouth_3"]
    return tuple(jaw + brows + nose + eyes + outer + inner)


def _landmarks(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Every landmark of one face with its expression, looking along x."""
    points = {name: np.array(at, float) for name, at in _MIDDLE.items()}
    for part, places in _HALF.items():
        for i, (x, y, z) in enumerate(places):
            tail = _EYE[i] if part == "eye" else str(i + 1)
            points[f"left_{part}_{tail}"] = np.array([x, y, z], float)
            points[f"right_{part}_{tail}"] = np.array([x, -y, z], float)
    gape, smile, raised = max(0.0, rng.normal(0.08, 0.16)), rng.normal(0.02, 0.06), rng.normal(0, 0.06)
    shut = float(np.clip(rng.normal(0.15, 0.25), -0.2, 0.85))
    for name, at in points.items():
        lower = "lower_lip" in name or name.endswith(("lip_4", "lip_5", "mouth_3"))
        if lower or name == "chin" or "jaw_8" in name or "jaw_7" in name:
            at[2] -= gape
        elif "jaw_6" in name or "jaw_5" in name:
            at[2] -= 0.5 * gape
        if name.endswith(("lip_1", "mouth_1")):
            at += np.array([-0.3 * abs(smile), np.sign(at[1]) * smile * 0.6, smile - 0.5 * gape])
        if "brow" in name:
            at[2] += raised
        if "eye_upper" in name:
            at[2] -= shut * 0.12
    stretch = np.array([1, rng.normal(1, 0.05), rng.normal(1, 0.05)])
    return {name: at * stretch for name, at in points.items()}


def face(rng: np.random.Generator) -> Figure:
    figure, at = Figure(), _landmarks(rng)
    skin = Paint(pick(rng, *SKIN), shade(pick(rng, *SKIN), 0.85), pattern="plain", gloss=0.12)
    hair = Paint(
        pick(rng, (40, 28, 22), (120, 76, 36), (206, 170, 100), (120, 116, 112), (30, 26, 30)),
        (20, 16, 14),
        pattern="fur",
        scale=2,
    )
    jaw = at["chin"][2]
    rows = [
        (-0.10, 0.66, 0.86, 1.02),
        (-0.02, 0.84, 0.92, 0.55),
        (0.0, 0.89, 0.86, 0.2),
        (0.06, 0.86, 0.80, -0.2),
        (0.14, 0.77, 0.70, -0.52),
        (0.20, 0.56, 0.58, -0.82),
        (0.30, 0.34, 0.44, jaw + 0.08),
    ]
    figure.tube(
        [(x, 0, z) for x, _, _, z in rows],
        np.array([[wide, deep] for _, wide, deep, _ in rows]),
        skin,
        (0, 1, 0),
        ring=22,
        cap=0.35,
    )
    figure.tube([(-0.2, 0, -0.6), (-0.25, 0, -1.7)], [0.46, 0.5], skin, (0, 1, 0))
    figure.ball((-0.35, 0, 0.3), [0.85, 0.95, 0.9], hair)
    figure.ball((-0.13, 0, 0.85), [0.99, 0.98, rng.uniform(0.58, 0.8)], hair)
    for side in (1.0, -1.0):
        figure.ball((-0.05, side * 0.93, 0.02), [0.16, 0.08, 0.26], skin)
    _nose(figure, at, skin)
    lips = Paint(pick(rng, (176, 84, 84), (150, 70, 66), (196, 110, 104)), pattern="plain", gloss=0.25)
    _mouth(figure, at, lips)
    for side in ("left", "right"):
        _eye(figure, at, side, rng, hair)
    for name, place in at.items():
        figure.mark(name, place, 0.22 if "jaw" in name or name == "chin" else 0.12)
    figure.turn(rotation(0, np.radians(rng.normal(0, 14))))
    return figure


def _nose(figure: Figure, at: dict[str, np.ndarray], skin: Paint) -> None:
    ridge = [at[f"nose_bridge_{i}"] - np.array([0.08, 0, 0]) for i in (1, 2, 3)] + [
        at["nose_tip"] - np.array([0.12, 0, 0])
    ]
    figure.tube(ridge, np.array([[0.09, 0.09], [0.10, 0.10], [0.115, 0.10], [0.14, 0.12]]), skin, (0, 1, 0))
    for side in ("left", "right"):
        wing = at[f"{side}_nostril_1"] * np.array([1, 0.75, 1])
        figure.ball(wing + np.array([0.0, 0, 0.03]), [0.11, 0.075, 0.08], skin)
        figure.ball(
            at[f"{side}_nostril_2"] + np.array([-0.01, 0, 0.0]),
            [0.05, 0.04, 0.025],
            Paint((60, 34, 28), pattern="plain"),
        )


def _mouth(figure: Figure, at: dict[str, np.ndarray], lips: Paint) -> None:
    def line(*names: str) -> np.ndarray:
        return np.stack([at[name] for name in names])

    upper = line("right_lip_1", "right_lip_2", "right_lip_3", "upper_lip", "left_lip_3", "left_lip_2", "left_lip_1")
    lower = line("right_lip_1", "right_lip_5", "right_lip_4", "lower_lip", "left_lip_4", "left_lip_5", "left_lip_1")
    top_in = line("right_mouth_1", "right_mouth_2", "inner_upper_lip", "left_mouth_2", "left_mouth_1")[
        [0, 0, 1, 2, 3, 4, 4]
    ]
    low_in = line("right_mouth_1", "right_mouth_3", "inner_lower_lip", "left_mouth_3", "left_mouth_1")[
        [0, 0, 1, 2, 3, 4, 4]
    ]
    ahead = np.array([0.03, 0, 0])
    figure.sheet(upper + ahead, top_in + ahead, lips, (0.03, 0, 0))
    figure.sheet(lower + ahead, low_in + ahead, lips, (0.03, 0, 0))
    figure.sheet(top_in + 0.4 * ahead, low_in + 0.4 * ahead, Paint((62, 24, 26), pattern="plain"))


def _eye(figure: Figure, at: dict[str, np.ndarray], side: str, rng: np.random.Generator, hair: Paint) -> None:
    corner = {part: at[f"{side}_eye_{part}"] for part in _EYE}
    upper = np.stack([corner[p] for p in ("outer", "upper_outer", "upper_inner", "inner")])
    lower = np.stack([corner[p] for p in ("outer", "lower_outer", "lower_inner", "inner")])
    ahead = np.array([0.06, 0, 0])
    figure.sheet(upper + ahead, lower + ahead, Paint((236, 232, 226), pattern="plain", gloss=0.3))
    gap = float((upper[1:3, 2] - lower[1:3, 2]).mean())
    middle = (upper[1:3] + lower[1:3]).mean(0) / 2 + ahead
    iris = Paint(pick(rng, (70, 50, 34), (70, 110, 140), (80, 104, 64)), pattern="plain", gloss=0.6)
    half = max(0.01, min(0.075, 0.5 * gap))
    figure.ball(middle, [0.02, 0.075, half], iris)
    figure.ball(
        middle + np.array([0.012, 0, 0]),
        [0.015, 0.035, min(0.035, half)],
        Paint((10, 8, 8), pattern="plain", gloss=0.9),
    )
    figure.tube(upper + 1.2 * ahead, 0.018, Paint((44, 30, 26), pattern="plain"), (1, 0, 0), ring=8)
    brow = np.stack([at[f"{side}_brow_{i}"] for i in (1, 2, 3, 4, 5)]) + 0.6 * ahead
    figure.tube(brow, np.array([0.02, 0.034, 0.04, 0.042, 0.036]), hair, (1, 0, 0), ring=8)


NAMES = _names()
_CHAINS = ((0, 16), (17, 21), (22, 26), (27, 30), (31, 35), (36, 41), (42, 47), (48, 59), (60, 67))
_LOOPS = ((41, 36), (47, 42), (59, 48), (67, 60))
_LIMBS = [(i, i + 1) for low, high in _CHAINS for i in range(low, high)] + list(_LOOPS)

FACE = Kind(
    category(
        "face", "human", " ".join(NAMES), " ".join(f"{NAMES[i]}-{NAMES[j]}" for i, j in _LIMBS), sigmas=(0.02,) * 68
    ),
    face,
    View((-20, 25), azimuth=(-55, 55), roll=14),
    ("room", "street", "meadow"),
)
