"""Things of the house: teapot and guitar."""

from __future__ import annotations

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, any_colour, pick, shade
from menagerie.figure import Figure, curve, rotation
from menagerie.skeleton import SIDES, Kind, category


def teapot(rng: np.random.Generator) -> Figure:
    """The spout points forward."""
    figure = Figure()
    glaze = Paint(
        any_colour(rng),
        any_colour(rng),
        pattern=str(rng.choice(["plain", "dots", "patches", "bands", "cells"])),
        scale=0.8,
        gloss=0.8,
    )
    wide, high = rng.uniform(0.40, 0.52), rng.uniform(0.55, 0.85)
    body = [(0, 0, 0.0), (0, 0, 0.25 * high), (0, 0, 0.55 * high), (0, 0, 0.85 * high), (0, 0, high)]
    figure.tube(body, np.array([0.62, 0.95, 1.0, 0.72, 0.45]) * wide, glaze, (1, 0, 0), ring=20, cap=0.1)
    figure.ball((0, 0, high), [0.42 * wide, 0.42 * wide, 0.12], glaze)
    figure.ball((0, 0, high + 0.16), 0.065, glaze)
    figure.mark("lid_button", (0, 0, high + 0.2), 0.1)
    root = np.array([0.85 * wide, 0, rng.uniform(0.25, 0.4) * high])
    tip = np.array([wide + rng.uniform(0.28, 0.45), 0, rng.uniform(0.75, 1.05) * high])
    figure.tube(
        [root - np.array([0.1, 0, 0.03]), (root + tip) / 2 + np.array([0.06, 0, -0.06]), tip],
        [0.13, 0.09, 0.055],
        glaze,
        (0, 1, 0),
    )
    figure.mark("spout_base", root, 0.16)
    figure.mark("spout_tip", tip, 0.09)
    upper, lower = np.array([-0.62 * wide, 0, 0.88 * high]), np.array([-0.9 * wide, 0, 0.3 * high])
    outer = np.array([-wide - rng.uniform(0.22, 0.34), 0, 0.68 * high])
    figure.tube([upper, (upper + outer) / 2 + np.array([-0.08, 0, 0.1]), outer, lower], 0.05, glaze, (0, 1, 0))
    for name, at in (("handle_top", upper), ("handle_outer", outer), ("handle_bottom", lower)):
        figure.mark(name, at, 0.12)
    figure.mark("base_front", (0.6 * wide, 0, 0.0), 0.15)
    figure.mark("base_back", (-0.6 * wide, 0, 0.0), 0.15)
    figure.mark("rim_front", (0.45 * wide, 0, high), 0.12)
    figure.mark("rim_back", (-0.45 * wide, 0, high), 0.12)
    figure.stand()
    return figure


def guitar(rng: np.random.Generator) -> Figure:
    """Standing on its end with the strings in front."""
    figure = Figure()
    colour = pick(rng, (200, 140, 70), (150, 60, 36), (60, 44, 40), (40, 80, 130), (220, 190, 130))
    wood = Paint(colour, shade(colour, 0.75), pattern="wood", scale=0.6, gloss=0.6)
    dark = Paint((62, 42, 32), pattern="plain", gloss=0.3)
    lower, upper, waist = rng.uniform(0.38, 0.44), rng.uniform(0.28, 0.34), rng.uniform(0.22, 0.27)
    outline = [
        (-0.03, 0.06),
        (0.04, 0.66 * lower),
        (0.28, lower),
        (0.50, waist * 1.2),
        (0.66, waist),
        (0.84, upper),
        (0.97, 0.6 * upper),
        (1.0, 0.08),
    ]
    z, half = curve(outline).T
    for x in (0.08, -0.08):
        figure.sheet(np.stack([0 * z + x, half, z], 1), np.stack([0 * z + x, -half, z], 1), wood)
    figure.sheet(np.stack([0 * z + 0.08, half, z], 1), np.stack([0 * z - 0.08, half, z], 1), dark)
    figure.sheet(np.stack([0 * z + 0.08, -half, z], 1), np.stack([0 * z - 0.08, -half, z], 1), dark)
    figure.ball((0.085, 0, 0.62), [0.008, 0.11, 0.11], Paint((20, 16, 14), pattern="plain"))
    figure.box((0.09, 0, 0.28), (0.02, 0.14, 0.022), dark)
    figure.box((0.09, 0, 1.26), (0.03, 0.042, 0.44), dark)
    figure.box((0.08, 0, 1.80), (0.025, 0.075, 0.12), wood)
    for y in (-0.022, 0.0, 0.022):
        figure.tube(
            [(0.122, y, 0.28), (0.122, y, 1.7)],
            0.004,
            Paint((226, 222, 210), gloss=0.6),
            (1, 0, 0),
            steps=1,
            ring=4,
            cap=0,
        )
    marks = {
        "head_tip": (0.08, 0, 1.93), "nut": (0.12, 0, 1.70), "neck_joint": (0.12, 0, 0.93),
        "sound_hole": (0.1, 0, 0.62), "bridge": (0.11, 0, 0.28), "end": (0.05, 0, -0.02),
    }  # fmt: skip
    for name, at in marks.items():
        figure.mark(name, at, 0.06)
    for side, word in SIDES:
        for name, y, up in (("lower_bout", lower, 0.30), ("waist", waist, 0.66), ("upper_bout", upper, 0.84)):
            figure.mark(f"{word}_{name}", (0.06, side * y, up), 0.12)
        for up in (1.72, 1.80, 1.88):
            figure.rod((0.08, side * 0.06, up), (0.08, side * 0.12, up), 0.016, Paint((210, 208, 200), gloss=0.8))
    figure.turn(rotation(0, np.radians(rng.normal(12, 10)), np.radians(rng.uniform(-70, 70))))
    figure.stand()
    return figure


HOUSEHOLD = (
    Kind(
        category(
            "teapot",
            "household",
            "spout_tip spout_base lid_button rim_front rim_back handle_top handle_outer handle_bottom base_front "
            "base_back",
            "spout_tip-spout_base-base_front-base_back-handle_bottom-handle_outer-handle_top-rim_back-lid_button"
            "-rim_front-spout_base",
            mirrored=False,
        ),
        teapot,
        View((0, 45), roll=5),
        ("table", "table", "room"),
    ),
    Kind(
        category(
            "guitar",
            "household",
            "head_tip nut neck_joint sound_hole bridge end *lower_bout *waist *upper_bout",
            "head_tip-nut-neck_joint-sound_hole-bridge-end neck_joint-*upper_bout-*waist-*lower_bout-end",
        ),
        guitar,
        View((-10, 40), roll=10),
        ("room", "street"),
    ),
)
