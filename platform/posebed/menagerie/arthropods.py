"""Insects and their kin: beetle, butterfly, dragonfly, spider, scorpion and crab."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from posebed.menagerie.camera import View
from posebed.menagerie.coats import Paint, pick
from posebed.menagerie.figure import Figure, rotation
from posebed.menagerie.skeleton import SIDES, Kind, category

EYE = Paint((18, 14, 12), pattern="plain", gloss=0.9)


def _leg(figure: Figure, joint: np.ndarray, heading: float, reach: float, paint: Paint, thick: float, name: str, rise: float = 0.45) -> None:
    """A leg that goes up and out to its knee, then down to its foot; both are marked."""
    out = rotation(heading)[:, 0]
    knee = joint + reach * (0.48 * out + np.array([0, 0, rise]))
    shin = joint + reach * (0.85 * out + np.array([0, 0, 0.1 * rise]))
    foot = joint + reach * out
    foot[2] = 0.0
    figure.rod(joint, knee, thick, paint, 0.85 * thick)
    figure.rod(knee, shin, 0.8 * thick, paint, 0.6 * thick)
    figure.rod(shin, foot, 0.55 * thick, paint, 0.35 * thick)
    figure.mark(f"{name}_knee", knee, 2.5 * thick)
    figure.mark(f"{name}_foot", foot, 2.5 * thick)


def _eyes(figure: Figure, at: np.ndarray, radius: float, paint: Paint = EYE) -> None:
    for side, word in SIDES:
        spot = at * np.array([1, side, 1])
        figure.ball(spot, radius, paint)
        figure.mark(f"{word}_eye", spot, 2 * radius)


def beetle(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (176, 40, 30), (40, 84, 58), (52, 44, 40), (120, 72, 34), (40, 60, 110))
    shell = Paint(coat, (22, 20, 20), pattern=str(rng.choice(["dots", "plain", "bars"])), scale=0.9, gloss=0.6)
    black = Paint((44, 38, 36), pattern="plain", gloss=0.5)
    figure.ball((-0.22, 0, 0.24), [0.50, 0.34, 0.20], black)
    for side, _ in SIDES:
        figure.ball((-0.24, side * 0.165, 0.28), [0.50, 0.185, 0.19], shell)
    figure.ball((0.34, 0, 0.25), [0.17, 0.26, 0.15], replace(shell, pattern="plain"))
    figure.ball((0.54, 0, 0.23), [0.13, 0.16, 0.11], black)
    figure.mark("head", (0.60, 0, 0.31), 0.1)
    figure.mark("thorax", (0.34, 0, 0.40), 0.12)
    figure.mark("abdomen_tip", (-0.74, 0, 0.26), 0.12)
    _eyes(figure, np.array([0.58, 0.13, 0.28]), 0.042)
    for side, word in SIDES:
        sweep = rng.uniform(0.3, 0.9)
        tip = np.array([0.64 + 0.42 * np.cos(sweep), side * (0.07 + 0.42 * np.sin(sweep)), 0.32])
        figure.tube([(0.64, side * 0.07, 0.26), (0.74, side * 0.16, 0.34), tip], [0.024, 0.02, 0.026], black)
        figure.mark(f"{word}_antenna_tip", tip, 0.06)
        for i, (x, heading) in enumerate(((0.36, 0.75), (0.12, 1.55), (-0.12, 2.3))):
            _leg(figure, np.array([x, side * 0.2, 0.16]), side * (heading + rng.normal(0, 0.2)), 0.56, black, 0.036, f"{word}_leg_{i + 1}", 0.28)
    figure.stand()
    return figure


def butterfly(rng: np.random.Generator) -> Figure:
    figure = Figure()
    colour = pick(rng, (226, 130, 40), (60, 120, 200), (236, 214, 90), (196, 70, 60), (120, 170, 110))
    wing = Paint(colour, (30, 24, 24), tip=(34, 28, 30), tip_from=0.86, pattern=str(rng.choice(["dots", "stripes", "mottled", "rosettes"])), scale=0.8)
    hind = replace(wing, base=pick(rng, colour, (230, 200, 150)), tip=None)
    dark = Paint((48, 40, 36))
    figure.tube([(-0.5, 0, 0), (-0.2, 0, 0.01), (0.0, 0, 0.02)], [0.035, 0.06, 0.055], dark)
    figure.ball((0.08, 0, 0.02), [0.14, 0.085, 0.085], dark)
    figure.ball((0.25, 0, 0.03), 0.06, dark)
    figure.mark("head", (0.28, 0, 0.05), 0.08)
    figure.mark("thorax", (0.08, 0, 0.06), 0.12)
    figure.mark("abdomen_tip", (-0.52, 0, 0), 0.08)
    lift = np.radians(rng.uniform(-12, 62))
    for side, word in SIDES:
        tilt = lift + np.radians(rng.normal(0, 4))

        def at(x: float, out: float, side: float = side, tilt: float = tilt) -> np.ndarray:
            return np.array([x, side * (0.05 + out * np.cos(tilt)), 0.05 + out * np.sin(tilt)])

        front = [at(0.14, 0), at(0.42, 0.35), at(0.62, 0.72), at(0.60, 0.90)]
        figure.sheet(front, [at(0.0, 0), at(0.0, 0.35), at(0.05, 0.62), at(0.16, 0.80)], wing, (0, 0, 0.02))
        rear = [at(0.02, 0), at(0.0, 0.3), at(-0.1, 0.60), at(-0.28, 0.66)]
        figure.sheet(rear, [at(-0.08, 0), at(-0.3, 0.14), at(-0.52, 0.32), at(-0.56, 0.42)], hind, (0, 0, -0.02))
        figure.mark(f"{word}_forewing_tip", at(0.61, 0.88), 0.08)
        figure.mark(f"{word}_forewing_corner", at(0.14, 0.80), 0.08)
        figure.mark(f"{word}_hindwing_side", at(-0.14, 0.62), 0.08)
        figure.mark(f"{word}_hindwing_tip", at(-0.54, 0.38), 0.08)
        tip = np.array([0.58, side * 0.2, 0.16])
        figure.tube([(0.28, side * 0.03, 0.06), (0.44, side * 0.09, 0.13), tip], [0.012, 0.01, 0.02], dark, ring=8)
        figure.mark(f"{word}_antenna_tip", tip, 0.05)
    figure.turn(rotation(0, np.radians(rng.normal(5, 12)), np.radians(rng.normal(0, 10))))
    figure.stand()
    return figure


def dragonfly(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = Paint(pick(rng, (60, 130, 170), (170, 60, 50), (90, 140, 60), (190, 150, 50)), (28, 26, 28), pattern="bars", scale=0.6, gloss=0.4)
    glass = Paint(pick(rng, (214, 222, 226), (226, 208, 170)), (120, 112, 104), tip=(90, 70, 56), tip_from=0.9, pattern="cells", scale=2.2, gloss=0.5)
    droop, sway = rng.normal(0, 0.15), rng.normal(0, 0.12)
    abdomen = [np.array([-x, sway * x * x, -droop * x * x]) for x in (0.0, 0.35, 0.7, 1.05)]
    figure.tube(abdomen[::-1], np.array([0.05, 0.042, 0.048, 0.08]), coat)
    figure.ball((0.1, 0, 0.01), [0.19, 0.12, 0.13], replace(coat, pattern="plain"))
    figure.ball((0.32, 0, 0.02), [0.08, 0.10, 0.09], coat)
    figure.mark("thorax", (0.1, 0, 0.13), 0.1)
    for i, name in ((1, "abdomen_front"), (2, "abdomen_rear"), (3, "abdomen_tip")):
        figure.mark(name, abdomen[i], 0.1)
    _eyes(figure, np.array([0.37, 0.085, 0.05]), 0.082, Paint((96, 60, 40), pattern="plain", gloss=0.9))
    for side, word in SIDES:
        for name, x, sweep, chord in (("front", 0.16, 0.22, 0.17), ("rear", 0.0, -0.22, 0.23)):
            sweep, lift = sweep + rng.normal(0, 0.08), rng.normal(0.1, 0.16)
            out = np.array([np.sin(sweep), side * np.cos(sweep), np.sin(lift)])
            edge = [np.array([x, side * 0.06, 0.1]) + out * reach for reach in (0, 0.3, 0.65, 0.98)]
            behind = [e - np.array([c, 0, 0]) for e, c in zip(edge, (0.6 * chord, chord, chord, 0.35 * chord), strict=True)]
            figure.sheet(edge, behind, glass)
            figure.mark(f"{word}_{name}_wing_middle", (edge[1] + edge[2]) / 2 - np.array([0.5 * chord, 0, 0]), 0.09)
            figure.mark(f"{word}_{name}_wing_tip", edge[3] - np.array([0.15 * chord, 0, 0]), 0.07)
    figure.turn(rotation(0, np.radians(rng.normal(0, 14)), np.radians(rng.normal(0, 10))))
    figure.stand()
    return figure


def spider(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (110, 80, 54), (60, 52, 48), (176, 130, 70), (140, 60, 44))
    skin = Paint(coat, (34, 26, 22), pattern=str(rng.choice(["mottled", "bands", "rosettes"])), scale=1.0, gloss=0.25)
    legs = Paint(tuple(0.85 * c for c in coat), (34, 28, 24), pattern="bands", scale=0.7)
    figure.ball((0.16, 0, 0.28), [0.22, 0.18, 0.13], skin)
    figure.ball((-0.30, 0, 0.33), [0.33, 0.25, 0.23], skin)
    figure.mark("head", (0.36, 0, 0.30), 0.09)
    figure.mark("body", (0.1, 0, 0.41), 0.09)
    figure.mark("abdomen_tip", (-0.63, 0, 0.33), 0.12)
    _eyes(figure, np.array([0.35, 0.06, 0.34]), 0.035)
    for side, word in SIDES:
        figure.rod((0.34, side * 0.06, 0.24), (0.44, side * 0.06, 0.12), 0.04, skin, 0.02)
        for i, heading in enumerate((0.45, 1.15, 1.9, 2.6)):
            joint = np.array([0.28 - 0.09 * i, side * 0.13, 0.27])
            _leg(figure, joint, side * (heading + rng.normal(0, 0.12)), rng.uniform(0.8, 1.0), legs, 0.036, f"{word}_leg_{i + 1}", 0.42)
    figure.stand()
    return figure


def scorpion(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (150, 110, 56), (62, 50, 44), (190, 150, 80), (96, 50, 36))
    skin = Paint(coat, tuple(0.55 * c for c in coat), pattern="bars", scale=0.8, gloss=0.4)
    figure.tube([(-0.42, 0, 0.17), (-0.15, 0, 0.19), (0.2, 0, 0.18), (0.36, 0, 0.17)], np.array([[0.10, 0.08], [0.19, 0.11], [0.18, 0.11], [0.13, 0.08]]), skin, (0, 1, 0))
    _eyes(figure, np.array([0.36, 0.055, 0.25]), 0.03)
    figure.mark("head", (0.46, 0, 0.19), 0.09)
    lift, sway, tail = 0.35, rng.normal(0, 0.16), [np.array([-0.42, 0, 0.18])]
    for _ in range(5):
        tail.append(tail[-1] + np.array([-np.cos(lift) * 0.22, sway * 0.22, np.sin(lift) * 0.22]))
        lift += rng.uniform(0.4, 0.58)
    figure.tube(tail, np.array([0.085, 0.075, 0.07, 0.065, 0.06, 0.07]), skin)
    sting = tail[5] + np.array([0.17, 0, -0.08])
    figure.tube([tail[5], tail[5] + np.array([0.1, 0, 0.02]), sting], [0.07, 0.045, 0.008], Paint((60, 30, 20), gloss=0.4))
    for i, name in ((0, "tail_base"), (2, "tail_middle"), (4, "tail_top")):
        figure.mark(name, tail[i], 0.1)
    figure.mark("sting_tip", sting, 0.05)
    for side, word in SIDES:
        bend = rng.normal(0.5, 0.2)
        elbow = np.array([0.42 + 0.1 * np.cos(bend), side * 0.42, 0.24])
        wrist = elbow + np.array([0.28, side * rng.normal(0.0, 0.08), 0.0])
        figure.tube([(0.32, side * 0.1, 0.18), elbow, wrist], [0.045, 0.05, 0.045], skin)
        _pincer(figure, wrist, rotation(-side * 0.25), 0.32, skin)
        figure.mark(f"{word}_claw_elbow", elbow, 0.09)
        figure.mark(f"{word}_claw_tip", wrist + rotation(-side * 0.25)[:, 0] * 0.34, 0.09)
        for i, heading in enumerate((0.9, 1.3, 1.8, 2.3)):
            joint = np.array([0.22 - 0.11 * i, side * 0.14, 0.15])
            _leg(figure, joint, side * (heading + rng.normal(0, 0.08)), 0.5, skin, 0.03, f"{word}_leg_{i + 1}", 0.25)
    figure.stand()
    return figure


def _pincer(figure: Figure, wrist: np.ndarray, axes: np.ndarray, size: float, paint: Paint) -> None:
    """A claw of a palm and two fingers that almost meet at ``size`` from the wrist."""
    figure.ball(wrist + axes[:, 0] * 0.32 * size, np.array([0.36, 0.26, 0.2]) * size, paint, axes.T)
    for bend in (0.24, -0.24):
        middle = wrist + axes @ np.array([0.72, bend, 0]) * size
        tip = wrist + axes @ np.array([1.05, 0.15 * bend, 0]) * size
        figure.tube([wrist + axes @ np.array([0.45, 0.6 * bend, 0]) * size, middle, tip], np.array([0.13, 0.11, 0.03]) * size, paint, axes[:, 2], ring=8)


def crab(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (196, 84, 46), (120, 60, 50), (96, 110, 110), (180, 130, 80))
    shell = Paint(coat, tuple(0.6 * c for c in coat), belly=(232, 214, 186), pattern="mottled", scale=1.2, gloss=0.35)
    figure.ball((0, 0, 0.3), [0.34, 0.48, 0.17], shell)
    for side, word in SIDES:
        stalk = np.array([0.36, side * 0.13, 0.48])
        figure.rod((0.28, side * 0.11, 0.36), stalk, 0.03, shell)
        figure.ball(stalk, 0.05, EYE)
        figure.mark(f"{word}_eye", stalk, 0.08)
        figure.mark(f"{word}_shell_corner", (0.06, side * 0.47, 0.32), 0.12)
        lift, close = rng.normal(0.05, 0.12), rng.uniform(0.2, 1.0)
        elbow = np.array([0.36, side * 0.62, 0.32 + 0.5 * lift])
        wrist = elbow + rotation(side * (0.2 - close), lift)[:, 0] * 0.2
        axes = rotation(-side * (close - 0.1), lift)
        figure.tube([(0.2, side * 0.34, 0.28), elbow, wrist], [0.08, 0.095, 0.07], replace(shell, belly=None))
        _pincer(figure, wrist, axes, rng.uniform(0.36, 0.52), replace(shell, belly=None))
        figure.mark(f"{word}_claw_elbow", elbow, 0.14)
        figure.mark(f"{word}_claw_tip", wrist + axes[:, 0] * 0.42, 0.14)
        for i, heading in enumerate((1.25, 1.65, 2.1)):
            joint = np.array([0.06 - 0.12 * i, side * 0.38, 0.24])
            _leg(figure, joint, side * (heading + rng.normal(0, 0.1)), 0.62, replace(shell, belly=None), 0.05, f"{word}_leg_{i + 1}", 0.32)
    figure.mark("mouth", (0.35, 0, 0.27), 0.08)
    figure.mark("shell_rear", (-0.34, 0, 0.3), 0.12)
    figure.stand()
    return figure


def _legs(count: int, root: str) -> tuple[str, str]:
    """Names and limbs of the walking legs."""
    legs = [f"{word}_leg_{i + 1}" for _, word in SIDES for i in range(count)]
    return " ".join(f"{leg}_knee {leg}_foot" for leg in legs), " ".join(f"{root}-{leg}_knee {leg}_knee-{leg}_foot" for leg in legs)


_WINGS = [f"{word}_{name}_wing" for _, word in SIDES for name in ("front", "rear")]
_TOP = View((20, 85))

ARTHROPODS = (
    Kind(
        category("beetle", "arthropod", "left_antenna_tip right_antenna_tip left_eye right_eye head thorax abdomen_tip " + _legs(3, "")[0],
                 "head-left_antenna_tip head-right_antenna_tip head-left_eye head-right_eye head-thorax thorax-abdomen_tip " + _legs(3, "thorax")[1]),
        beetle, _TOP, ("leaf", "soil"),
    ),
    Kind(
        category("butterfly", "arthropod", "head thorax abdomen_tip " + " ".join(f"{w}_{p}" for _, w in SIDES for p in ("antenna_tip", "forewing_tip", "forewing_corner", "hindwing_side", "hindwing_tip")),
                 "head-thorax thorax-abdomen_tip " + " ".join(f"head-{w}_antenna_tip thorax-{w}_forewing_tip {w}_forewing_tip-{w}_forewing_corner thorax-{w}_hindwing_side {w}_hindwing_side-{w}_hindwing_tip" for _, w in SIDES)),
        butterfly, View((25, 88), roll=20), ("leaf", "meadow", "soil"),
    ),
    Kind(
        category("dragonfly", "arthropod", "left_eye right_eye thorax abdomen_front abdomen_rear abdomen_tip " + " ".join(f"{w}_middle {w}_tip" for w in _WINGS),
                 "left_eye-thorax right_eye-thorax thorax-abdomen_front abdomen_front-abdomen_rear abdomen_rear-abdomen_tip " + " ".join(f"thorax-{w}_middle {w}_middle-{w}_tip" for w in _WINGS)),
        dragonfly, View((20, 88), roll=20), ("leaf", "meadow", "water"),
    ),
    Kind(
        category("spider", "arthropod", "left_eye right_eye head body abdomen_tip " + _legs(4, "")[0],
                 "left_eye-head right_eye-head head-body body-abdomen_tip " + _legs(4, "body")[1]),
        spider, _TOP, ("leaf", "soil", "room"),
    ),
    Kind(
        category("scorpion", "arthropod", "left_eye right_eye head tail_base tail_middle tail_top sting_tip left_claw_elbow left_claw_tip right_claw_elbow right_claw_tip " + _legs(4, "")[0],
                 "left_eye-head right_eye-head head-tail_base tail_base-tail_middle tail_middle-tail_top tail_top-sting_tip head-left_claw_elbow left_claw_elbow-left_claw_tip head-right_claw_elbow right_claw_elbow-right_claw_tip " + _legs(4, "head")[1]),
        scorpion, View((15, 75)), ("soil", "rock"),
    ),
    Kind(
        category("crab", "arthropod", "left_eye right_eye mouth shell_rear left_shell_corner right_shell_corner left_claw_elbow left_claw_tip right_claw_elbow right_claw_tip " + _legs(3, "")[0],
                 "left_eye-mouth right_eye-mouth mouth-left_shell_corner mouth-right_shell_corner left_shell_corner-shell_rear right_shell_corner-shell_rear left_shell_corner-left_claw_elbow left_claw_elbow-left_claw_tip right_shell_corner-right_claw_elbow right_claw_elbow-right_claw_tip " + _legs(3, "shell_rear")[1]),
        crab, View((10, 75)), ("soil", "rock", "water"),
    ),
)  # fmt: skip
