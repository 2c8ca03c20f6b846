"""People: the whole body with COCO's 17 keypoints, and a hand with 21."""

from __future__ import annotations

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, any_colour, pick, shade
from menagerie.figure import Figure, rotation
from menagerie.skeleton import SIDES, Kind, category

SKIN = ((236, 196, 166), (206, 152, 116), (150, 100, 70), (98, 64, 46))
_COCO_SIGMAS = (0.026, *np.repeat([0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089], 2).tolist())


def person(rng: np.random.Generator) -> Figure:
    """Units are metres; standing, walking, with raised arms, or sitting."""
    figure = Figure()
    skin = Paint(pick(rng, *SKIN), pattern="plain", gloss=0.12)
    cloth = str(rng.choice(["plain", "bars", "plaid", "dots"]))
    shirt = Paint(any_colour(rng), any_colour(rng), pattern=cloth, scale=1.5)
    trousers = Paint(any_colour(rng, (0.1, 0.6)), pattern="fur", scale=2)
    shoe = Paint(any_colour(rng, (0.0, 0.5)), pattern="plain")
    manner = str(rng.choice(["stand", "walk", "reach", "sit"]))
    lean = rotation(0, np.radians(rng.normal(-4, 6)), np.radians(rng.normal(0, 4)))
    twist = lean @ rotation(np.radians(rng.normal(0, 10)))
    chest = lean @ np.array([0, 0, 0.40])
    trunk = [
        np.array([0, 0, -0.04]),
        lean @ np.array([0, 0, 0.14]),
        lean @ np.array([0.02, 0, 0.32]),
        lean @ np.array([0, 0, 0.47]),
    ]
    figure.tube(
        trunk, np.array([[0.155, 0.115], [0.135, 0.10], [0.175, 0.12], [0.125, 0.085]]), shirt, (0, 1, 0), ring=16
    )
    _person_head(figure, rng, lean @ np.array([0, 0, 0.5]), twist, skin)
    swing = rng.uniform(15, 40) * (1 if rng.random() < 0.5 else -1) if manner == "walk" else rng.normal(0, 5)
    for side, word in SIDES:
        shoulder = chest + twist @ np.array([0, side * 0.19, 0.03])
        if manner == "reach" and rng.random() < 0.7:
            lift, out, flex = rng.uniform(60, 170), rng.uniform(5, 60), rng.uniform(0, 70)
        else:
            lift, out, flex = -side * swing + rng.normal(5, 8), rng.uniform(6, 25), rng.uniform(8, 60)
        elbow = shoulder + twist @ _hang(lift, side * out) * 0.29
        wrist = elbow + twist @ _hang(lift + flex, side * out * 0.3) * 0.26
        _limb(figure, shoulder, elbow, wrist, (0.062, 0.048, 0.036), shirt, skin)
        figure.ball(wrist + (wrist - elbow) * 0.25, 0.05, skin)
        hip = np.array([0, side * 0.1, -0.04])
        if manner == "sit":
            thigh, shank = 82 + rng.normal(0, 5), rng.normal(0, 8)
        else:
            thigh = side * swing + rng.normal(2, 3)
            shank = thigh - (max(0.0, -side * swing) * 0.9 + 4)
        knee = hip + _hang(thigh, side * rng.uniform(1, 8)) * 0.43
        ankle = knee + _hang(shank, side * 1.0) * 0.42
        _limb(figure, hip, knee, ankle, (0.095, 0.066, 0.048), trousers, trousers)
        figure.tube(
            [ankle - np.array([0.03, 0, 0.04]), ankle + np.array([0.16, 0, -0.055])], [0.055, 0.045], shoe, (0, 1, 0)
        )
        for name, at, reach in (
            ("shoulder", shoulder, 0.10),
            ("elbow", elbow, 0.08),
            ("wrist", wrist, 0.07),
            ("hip", hip, 0.16),
            ("knee", knee, 0.10),
            ("ankle", ankle, 0.09),
        ):
            figure.mark(f"{word}_{name}", at, reach)
    figure.stand()
    return figure


def _hang(forward: float, out: float) -> np.ndarray:
    """Direction of a hanging limb swung forward and out to the left; degrees."""
    forward, out = np.radians(forward), np.radians(out)
    return np.array([np.sin(forward) * np.cos(out), np.sin(out), -np.cos(forward) * np.cos(out)])


def _limb(
    figure: Figure,
    root: np.ndarray,
    joint: np.ndarray,
    end: np.ndarray,
    radii: tuple[float, float, float],
    upper: Paint,
    lower: Paint,
) -> None:
    figure.tube([root, (root + joint) / 2, joint], np.array([radii[0], 0.95 * radii[0], radii[1]]), upper)
    figure.tube([joint, joint + 0.3 * (end - joint), end], np.array([radii[1], 1.08 * radii[1], radii[2]]), lower)


def _person_head(figure: Figure, rng: np.random.Generator, neck: np.ndarray, body: np.ndarray, skin: Paint) -> None:
    turn = body @ rotation(np.radians(rng.normal(0, 22)), np.radians(rng.normal(0, 12)))
    centre = neck + body[:, 2] * 0.17
    figure.rod(neck - body[:, 2] * 0.05, centre, 0.055, skin)
    figure.ball(centre, [0.105, 0.085, 0.13], skin, turn.T)
    hair = Paint(pick(rng, (40, 28, 22), (120, 76, 36), (206, 170, 100), (120, 116, 112)), pattern="fur", scale=4)
    figure.ball(centre + turn @ np.array([-0.028, 0, 0.032]), [0.105, 0.096, 0.125], hair, turn.T)
    nose = centre + turn @ np.array([0.122, 0, -0.012])
    figure.ball(nose - turn[:, 0] * 0.012, [0.022, 0.016, 0.026], skin, turn.T)
    figure.mark("nose", nose, 0.05)
    figure.ball(
        centre + turn @ np.array([0.098, 0, -0.06]), [0.012, 0.03, 0.01], Paint((160, 70, 70), pattern="plain"), turn.T
    )
    for side, word in SIDES:
        eye = centre + turn @ np.array([0.095, side * 0.036, 0.018])
        figure.ball(eye, 0.015, Paint((30, 24, 20), pattern="plain", gloss=0.8))
        figure.mark(f"{word}_eye", eye, 0.04)
        ear = centre + turn @ np.array([0.0, side * 0.094, -0.005])
        figure.ball(ear, [0.024, 0.012, 0.034], skin, turn.T)
        figure.mark(f"{word}_ear", ear, 0.035)


