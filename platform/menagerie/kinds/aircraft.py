"""Aircraft: an aeroplane. Left is the pilot's."""

from __future__ import annotations

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, any_colour, pick
from menagerie.figure import Figure, rotation
from menagerie.kinds.vehicles import GLASS
from menagerie.skeleton import SIDES, Kind, category


def aeroplane(rng: np.random.Generator) -> Figure:
    figure = Figure()
    body = Paint(pick(rng, (236, 238, 240), (200, 60, 50), (70, 110, 170), (210, 200, 120)), pattern="plain", gloss=0.5)
    trim = Paint(any_colour(rng), pattern="plain", gloss=0.4)
    wing_x, sweep, span = rng.uniform(-0.05, 0.25), rng.uniform(0.0, 0.75), rng.uniform(1.1, 1.5)
    lift, tail_span = rng.uniform(0.0, 0.2), rng.uniform(0.42, 0.58)
    figure.tube(
        [(-1.3, 0, 0.06), (-0.8, 0, 0.02), (0.0, 0, 0), (0.8, 0, 0), (1.15, 0, -0.03)],
        np.array([0.045, 0.12, 0.165, 0.16, 0.09]),
        body,
        (0, 1, 0),
        ring=16,
    )
    figure.ball((0.98, 0, 0.075), [0.13, 0.10, 0.07], GLASS)
    for x in np.arange(-0.6, 0.8, 0.14):
        for side in (1, -1):
            figure.ball((x, side * 0.155, 0.045), [0.025, 0.014, 0.03], GLASS)
    figure.mark("nose_tip", (1.24, 0, -0.03), 0.12)
    figure.mark("tail_tip", (-1.34, 0, 0.06), 0.08)
    figure.sheet([(-0.85, 0, 0.1), (-1.2, 0, 0.52)], [(-1.3, 0, 0.08), (-1.42, 0, 0.52)], trim)
    figure.mark("fin_tip", (-1.3, 0, 0.52), 0.06)
    for side, word in SIDES:
        root, tip = (
            np.array([wing_x + 0.2, side * 0.12, -0.06]),
            np.array([wing_x + 0.1 - sweep, side * span, -0.06 + lift]),
        )
        figure.tube([root - np.array([0.12, 0, 0]), tip], np.array([[0.24, 0.03], [0.09, 0.012]]), body, (1, 0, 0))
        figure.mark(f"{word}_wing_root", root, 0.14)
        figure.mark(f"{word}_wing_tip", tip, 0.06)
        pod = root + (tip - root) * 0.38 + np.array([0.12, 0, -0.1])
        figure.tube([pod - np.array([0.16, 0, 0]), pod + np.array([0.14, 0, 0])], [0.055, 0.08], trim, (0, 1, 0))
        figure.mark(f"{word}_engine", pod + np.array([0.18, 0, 0]), 0.12)
        end = np.array([-1.32, side * tail_span, 0.08])
        figure.tube([(-1.08, side * 0.03, 0.06), end], np.array([[0.14, 0.02], [0.07, 0.01]]), body, (1, 0, 0))
        figure.mark(f"{word}_tailplane_tip", end, 0.06)
    figure.turn(rotation(0, np.radians(rng.normal(4, 12)), np.radians(rng.normal(0, 16))))
    return figure


AEROPLANE = Kind(
    category(
        "aeroplane",
        "vehicle",
        "nose_tip tail_tip fin_tip *wing_root *wing_tip *engine *tailplane_tip",
        "nose_tip-tail_tip-fin_tip nose_tip-*wing_root-*wing_tip *wing_root-*engine tail_tip-*tailplane_tip",
    ),
    aeroplane,
    View((-40, 60), roll=15),
    ("sky", "sky", "street"),
)
