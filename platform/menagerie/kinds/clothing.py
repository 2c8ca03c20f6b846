"""Clothes that hang in the air, with the shape of a wearer: shirt and trousers."""

from __future__ import annotations

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, any_colour, shade
from menagerie.figure import Figure
from menagerie.skeleton import SIDES, Kind, category


def shirt(rng: np.random.Generator) -> Figure:
    """Worn by nobody: the front faces forward, left as the wearer has it."""
    figure, cloth = Figure(), _cloth(rng)
    wide, hem, long, drop = rng.uniform(0.40, 0.48), rng.uniform(0.36, 0.5), rng.uniform(0.95, 1.2), rng.uniform(15, 75)
    sway = rng.normal(0, 0.06)
    path = [(0.0, sway, 0), (0.02, 0.5 * sway, 0.35 * long), (0.0, 0, 0.7 * long), (0.0, 0, 0.92 * long), (0, 0, long)]
    radii = np.array([[hem, 0.17], [0.94 * wide, 0.16], [wide, 0.15], [0.82 * wide, 0.11], [0.26, 0.09]])
    figure.tube(path, radii, cloth, (0, 1, 0), ring=18, cap=0.02)
    dark = Paint(shade(cloth.base, 0.55), pattern="plain")
    figure.ball((0.06, 0, 1.005 * long), [0.09, 0.17, 0.05], dark)
    figure.mark("collar_front", (0.13, 0, 0.95 * long), 0.08)
    figure.mark("hem_front", (0.17, sway, 0.0), 0.1)
    for i in range(4):
        figure.ball(
            (0.175 - 0.012 * i, sway * (1 - i / 4), (0.12 + 0.22 * i) * long),
            [0.015, 0.022, 0.022],
            Paint((240, 238, 230), pattern="plain", gloss=0.6),
        )
    for side, word in SIDES:
        angle = np.radians(drop + rng.normal(0, 10))
        ahead = rng.normal(0, 0.12)
        shoulder = np.array([0, side * 0.80 * wide, 0.90 * long])
        out = np.array([ahead, side * np.cos(angle), -np.sin(angle)])
        length = rng.uniform(0.42, 0.85)
        cuff = shoulder + out * length
        figure.tube(
            [shoulder - out * 0.06, shoulder + out * 0.3 * length, cuff],
            [0.145, 0.135, 0.10],
            cloth,
            (1, 0, 0),
            cap=0.05,
        )
        below = np.cross(out, np.array([-side, 0, 0.0]))
        below = below / np.linalg.norm(below) * (-1 if below[2] > 0 else 1)
        figure.ball(cuff + out * 0.01, np.array([0.02, 0.08, 0.08]), dark, np.stack([out, below, np.cross(out, below)]))
        figure.mark(f"{word}_collar", (0.04, side * 0.21, 0.985 * long), 0.1)
        figure.mark(f"{word}_shoulder", shoulder + np.array([0, 0, 0.10]), 0.15)
        figure.mark(f"{word}_cuff_upper", cuff - below * 0.1, 0.12)
        figure.mark(f"{word}_cuff_lower", cuff + below * 0.1, 0.12)
        figure.mark(f"{word}_armpit", (0.02, side * 0.97 * wide, 0.70 * long), 0.16)
        figure.mark(f"{word}_hem", (0.0, side * hem + sway, 0.0), 0.12)
    return figure


def trousers(rng: np.random.Generator) -> Figure:
    """The front faces forward, left as the wearer has it."""
    figure, cloth = Figure(), _cloth(rng)
    wide, long, flare = rng.uniform(0.30, 0.38), rng.uniform(0.75, 1.25), rng.uniform(0.11, 0.19)
    figure.tube(
        [(0, 0, -0.12), (0, 0, 0.12), (0, 0, 0.34)],
        np.array([[wide * 1.05, 0.19], [wide * 1.05, 0.19], [wide * 0.92, 0.16]]),
        cloth,
        (0, 1, 0),
        ring=18,
        cap=0.05,
    )
    belt = Paint((70, 46, 32), pattern="plain", gloss=0.3)
    figure.tube(
        [(0, 0, 0.30), (0, 0, 0.36)],
        np.array([[wide * 0.95, 0.17], [wide * 0.94, 0.165]]),
        belt,
        (0, 1, 0),
        ring=18,
        cap=0.05,
    )
    figure.ball((0.17, 0, 0.33), [0.02, 0.05, 0.04], Paint((216, 190, 110), gloss=0.8))
    figure.mark("waist_front", (0.17, 0, 0.33), 0.1)
    figure.mark("crotch", (0.05, 0, -0.2), 0.16)
    for side, word in SIDES:
        swing, out = np.radians(rng.normal(0, 16)), np.radians(rng.uniform(2, 14))
        hip = np.array([0, side * 0.52 * wide, -0.05])
        down = np.array([np.sin(swing), side * np.sin(out), -np.cos(swing) * np.cos(out)])
        fold = np.array([-max(0.0, rng.normal(0.05, 0.12)), 0, 0])
        knee = hip + down * 0.5 * long
        hem = hip + down * long + fold
        figure.tube(
            [hip, hip + down * 0.25 * long, knee, hem],
            [0.185, 0.17, 0.5 * (0.15 + flare), flare],
            cloth,
            (0, 1, 0),
            cap=0.05,
        )
        figure.ball(
            hem + down * 0.006, [0.8 * flare, 0.8 * flare, 0.012], Paint(shade(cloth.base, 0.4), pattern="plain")
        )
        figure.mark(f"{word}_waist", (0, side * 0.93 * wide, 0.34), 0.14)
        figure.mark(f"{word}_knee", knee, 0.2)
        figure.mark(f"{word}_hem_outer", hem + np.array([0, side * flare, 0]), 0.12)
        figure.mark(f"{word}_hem_inner", hem - np.array([0, side * flare, 0]), 0.12)
    return figure


def _cloth(rng: np.random.Generator) -> Paint:
    pattern = str(rng.choice(["plain", "plaid", "bars", "dots", "patches", "fur"]))
    return Paint(any_colour(rng), any_colour(rng), pattern=pattern, scale=1.3, gloss=0.02)


_WORN = View((-15, 30), azimuth=(-75, 75), roll=8)

CLOTHING = (
    Kind(
        category(
            "shirt",
            "clothing",
            "collar_front hem_front *collar *shoulder *cuff_upper *cuff_lower *armpit *hem",
            "collar_front-*collar left_collar-right_collar hem_front-*hem "
            "*collar-*shoulder-*cuff_upper-*cuff_lower-*armpit-*hem",
        ),
        shirt,
        _WORN,
        ("room", "street"),
    ),
    Kind(
        category(
            "trousers",
            "clothing",
            "waist_front crotch *waist *knee *hem_outer *hem_inner",
            "*waist-waist_front waist_front-crotch *waist-*knee-*hem_outer-*hem_inner-crotch",
        ),
        trousers,
        _WORN,
        ("room", "street"),
    ),
)
