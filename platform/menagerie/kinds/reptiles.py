"""Reptiles: snake, turtle and lizard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, pick
from menagerie.figure import Figure, rotation
from menagerie.skeleton import SIDES, Kind, category

EYE = Paint((16, 14, 10), pattern="plain", gloss=0.9)


def _head(figure: Figure, at: np.ndarray, axes: np.ndarray, skin: Paint, size: float) -> None:
    """A flat head that reaches ``size`` forward from ``at``, with its eyes and nose."""
    path = [at + axes @ np.array([x, 0, z]) * size for x, z in ((-0.3, 0.0), (0.2, 0.06), (0.6, 0.03), (1.0, -0.02))]
    figure.tube(
        path, np.array([[0.22, 0.2], [0.42, 0.32], [0.34, 0.25], [0.16, 0.13]]) * size, skin, axes[:, 1], ring=14
    )
    figure.mark("nose", at + axes @ np.array([1.12, 0, 0.02]) * size, 0.25 * size)
    for side, word in SIDES:
        spot = at + axes @ np.array([0.52, side * 0.29, 0.22]) * size
        figure.ball(spot, 0.085 * size, EYE)
        figure.mark(f"{word}_eye", spot, 0.17 * size)


def snake(rng: np.random.Generator) -> Figure:
    figure = Figure()
    pattern = str(rng.choice(["bands", "rosettes", "mottled", "cells"]))
    skin = Paint(
        pick(rng, (136, 122, 64), (84, 110, 62), (176, 130, 76), (120, 72, 48)),
        (44, 36, 28),
        belly=(220, 206, 160),
        pattern=pattern,
        scale=0.5,
        gloss=0.3,
    )
    heading, path = 0.0, [np.zeros(3)]
    phase, swing = rng.uniform(0, 6.28), rng.uniform(0.6, 1.15)
    for i in range(14):
        heading = swing * np.sin(phase + 0.85 * i) + 0.12 * i * rng.uniform(0.2, 1.0)
        path.append(path[-1] - rotation(heading)[:, 0] * 0.2)
    path[0][2], path[1][2] = rng.uniform(0.05, 0.25), 0.04
    body = np.array([0.065, 0.07, 0.085, 0.095, 0.1, 0.105, 0.105, 0.105, 0.1, 0.095, 0.085, 0.07, 0.055, 0.038, 0.014])
    figure.tube(path[::-1], body[::-1], skin, (0, 0, 1), steps=3)
    _head(
        figure,
        path[0],
        rotation(float(swing * np.sin(phase)) + rng.normal(0, 0.2), np.radians(rng.normal(-5, 8))),
        replace(skin, pattern="fur"),
        0.24,
    )
    figure.mark("neck", path[1], 0.12)
    for n, i in enumerate((3, 5, 7, 9, 11)):
        figure.mark(f"body_{n + 1}", path[i], 0.15)
    figure.mark("tail_tip", path[14], 0.06)
    figure.stand()
    return figure


def turtle(rng: np.random.Generator) -> Figure:
    figure = Figure()
    shell = Paint(
        pick(rng, (110, 92, 48), (84, 96, 60), (132, 100, 60)), (54, 44, 28), pattern="cells", scale=1.1, gloss=0.3
    )
    skin = Paint(pick(rng, (130, 136, 84), (106, 110, 90), (150, 130, 92)), (70, 74, 50), pattern="mottled", scale=1.5)
    figure.ball((0, 0, 0.20), [0.56, 0.44, rng.uniform(0.26, 0.36)], shell)
    figure.ball((0, 0, 0.17), [0.60, 0.48, 0.09], replace(shell, pattern="plain"))
    figure.ball((0, 0, 0.12), [0.5, 0.38, 0.1], Paint((206, 184, 120)))
    figure.mark("shell_front", (0.55, 0, 0.2), 0.12)
    figure.mark("shell_top", (0, 0, 0.5), 0.15)
    figure.mark("shell_rear", (-0.56, 0, 0.2), 0.12)
    yaw, pitch = np.radians(rng.normal(0, 22)), np.radians(rng.uniform(0, 40))
    neck = np.array([0.46, 0, 0.17])
    head = neck + rotation(yaw, pitch)[:, 0] * rng.uniform(0.24, 0.38)
    figure.tube([neck - np.array([0.1, 0, 0]), neck, head], [0.11, 0.10, 0.085], skin, (0, 1, 0))
    figure.mark("neck", (neck + head) / 2, 0.12)
    _head(figure, head, rotation(1.3 * yaw, 0.2 * pitch - 0.05), skin, 0.24)
    tail = np.array([-0.74, rng.normal(0, 0.06), 0.08])
    figure.rod((-0.5, 0, 0.13), tail, 0.06, skin, 0.015)
    figure.mark("tail_tip", tail, 0.05)
    for side, word in SIDES:
        for place, x, turn in (("front", 0.36, 0.9), ("back", -0.38, 2.2)):
            heading = side * (turn + rng.normal(0, 0.25))
            joint = np.array([x, side * 0.34, 0.14])
            knee = joint + rotation(heading, -0.1)[:, 0] * 0.2
            foot = knee + rotation(0.6 * heading, -0.6)[:, 0] * 0.2
            figure.tube([joint, knee, foot], [0.11, 0.095, 0.075], skin, (0, 0, 1))
            figure.mark(f"{word}_{place}_knee", knee, 0.14)
            figure.mark(f"{word}_{place}_foot", foot, 0.1)
    figure.stand()
    return figure


def lizard(rng: np.random.Generator) -> Figure:
    figure = Figure()
    pattern = str(rng.choice(["dots", "bands", "mottled", "stripes"]))
    skin = Paint(
        pick(rng, (96, 136, 66), (150, 120, 76), (70, 130, 120), (120, 110, 96)),
        (44, 50, 34),
        belly=(220, 214, 170),
        pattern=pattern,
        scale=1.1,
        gloss=0.2,
    )
    wave, bend = rng.uniform(0, 6.28), rng.uniform(0.1, 0.45)
    heading, path = 0.0, [np.zeros(3)]
    for i in range(9):
        heading = bend * np.sin(wave + 0.8 * i) * (1 + 0.25 * i)
        path.append(path[-1] - rotation(heading)[:, 0] * 0.26)
    radii = np.array([0.10, 0.15, 0.17, 0.15, 0.10, 0.075, 0.055, 0.038, 0.025, 0.01])
    figure.tube(path[::-1], np.stack([0.85 * radii, radii], 1)[::-1], skin, (0, 0, 1), ring=14)
    first = np.arctan2(*(path[0] - path[1])[1::-1])
    _head(
        figure,
        path[0] + 0.05 * rotation(first)[:, 0],
        rotation(first + rng.normal(0, 0.3), np.radians(rng.uniform(-5, 20))),
        skin,
        0.30,
    )
    figure.mark("neck", path[0], 0.15)
    figure.mark("back", path[2] + np.array([0, 0, 0.14]), 0.1)
    figure.mark("tail_base", path[4], 0.14)
    figure.mark("tail_middle", path[6], 0.09)
    figure.mark("tail_tip", path[9], 0.05)
    stride = rng.normal(0, 0.35)
    for place, i, sign in (("front", 1, 1.0), ("back", 3, -1.0)):
        along = path[i - 1] - path[i + 1]
        facing = np.arctan2(along[1], along[0])
        for side, word in SIDES:
            lean = facing + side * (np.pi / 2 - 0.15 * sign) - sign * stride + rng.normal(0, 0.1)
            joint = path[i] + rotation(facing)[:, 1] * side * 0.1
            knee = joint + rotation(lean, 0.15)[:, 0] * 0.26
            foot = knee + rotation(lean - side * 0.85, -0.7)[:, 0] * 0.24
            figure.tube([joint, knee, foot], [0.07, 0.055, 0.035], replace(skin, belly=None), (0, 0, 1), ring=8)
            for spread in (-0.6, -0.2, 0.2, 0.6):
                figure.rod(
                    foot, foot + rotation(lean - side * 0.7 + spread)[:, 0] * 0.1, 0.02, replace(skin, belly=None), 0.01
                )
            figure.mark(f"{word}_{place}_elbow" if place == "front" else f"{word}_{place}_knee", knee, 0.09)
            figure.mark(f"{word}_{place}_foot", foot, 0.07)
    figure.stand()
    return figure


REPTILES = (
    Kind(
        category(
            "snake",
            "reptile",
            "nose *eye neck body_1 body_2 body_3 body_4 body_5 tail_tip",
            "nose-*eye nose-neck-body_1-body_2-body_3-body_4-body_5-tail_tip",
        ),
        snake,
        View((15, 80)),
        ("soil", "rock", "meadow", "savanna"),
    ),
    Kind(
        category(
            "turtle",
            "reptile",
            "nose *eye neck shell_front shell_top shell_rear tail_tip *front_knee *front_foot *back_knee *back_foot",
            "nose-*eye nose-neck-shell_front-shell_top-shell_rear-tail_tip shell_front-*front_knee-*front_foot "
            "shell_rear-*back_knee-*back_foot",
        ),
        turtle,
        View((5, 65)),
        ("soil", "rock", "meadow"),
    ),
    Kind(
        category(
            "lizard",
            "reptile",
            "nose *eye neck back tail_base tail_middle tail_tip *front_elbow *front_foot *back_knee *back_foot",
            "nose-*eye nose-neck-back-tail_base-tail_middle-tail_tip neck-*front_elbow-*front_foot "
            "tail_base-*back_knee-*back_foot",
        ),
        lizard,
        View((10, 80)),
        ("rock", "soil", "leaf", "savanna"),
    ),
)
