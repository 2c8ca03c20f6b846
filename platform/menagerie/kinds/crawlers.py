"""Many-legged walkers: spider, scorpion and crab."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, pick, shade
from menagerie.figure import Figure, rotation
from menagerie.kinds.jointed import EYE, eyes, leg, leg_limbs, leg_names
from menagerie.skeleton import SIDES, Kind, category


def spider(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (110, 80, 54), (60, 52, 48), (176, 130, 70), (140, 60, 44))
    skin = Paint(coat, (34, 26, 22), pattern=str(rng.choice(["mottled", "bands", "rosettes"])), scale=1.0, gloss=0.25)
    legs = Paint(shade(coat, 0.85), (34, 28, 24), pattern="bands", scale=0.7)
    figure.ball((0.16, 0, 0.28), [0.22, 0.18, 0.13], skin)
    figure.ball((-0.30, 0, 0.33), [0.33, 0.25, 0.23], skin)
    figure.mark("head", (0.36, 0, 0.30), 0.09)
    figure.mark("body", (0.1, 0, 0.41), 0.09)
    figure.mark("abdomen_tip", (-0.63, 0, 0.33), 0.12)
    eyes(figure, np.array([0.35, 0.06, 0.34]), 0.035)
    for side, word in SIDES:
        figure.rod((0.34, side * 0.06, 0.24), (0.44, side * 0.06, 0.12), 0.04, skin, 0.02)
        for i, heading in enumerate((0.45, 1.15, 1.9, 2.6)):
            joint = np.array([0.28 - 0.09 * i, side * 0.13, 0.27])
            leg(
                figure,
                joint,
                side * (heading + rng.normal(0, 0.12)),
                rng.uniform(0.8, 1.0),
                legs,
                0.036,
                f"{word}_leg_{i + 1}",
                0.42,
            )
    figure.stand()
    return figure


def scorpion(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (150, 110, 56), (62, 50, 44), (190, 150, 80), (96, 50, 36))
    skin = Paint(coat, shade(coat, 0.55), pattern="bars", scale=0.8, gloss=0.4)
    figure.tube(
        [(-0.42, 0, 0.17), (-0.15, 0, 0.19), (0.2, 0, 0.18), (0.36, 0, 0.17)],
        np.array([[0.10, 0.08], [0.19, 0.11], [0.18, 0.11], [0.13, 0.08]]),
        skin,
        (0, 1, 0),
    )
    eyes(figure, np.array([0.36, 0.055, 0.25]), 0.03)
    figure.mark("head", (0.46, 0, 0.19), 0.09)
    lift, sway, tail = 0.35, rng.normal(0, 0.16), [np.array([-0.42, 0, 0.18])]
    for _ in range(5):
        tail.append(tail[-1] + np.array([-np.cos(lift) * 0.22, sway * 0.22, np.sin(lift) * 0.22]))
        lift += rng.uniform(0.4, 0.58)
    figure.tube(tail, np.array([0.085, 0.075, 0.07, 0.065, 0.06, 0.07]), skin)
    sting = tail[5] + np.array([0.17, 0, -0.08])
    figure.tube(
        [tail[5], tail[5] + np.array([0.1, 0, 0.02]), sting], [0.07, 0.045, 0.008], Paint((60, 30, 20), gloss=0.4)
    )
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
            leg(figure, joint, side * (heading + rng.normal(0, 0.08)), 0.5, skin, 0.03, f"{word}_leg_{i + 1}", 0.25)
    figure.stand()
    return figure


def _pincer(figure: Figure, wrist: np.ndarray, axes: np.ndarray, size: float, paint: Paint) -> None:
    """A claw of a palm and two fingers that almost meet at ``size`` from the wrist."""
    figure.ball(wrist + axes[:, 0] * 0.32 * size, np.array([0.36, 0.26, 0.2]) * size, paint, axes.T)
    for bend in (0.24, -0.24):
        middle = wrist + axes @ np.array([0.72, bend, 0]) * size
        tip = wrist + axes @ np.array([1.05, 0.15 * bend, 0]) * size
        figure.tube(
            [wrist + axes @ np.array([0.45, 0.6 * bend, 0]) * size, middle, tip],
            np.array([0.13, 0.11, 0.03]) * size,
            paint,
            axes[:, 2],
            ring=8,
        )


def crab(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (196, 84, 46), (120, 60, 50), (96, 110, 110), (180, 130, 80))
    shell = Paint(coat, shade(coat, 0.6), belly=(232, 214, 186), pattern="mottled", scale=1.2, gloss=0.35)
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
            leg(
                figure,
                joint,
                side * (heading + rng.normal(0, 0.1)),
                0.62,
                replace(shell, belly=None),
                0.05,
                f"{word}_leg_{i + 1}",
                0.32,
            )
    figure.mark("mouth", (0.35, 0, 0.27), 0.08)
    figure.mark("shell_rear", (-0.34, 0, 0.3), 0.12)
    figure.stand()
    return figure


CRAWLERS = (
    Kind(
        category(
            "spider",
            "arthropod",
            f"*eye head body abdomen_tip {leg_names(4)}",
            f"*eye-head head-body-abdomen_tip {leg_limbs(4, 'body')}",
        ),
        spider,
        View((20, 85)),
        ("leaf", "soil", "room"),
    ),
    Kind(
        category(
            "scorpion",
            "arthropod",
            f"*eye head tail_base tail_middle tail_top sting_tip *claw_elbow *claw_tip {leg_names(4)}",
            "*eye-head head-tail_base-tail_middle-tail_top-sting_tip head-*claw_elbow-*claw_tip "
            + leg_limbs(4, "head"),
        ),
        scorpion,
        View((15, 75)),
        ("soil", "rock"),
    ),
    Kind(
        category(
            "crab",
            "arthropod",
            f"*eye mouth shell_rear *shell_corner *claw_elbow *claw_tip {leg_names(3)}",
            "*eye-mouth mouth-*shell_corner-shell_rear *shell_corner-*claw_elbow-*claw_tip "
            + leg_limbs(3, "shell_rear"),
        ),
        crab,
        View((10, 75)),
        ("soil", "rock", "water"),
    ),
)
