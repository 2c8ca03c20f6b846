"""Animals of the water: fish, dolphin, octopus and starfish."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, pick, shade
from menagerie.figure import Figure, rotation
from menagerie.skeleton import SIDES, Kind, category

EYE = Paint((18, 16, 16), pattern="plain", gloss=0.9)
WHITE = Paint((232, 226, 206), pattern="plain", gloss=0.5)


def fish(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (214, 106, 48), (96, 124, 148), (196, 176, 70), (120, 140, 96), (178, 60, 70), (60, 120, 160))
    dark = pick(rng, (40, 44, 56), (238, 232, 220), (70, 40, 30))
    pattern = str(rng.choice(["bands", "scales", "dots", "mottled", "stripes"]))
    skin = Paint(coat, dark, belly=(236, 230, 216), pattern=pattern, scale=0.9, gloss=0.35)
    fin = Paint(shade(coat, 0.85), dark, pattern="bars", scale=1.6, gloss=0.1)
    bend, wave = rng.normal(0, 0.22), rng.uniform(0, 6.28)

    def spine(x: float, y: float = 0.0, z: float = 0.0) -> np.ndarray:
        """A place of the straight fish, in the bent one."""
        back = 0.6 - x
        return np.array([x, y + bend * back * np.sin(1.7 * back + wave), z])

    high = rng.uniform(0.85, 1.4)
    stations, half = (0.60, 0.5, 0.3, 0.0, -0.3, -0.55), np.array([0.05, 0.13, 0.22, 0.25, 0.17, 0.06])
    figure.tube(
        [spine(x) for x in stations[::-1]], np.stack([0.52 * half, high * half], 1)[::-1], skin, (0, 1, 0), ring=16
    )
    top, low = high * 0.24, -high * 0.24
    tail_up, tail_down = spine(-0.98, 0, 0.30 * high), spine(-0.98, 0, -0.30 * high)
    notch, root = spine(-0.82), spine(-0.52)
    figure.sheet([spine(-0.5, 0, 0.05), spine(-0.72, 0, 0.16 * high), tail_up], [root, (root + notch) / 2, notch], fin)
    figure.sheet(
        [spine(-0.5, 0, -0.05), spine(-0.72, 0, -0.16 * high), tail_down], [root, (root + notch) / 2, notch], fin
    )
    crest = [(0.28, 0.86), (0.12, 1.75), (-0.12, 1.6), (-0.32, 1.35)]
    figure.sheet([spine(x, 0, top * z) for x, z in crest], [spine(x, 0, 0.5 * top) for x, _ in crest], fin)
    figure.sheet(
        [spine(-0.12, 0, 0.9 * low), spine(-0.3, 0, 1.55 * low)],
        [spine(-0.12, 0, 0.5 * low), spine(-0.42, 0, 0.4 * low)],
        fin,
    )
    figure.mark("mouth", spine(0.655), 0.06)
    figure.mark("dorsal_fin_front", spine(0.28, 0, 0.86 * top), 0.1)
    figure.mark("dorsal_fin_tip", spine(0.12, 0, 1.75 * top), 0.06)
    figure.mark("dorsal_fin_rear", spine(-0.32, 0, 1.35 * top), 0.06)
    figure.mark("tail_base", root, 0.1)
    figure.mark("tail_upper_tip", tail_up, 0.06)
    figure.mark("tail_lower_tip", tail_down, 0.06)
    figure.mark("anal_fin_tip", spine(-0.3, 0, 1.55 * low), 0.06)
    figure.mark("belly", spine(0.05, 0, low), 0.12)
    spread = rng.uniform(0.3, 1.1)
    for side, word in SIDES:
        eye = spine(0.44, side * 0.085, 0.05 * high)
        figure.ball(eye, 0.042, WHITE)
        figure.ball(eye + np.array([0.008, side * 0.022, 0]), 0.028, EYE)
        figure.mark(f"{word}_eye", eye + np.array([0, side * 0.03, 0]), 0.05)
        base = spine(0.2, side * 0.115, -0.06 * high)
        end = base + np.array([-0.26 * np.cos(spread), side * 0.26 * np.sin(spread), -0.10])
        figure.sheet(
            [base, end + np.array([0.0, 0, 0.07])],
            [base + np.array([0, 0, -0.07]), end + np.array([0.02, 0, -0.06])],
            fin,
        )
        figure.mark(f"{word}_pectoral_tip", end, 0.06)
    figure.turn(rotation(0, np.radians(rng.normal(0, 14)), np.radians(rng.normal(0, 10))))
    return figure


def dolphin(rng: np.random.Generator) -> Figure:
    figure = Figure()
    skin = Paint(
        pick(rng, (96, 112, 128), (70, 82, 96), (130, 138, 146)), belly=(226, 226, 222), pattern="plain", gloss=0.5
    )
    arch = rng.normal(0.0, 0.35)

    def spine(x: float, y: float = 0.0, z: float = 0.0) -> np.ndarray:
        return np.array([x, y, z - arch * x * x])

    stations, half = (
        (-0.9, -0.6, -0.2, 0.2, 0.5, 0.66, 0.76, 0.92),
        np.array([0.04, 0.10, 0.19, 0.21, 0.155, 0.11, 0.052, 0.034]),
    )
    figure.tube([spine(x) for x in stations], np.stack([0.92 * half, half], 1), skin, (0, 1, 0), ring=16)
    plain = replace(skin, belly=None)
    figure.sheet(
        [spine(0.12, 0, 0.17), spine(-0.05, 0, 0.34), spine(-0.16, 0, 0.42)],
        [spine(0.0, 0, 0.15), spine(-0.1, 0, 0.17), spine(-0.14, 0, 0.40)],
        plain,
    )
    figure.sheet([spine(0.0, 0, 0.15), spine(-0.14, 0, 0.40)], [spine(-0.18, 0, 0.15), spine(-0.17, 0, 0.41)], plain)
    figure.mark("beak_tip", spine(0.95), 0.05)
    figure.mark("blowhole", spine(0.52, 0, 0.15), 0.08)
    figure.mark("dorsal_fin_base", spine(0.1, 0, 0.19), 0.1)
    figure.mark("dorsal_fin_tip", spine(-0.16, 0, 0.42), 0.05)
    figure.mark("fluke_base", spine(-0.88), 0.08)
    for side, word in SIDES:
        eye = spine(0.6, side * 0.115, 0.0)
        figure.ball(eye, 0.018, EYE)
        figure.mark(f"{word}_eye", eye, 0.05)
        base, tip = spine(0.32, side * 0.15, -0.11), spine(0.08, side * 0.40, -0.26)
        figure.tube(
            [base, (base + tip) / 2 + np.array([0.03, 0, 0]), tip],
            np.array([[0.09, 0.025], [0.075, 0.02], [0.015, 0.008]]),
            plain,
            (1, 0, 0),
        )
        figure.mark(f"{word}_flipper_base", base, 0.1)
        figure.mark(f"{word}_flipper_tip", tip, 0.05)
        fluke = spine(-1.12, side * 0.30)
        figure.tube(
            [spine(-0.86), spine(-0.98, side * 0.15), fluke],
            np.array([[0.07, 0.03], [0.075, 0.015], [0.02, 0.006]]),
            plain,
            (1, 0, 0),
        )
        figure.mark(f"{word}_fluke_tip", fluke, 0.05)
    figure.turn(rotation(0, np.radians(rng.normal(0, 20)), np.radians(rng.normal(0, 14))))
    return figure


def octopus(rng: np.random.Generator) -> Figure:
    figure = Figure()
    skin = Paint(
        pick(rng, (186, 84, 64), (150, 100, 120), (170, 130, 84), (104, 92, 132)),
        (236, 196, 170),
        pattern="dots",
        scale=1.2,
        gloss=0.4,
    )
    tilt = rotation(0, np.radians(rng.uniform(100, 150)))
    top = tilt @ np.array([0.62, 0, 0])
    figure.tube([(0, 0, 0), 0.45 * top, 0.85 * top], [0.19, 0.27, 0.20], skin, (0, 1, 0), ring=16)
    figure.mark("mantle_tip", 1.15 * top, 0.2)
    for side, word in SIDES:
        eye = np.array([0.13, side * 0.17, 0.10])
        figure.ball(eye, 0.075, skin)
        figure.ball(eye + np.array([0.035, side * 0.045, 0.01]), 0.042, WHITE)
        figure.ball(eye + np.array([0.055, side * 0.062, 0.01]), 0.026, EYE)
        figure.mark(f"{word}_eye", eye + np.array([0.05, side * 0.06, 0.01]), 0.06)
        for i in range(4):
            yaw = side * np.radians(18 + 45 * i + rng.normal(0, 5))
            path, heading, drop = [rotation(yaw)[:, 0] * 0.12], yaw, rng.normal(-0.45, 0.2)
            curl, rise = rng.normal(0, 0.35), rng.normal(0.22, 0.15)
            for _ in range(5):
                path.append(path[-1] + rotation(heading, drop)[:, 0] * 0.27)
                heading, drop = heading + curl, drop + rise
            figure.tube(path, np.array([0.10, 0.085, 0.068, 0.052, 0.036, 0.016]), skin, (0, 0, 1), steps=3, ring=10)
            figure.mark(f"{word}_arm_{i + 1}_middle", path[3], 0.09)
            figure.mark(f"{word}_arm_{i + 1}_tip", path[5], 0.05)
    figure.stand()
    return figure


def starfish(rng: np.random.Generator) -> Figure:
    figure = Figure()
    skin = Paint(
        pick(rng, (206, 92, 50), (178, 60, 60), (120, 90, 150), (204, 160, 80)),
        (240, 206, 150),
        pattern="dots",
        scale=1.8,
    )
    marked = replace(skin, tip=pick(rng, (60, 40, 90), (250, 244, 226)), tip_from=0.72)
    figure.ball((0, 0, 0.05), [0.24, 0.24, 0.12], skin)
    figure.mark("centre", (0, 0, 0.17), 0.08)
    arms = (("front", 0), ("left_side", 72), ("left_rear", 144), ("right_side", -72), ("right_rear", -144))
    for name, degrees in arms:
        heading, curl = np.radians(degrees + rng.normal(0, 7)), rng.normal(0, 0.28)
        lift = np.abs(rng.normal(0, 0.12))
        path = [rotation(heading)[:, 0] * 0.1 + np.array([0, 0, 0.06])]
        for i in range(3):
            path.append(path[-1] + rotation(heading, lift * i)[:, 0] * 0.3)
            heading += curl
        figure.tube(path, np.array([0.17, 0.135, 0.095, 0.045]), marked if name == "front" else skin, (0, 0, 1))
        figure.mark(f"{name}_arm_middle", path[2] + np.array([0, 0, 0.05]), 0.12)
        figure.mark(f"{name}_arm_tip", path[3], 0.07)
    figure.stand()
    return figure


_ARMS = [f"*arm_{i}" for i in (1, 2, 3, 4)]
_RAYS = ("front", "*side", "*rear")

SWIMMERS = (
    Kind(
        category(
            "fish",
            "swimmer",
            "mouth *eye dorsal_fin_front dorsal_fin_tip dorsal_fin_rear tail_base tail_upper_tip tail_lower_tip "
            "anal_fin_tip belly *pectoral_tip",
            "mouth-*eye mouth-dorsal_fin_front-dorsal_fin_tip-dorsal_fin_rear-tail_base-tail_upper_tip "
            "tail_lower_tip-tail_base-anal_fin_tip-belly-mouth belly-*pectoral_tip",
        ),
        fish,
        View((-25, 40)),
        ("water",),
    ),
    Kind(
        category(
            "dolphin",
            "swimmer",
            "beak_tip *eye blowhole dorsal_fin_base dorsal_fin_tip fluke_base *flipper_base *flipper_tip *fluke_tip",
            "beak_tip-*eye beak_tip-blowhole-dorsal_fin_base-dorsal_fin_tip dorsal_fin_base-fluke_base-*fluke_tip "
            "blowhole-*flipper_base-*flipper_tip",
        ),
        dolphin,
        View((-25, 55)),
        ("water", "sky"),
    ),
    Kind(
        category(
            "octopus",
            "swimmer",
            "mantle_tip *eye " + " ".join(f"{arm}_middle {arm}_tip" for arm in _ARMS),
            "mantle_tip-*eye left_eye-right_eye " + " ".join(f"*eye-{arm}_middle-{arm}_tip" for arm in _ARMS),
        ),
        octopus,
        View((15, 75)),
        ("water", "soil"),
    ),
    Kind(
        category(
            "starfish",
            "swimmer",
            "centre " + " ".join(f"{ray}_arm_middle {ray}_arm_tip" for ray in _RAYS),
            " ".join(f"centre-{ray}_arm_middle-{ray}_arm_tip" for ray in _RAYS),
        ),
        starfish,
        View((30, 88)),
        ("water", "soil", "rock"),
    ),
)
