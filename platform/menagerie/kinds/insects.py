"""Insects: beetle, butterfly and dragonfly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, pick
from menagerie.figure import Figure, curve, rotation
from menagerie.kinds.jointed import eyes, leg, leg_limbs, leg_names
from menagerie.skeleton import SIDES, Kind, category


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
    eyes(figure, np.array([0.58, 0.13, 0.28]), 0.042)
    for side, word in SIDES:
        sweep = rng.uniform(0.3, 0.9)
        tip = np.array([0.64 + 0.42 * np.cos(sweep), side * (0.07 + 0.42 * np.sin(sweep)), 0.32])
        figure.tube([(0.64, side * 0.07, 0.26), (0.74, side * 0.16, 0.34), tip], [0.024, 0.02, 0.026], black)
        figure.mark(f"{word}_antenna_tip", tip, 0.06)
        for i, (x, heading) in enumerate(((0.36, 0.75), (0.12, 1.55), (-0.12, 2.3))):
            leg(
                figure,
                np.array([x, side * 0.2, 0.16]),
                side * (heading + rng.normal(0, 0.2)),
                0.56,
                black,
                0.036,
                f"{word}_leg_{i + 1}",
                0.28,
            )
    figure.stand()
    return figure


def butterfly(rng: np.random.Generator) -> Figure:
    figure = Figure()
    colour = pick(rng, (226, 130, 40), (60, 120, 200), (236, 214, 90), (196, 70, 60), (120, 170, 110))
    wing = Paint(
        colour,
        (30, 24, 24),
        tip=(34, 28, 30),
        tip_from=0.86,
        pattern=str(rng.choice(["dots", "stripes", "mottled", "rosettes"])),
        scale=0.8,
    )
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

        front = [at(0.14, 0), at(0.44, 0.32), at(0.64, 0.70), at(0.60, 0.90), at(0.46, 0.91)]
        figure.sheet(
            curve(front), curve([at(0.0, 0), at(-0.04, 0.32), at(-0.02, 0.58), at(0.12, 0.80), at(0.34, 0.90)]), wing
        )
        rear = [at(0.04, 0), at(0.02, 0.3), at(-0.06, 0.58), at(-0.28, 0.66), at(-0.50, 0.50)]
        figure.sheet(
            curve(rear), curve([at(-0.08, 0), at(-0.26, 0.10), at(-0.46, 0.22), at(-0.57, 0.32), at(-0.57, 0.44)]), hind
        )
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
    coat = Paint(
        pick(rng, (60, 130, 170), (170, 60, 50), (90, 140, 60), (190, 150, 50)),
        (28, 26, 28),
        pattern="bars",
        scale=0.6,
        gloss=0.4,
    )
    glass = Paint(
        pick(rng, (214, 222, 226), (226, 208, 170)),
        (120, 112, 104),
        tip=(90, 70, 56),
        tip_from=0.9,
        pattern="cells",
        scale=2.2,
        gloss=0.5,
    )
    droop, sway = rng.normal(0, 0.15), rng.normal(0, 0.12)
    abdomen = [np.array([-x, sway * x * x, -droop * x * x]) for x in (0.0, 0.35, 0.7, 1.05)]
    figure.tube(abdomen[::-1], np.array([0.05, 0.042, 0.048, 0.08]), coat)
    figure.ball((0.1, 0, 0.01), [0.19, 0.12, 0.13], replace(coat, pattern="plain"))
    figure.ball((0.32, 0, 0.02), [0.08, 0.10, 0.09], coat)
    figure.mark("thorax", (0.1, 0, 0.13), 0.1)
    for i, name in ((1, "abdomen_front"), (2, "abdomen_rear"), (3, "abdomen_tip")):
        figure.mark(name, abdomen[i], 0.1)
    eyes(figure, np.array([0.37, 0.085, 0.05]), 0.082, Paint((96, 60, 40), pattern="plain", gloss=0.9))
    for side, word in SIDES:
        for name, x, sweep, chord in (("front", 0.16, 0.22, 0.17), ("rear", 0.0, -0.22, 0.23)):
            sweep, lift = sweep + rng.normal(0, 0.08), rng.normal(0.1, 0.16)
            out = np.array([np.sin(sweep), side * np.cos(sweep), np.sin(lift)])
            edge = [np.array([x, side * 0.06, 0.1]) + out * reach for reach in (0, 0.3, 0.65, 0.98)]
            behind = [
                e - np.array([c, 0, 0]) for e, c in zip(edge, (0.6 * chord, chord, chord, 0.35 * chord), strict=True)
            ]
            figure.sheet(edge, behind, glass)
            figure.mark(f"{word}_{name}_wing_middle", (edge[1] + edge[2]) / 2 - np.array([0.5 * chord, 0, 0]), 0.09)
            figure.mark(f"{word}_{name}_wing_tip", edge[3] - np.array([0.15 * chord, 0, 0]), 0.07)
    figure.turn(rotation(0, np.radians(rng.normal(0, 14)), np.radians(rng.normal(0, 10))))
    figure.stand()
    return figure


INSECTS = (
    Kind(
        category(
            "beetle",
            "arthropod",
            f"*antenna_tip *eye head thorax abdomen_tip {leg_names(3)}",
            f"head-*antenna_tip head-*eye head-thorax-abdomen_tip {leg_limbs(3, 'thorax')}",
        ),
        beetle,
        View((20, 85)),
        ("leaf", "soil"),
    ),
    Kind(
        category(
            "butterfly",
            "arthropod",
            "head thorax abdomen_tip *antenna_tip *forewing_tip *forewing_corner *hindwing_side *hindwing_tip",
            "head-thorax-abdomen_tip head-*antenna_tip thorax-*forewing_tip-*forewing_corner "
            "thorax-*hindwing_side-*hindwing_tip",
        ),
        butterfly,
        View((25, 88), roll=20),
        ("leaf", "meadow", "soil"),
    ),
    Kind(
        category(
            "dragonfly",
            "arthropod",
            "*eye thorax abdomen_front abdomen_rear abdomen_tip *front_wing_middle *front_wing_tip "
            "*rear_wing_middle *rear_wing_tip",
            "*eye-thorax thorax-abdomen_front-abdomen_rear-abdomen_tip thorax-*front_wing_middle-*front_wing_tip "
            "thorax-*rear_wing_middle-*rear_wing_tip",
        ),
        dragonfly,
        View((20, 88), roll=20),
        ("leaf", "meadow", "water"),
    ),
)
