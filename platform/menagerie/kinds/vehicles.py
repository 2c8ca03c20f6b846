"""Vehicles on wheels: car, truck and bicycle. Left is the driver's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, any_colour
from menagerie.figure import Figure, rotation
from menagerie.skeleton import SIDES, Kind, category

TYRE = Paint((38, 38, 40), pattern="plain")
GLASS = Paint((58, 76, 92), pattern="plain", gloss=0.9)
STEEL = Paint((176, 178, 182), pattern="plain", gloss=0.7)
WHITE_LIGHT, RED_LIGHT = (
    Paint((250, 246, 220), pattern="plain", gloss=0.9),
    Paint((190, 30, 28), pattern="plain", gloss=0.6),
)


def hull(figure: Figure, outline: Sequence[tuple[float, float]], low: float, high: float, paint: Paint) -> None:
    """A solid whose side view is the closed outline of (x, z); its half width goes from ``low`` up to ``high``."""
    flat = np.array([*outline, outline[0]])
    rise = (flat[:, 1] - flat[:, 1].min()) / np.ptp(flat[:, 1])
    half = low + (high - low) * rise
    left = np.stack([flat[:, 0], half, flat[:, 1]], 1)
    right = left * np.array([1, -1, 1])
    for i in range(len(outline)):
        figure.sheet(left[i : i + 2], right[i : i + 2], paint)
    for edge in (left, right):
        middle = edge[:-1].mean(0)
        for i in range(len(outline)):
            figure.sheet(edge[i : i + 2], np.stack([middle, middle]), paint)


def wheel(figure: Figure, at: np.ndarray, radius: float, width: float) -> None:
    """A wheel whose axle lies along y."""
    side = np.array([0, width, 0])
    figure.tube([at - side, at + side], radius, TYRE, (1, 0, 0), steps=2, ring=18, cap=0.15)
    for sign in (1, -1):
        figure.tube(
            [at + sign * side, at + sign * side * 1.25], 0.55 * radius, STEEL, (1, 0, 0), steps=2, ring=14, cap=0.15
        )


def car(rng: np.random.Generator) -> Figure:
    figure, paint = Figure(), Paint(any_colour(rng, (0.0, 0.95)), pattern="plain", gloss=0.7)
    long, wide, bonnet, roof = (
        rng.uniform(1.9, 2.25),
        rng.uniform(0.82, 0.95),
        rng.uniform(0.85, 1.0),
        rng.uniform(1.35, 1.6),
    )
    boot = rng.uniform(-0.95, -0.6) * long
    hull(
        figure,
        [(-long, 0.35), (long, 0.35), (long, 0.75), (0.45 * long, bonnet), (boot, bonnet), (-long, 0.9)],
        wide,
        0.95 * wide,
        paint,
    )
    front, rear = 0.12 * long, boot + 0.3
    hull(
        figure,
        [(boot, bonnet - 0.02), (0.45 * long, bonnet - 0.02), (front, roof), (rear, roof)],
        0.93 * wide,
        0.74 * wide,
        GLASS,
    )
    figure.box(((front + rear) / 2, 0, roof), ((front - rear) / 2, 0.74 * wide, 0.03), paint)
    for end, place, x in ((1, "front", 0.62 * long), (-1, "rear", -0.62 * long)):
        for side, word in SIDES:
            hub = np.array([x, side * (wide - 0.06), 0.33])
            wheel(figure, hub, 0.33, 0.11)
            figure.mark(f"{word}_{place}_wheel", hub + np.array([0, side * 0.14, 0]), 0.12)
            top = np.array([front if end > 0 else rear, side * 0.74 * wide, roof])
            figure.rod(top, ((0.45 * long if end > 0 else boot), side * 0.93 * wide, bonnet), 0.05, paint)
            figure.mark(f"{word}_{place}_roof", top, 0.15)
            light = np.array([end * (long + 0.01), side * 0.72 * wide, 0.66])
            figure.ball(light, [0.06, 0.15, 0.09], WHITE_LIGHT if end > 0 else RED_LIGHT)
            figure.mark(f"{word}_headlight" if end > 0 else f"{word}_taillight", light, 0.12)
    for side, word in SIDES:
        mirror = np.array([0.30 * long, side * (wide + 0.12), bonnet + 0.05])
        figure.box(mirror, (0.05, 0.1, 0.07), paint)
        figure.mark(f"{word}_mirror", mirror, 0.12)
    figure.stand()
    return figure


def truck(rng: np.random.Generator) -> Figure:
    figure = Figure()
    cab, cargo = (
        Paint(any_colour(rng), pattern="plain", gloss=0.5),
        Paint(
            any_colour(rng, (0.0, 0.5)),
            any_colour(rng),
            pattern=str(rng.choice(["bars", "plain"])),
            scale=0.25,
            gloss=0.2,
        ),
    )
    long, wide, high, top = rng.uniform(2.6, 3.4), 0.85, rng.uniform(1.7, 2.3), rng.uniform(1.5, 1.9)
    nose = long + rng.uniform(1.0, 1.5)
    figure.box((0.5, 0, 0.5), (0.5 * (long + nose) + 0.2, 0.6, 0.1), Paint((60, 60, 62), pattern="plain"))
    figure.box((0, 0, 0.62 + high / 2), (long, wide, high / 2), cargo)
    hull(
        figure,
        [(long + 0.12, 0.4), (nose, 0.4), (nose, 1.0), (nose - 0.25, 0.4 + top), (long + 0.12, 0.4 + top)],
        0.8,
        0.72,
        cab,
    )
    figure.sheet(
        [(nose + 0.015, 0.68, 1.02), (nose - 0.22, 0.62, 0.3 + top)],
        [(nose + 0.015, -0.68, 1.02), (nose - 0.22, -0.62, 0.3 + top)],
        GLASS,
    )
    for side, word in SIDES:
        figure.sheet(
            [(nose - 0.2, side * 0.80, 1.05), (long + 0.3, side * 0.80, 1.05)],
            [(nose - 0.35, side * 0.76, 0.25 + top), (long + 0.3, side * 0.76, 0.25 + top)],
            GLASS,
        )
        for name, x in (("front", nose - 0.5), ("middle", -0.4 * long), ("rear", -0.78 * long)):
            hub = np.array([x, side * 0.74, 0.38])
            wheel(figure, hub, 0.38, 0.13)
            figure.mark(f"{word}_{name}_wheel", hub + np.array([0, side * 0.16, 0]), 0.15)
        for place, x in (("front", long), ("rear", -long)):
            corner = np.array([x, side * wide, 0.62 + high])
            figure.mark(f"{word}_{place}_cargo_top", corner, 0.15)
        figure.mark(f"{word}_rear_cargo_bottom", (-long, side * wide, 0.62), 0.15)
        figure.mark(f"{word}_cab_top", (nose - 0.25, side * 0.72, 0.4 + top), 0.15)
        light = np.array([nose + 0.01, side * 0.6, 0.65])
        figure.ball(light, [0.05, 0.13, 0.1], WHITE_LIGHT)
        figure.mark(f"{word}_headlight", light, 0.12)
    figure.stand()
    return figure


def bicycle(rng: np.random.Generator) -> Figure:
    figure = Figure()
    frame = Paint(any_colour(rng), pattern="plain", gloss=0.6)
    base, radius, saddle_up, stem = (
        rng.uniform(0.50, 0.56),
        rng.uniform(0.31, 0.36),
        rng.uniform(0.85, 1.05),
        rng.uniform(0.85, 1.05),
    )
    rear, crank, seat = (
        np.array([-base, 0, radius]),
        np.array([-0.06, 0, radius - 0.04]),
        np.array([-0.24, 0, saddle_up]),
    )
    head, steer = np.array([0.34, 0, stem - 0.12]), np.radians(rng.normal(0, 16))
    turn = rotation(steer)
    front = head + turn @ np.array([base - 0.34 + 0.04, 0, radius - head[2]])
    top = head + np.array([-0.03, 0, 0.14])
    for hub, axes in ((rear, np.eye(3)), (front, turn)):
        angle = np.linspace(0, 2 * np.pi, 17)[:, None]
        rim = hub + radius * (np.cos(angle) * axes[:, 0] + np.sin(angle) * axes[:, 2])
        figure.tube(rim, 0.026, TYRE, axes[:, 1], steps=2, ring=8, cap=0)
        for spoke in rim[:-1:2]:
            figure.tube([hub, spoke], 0.006, STEEL, axes[:, 1], steps=1, ring=5, cap=0)
        figure.ball(hub, 0.035, STEEL)
    seat_low = crank + (seat - crank) * 0.8
    for one, other in (
        (crank, seat),
        (seat_low, head),
        (crank, head - np.array([0, 0, 0.08])),
        (rear, crank),
        (rear, seat_low),
        (head - np.array([0.02, 0, 0.0]), front),
        (head, top),
    ):
        figure.rod(one, other, 0.022, frame)
    figure.tube(
        [seat + np.array([-0.13, 0, 0.02]), seat + np.array([0.0, 0, 0.02]), seat + np.array([0.15, 0, 0.01])],
        np.array([[0.085, 0.03], [0.06, 0.03], [0.022, 0.02]]),
        TYRE,
        (0, 1, 0),
    )
    figure.mark("front_hub", front, 0.06)
    figure.mark("rear_hub", rear, 0.06)
    figure.mark("crank", crank, 0.06)
    figure.mark("saddle", seat + np.array([0, 0, 0.03]), 0.06)
    figure.mark("head_tube", head, 0.05)
    figure.mark("stem", top, 0.05)
    figure.mark("front_wheel_tip", front + turn[:, 0] * radius, 0.05)
    figure.mark("rear_wheel_tip", rear - np.array([radius, 0, 0]), 0.05)
    spin = rng.uniform(0, 2 * np.pi)
    for side, word in SIDES:
        grip = top + turn @ np.array([-0.05, side * 0.28, 0.03])
        figure.tube([top, top + turn @ np.array([0.05, side * 0.12, 0.03]), grip], 0.018, STEEL, (0, 0, 1), ring=8)
        figure.rod(grip, grip - turn @ np.array([0.08, 0, 0]), 0.026, TYRE)
        figure.mark(f"{word}_grip", grip, 0.06)
        pedal = crank + np.array([side * 0.17 * np.cos(spin), side * 0.09, side * 0.17 * np.sin(spin)])
        figure.rod(crank + np.array([0, side * 0.05, 0]), pedal, 0.016, STEEL)
        figure.box(pedal + np.array([0, side * 0.04, 0]), (0.05, 0.04, 0.014), TYRE)
        figure.mark(f"{word}_pedal", pedal, 0.06)
    figure.stand()
    return figure


VEHICLES = (
    Kind(
        category(
            "car",
            "vehicle",
            "*front_wheel *front_roof *rear_wheel *rear_roof *headlight *taillight *mirror",
            "*headlight-*front_wheel-*front_roof-*rear_roof-*rear_wheel-*taillight *mirror-*front_roof "
            "left_front_roof-right_front_roof left_rear_roof-right_rear_roof left_headlight-right_headlight "
            "left_taillight-right_taillight",
        ),
        car,
        View((2, 40), roll=4),
        ("street", "street", "meadow", "snow"),
    ),
    Kind(
        category(
            "truck",
            "vehicle",
            "*front_wheel *middle_wheel *rear_wheel *front_cargo_top *rear_cargo_top *rear_cargo_bottom *cab_top "
            "*headlight",
            "*front_wheel-*middle_wheel-*rear_wheel *front_wheel-*headlight-*cab_top-*front_cargo_top-*rear_cargo_top"
            "-*rear_cargo_bottom left_cab_top-right_cab_top left_headlight-right_headlight "
            "left_front_cargo_top-right_front_cargo_top left_rear_cargo_top-right_rear_cargo_top "
            "left_rear_cargo_bottom-right_rear_cargo_bottom",
        ),
        truck,
        View((2, 40), roll=4),
        ("street", "street", "savanna"),
    ),
    Kind(
        category(
            "bicycle",
            "vehicle",
            "front_hub rear_hub crank saddle head_tube stem front_wheel_tip rear_wheel_tip *grip *pedal",
            "front_wheel_tip-front_hub-head_tube-saddle-rear_hub-rear_wheel_tip saddle-crank-head_tube-stem-*grip "
            "crank-rear_hub crank-*pedal",
        ),
        bicycle,
        View((-2, 35), roll=5),
        ("street", "meadow", "room"),
    ),
)