FINGERS = ("thumb", "index", "middle", "ring", "little")


def hand(rng: np.random.Generator) -> Figure:
    """A left or a right hand: fingers along x, the palm towards z."""
    figure = Figure()
    skin = Paint(pick(rng, *SKIN), shade(pick(rng, *SKIN), 0.8), belly=None, pattern="plain", gloss=0.15)
    nail = Paint((232, 190, 180), pattern="plain", gloss=0.5)
    handed = 1.0 if rng.random() < 0.5 else -1.0
    wrist = np.array([-0.05, 0, 0])
    figure.tube(
        [(-0.75, 0, 0), (-0.35, 0, 0), (-0.05, 0, 0)],
        np.array([[0.22, 0.18], [0.21, 0.16], [0.23, 0.15]]),
        Paint(any_colour(rng), any_colour(rng), pattern="plaid") if rng.random() < 0.4 else skin,
        (0, 1, 0),
    )
    figure.tube(
        [(0.0, 0, 0), (0.3, 0.02 * handed, 0), (0.65, 0.0, 0), (0.85, 0, 0)],
        np.array([[0.25, 0.15], [0.36, 0.16], [0.42, 0.14], [0.36, 0.11]]),
        skin,
        (0, 1, 0),
        ring=16,
    )
    figure.mark("wrist", wrist, 0.25)
    closed = rng.uniform(-5, 60)
    spread = rng.uniform(0.3, 1.3)
    lengths = {
        "index": (0.42, 0.27, 0.22),
        "middle": (0.47, 0.31, 0.23),
        "ring": (0.43, 0.28, 0.22),
        "little": (0.33, 0.21, 0.19),
    }
    for i, (finger, bones) in enumerate(lengths.items()):
        across = handed * (0.30 - 0.2 * i)
        flex = closed + rng.normal(0, 10) if rng.random() < 0.65 else rng.uniform(-8, 85)
        sideways = handed * spread * np.radians(9 - 7 * i)
        _finger(
            figure,
            finger,
            np.array([0.86 - 0.025 * abs(i - 1.2) ** 2, across, 0.0]),
            sideways,
            np.radians([flex, flex * 1.1, flex * 0.7]),
            bones,
            0.098 - 0.006 * i,
            skin,
            nail,
        )
    base = np.array([0.18, handed * 0.26, 0.06])
    out, bend = handed * np.radians(rng.uniform(25, 60)), np.radians(rng.uniform(0, 40))
    _finger(
        figure,
        "thumb",
        base,
        out,
        np.array([bend + 0.15, 0.4 * bend, 0.5 * bend]),
        (0.38, 0.30, 0.24),
        0.125,
        skin,
        nail,
    )
    figure.turn(rotation(0, rng.uniform(0, 2 * np.pi)) @ rotation(0, 0, np.radians(rng.normal(0, 25))))
    return figure


def _finger(
    figure: Figure,
    name: str,
    root: np.ndarray,
    sideways: float,
    flex: np.ndarray,
    bones: tuple[float, ...],
    thick: float,
    skin: Paint,
    nail: Paint,
) -> None:
    """Three bones that curl towards the palm; marks the four joints from root to tip."""
    joints = [root]
    for angle, bone in zip(np.cumsum(flex), bones, strict=True):
        joints.append(joints[-1] + rotation(sideways, angle)[:, 0] * bone)
    last = rotation(sideways, float(np.sum(flex)))
    side = last[:, 1]
    start = root - rotation(sideways)[:, 0] * 0.12
    figure.tube([start, *joints], np.array([1.0, 1.08, 1.0, 0.93, 0.72]) * thick, skin, side, ring=12)
    figure.ball(joints[3] - last[:, 2] * 0.55 * thick, np.array([0.75, 0.5, 0.35]) * thick, nail, last.T)
    for i, joint in enumerate(joints):
        figure.mark(f"{name}_{i + 1}", joint, (1.6 if i else 2.4) * thick)


PEOPLE = (
    Kind(
        category(
            "person",
            "human",
            "nose *eye *ear *shoulder *elbow *wrist *hip *knee *ankle",
            "*ankle-*knee-*hip left_hip-right_hip *hip-*shoulder left_shoulder-right_shoulder *shoulder-*elbow-*wrist "
            "left_eye-right_eye nose-*eye-*ear-*shoulder",
            sigmas=_COCO_SIGMAS,
        ),
        person,
        View((-6, 30)),
        ("street", "room", "meadow", "snow"),
    ),
    Kind(
        category(
            "hand",
            "human",
            "wrist " + " ".join(f"{finger}_{i}" for finger in FINGERS for i in (1, 2, 3, 4)),
            " ".join(f"wrist-{finger}_1-{finger}_2-{finger}_3-{finger}_4" for finger in FINGERS),
        ),
        hand,
        View((-60, 60), roll=40),
        ("room", "table", "street"),
    ),
)
