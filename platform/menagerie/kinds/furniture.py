"""Furniture: chair, desk, bed and an articulated lamp. Front is where one sits or lies; left as seen by the sitter."""

from __future__ import annotations

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, any_colour, pick, shade
from menagerie.figure import Figure, rotation
from menagerie.skeleton import SIDES, Kind, category

_ENDS = ((1.0, "front"), (-1.0, "back"))


def _wood(rng: np.random.Generator) -> Paint:
    colour = pick(rng, (150, 104, 62), (96, 62, 40), (196, 158, 110), (224, 220, 212), (60, 58, 60))
    return Paint(colour, shade(colour, 0.7), pattern="wood", scale=0.8, gloss=0.2)


def _cloth(rng: np.random.Generator) -> Paint:
    return Paint(
        any_colour(rng), any_colour(rng), pattern=str(rng.choice(["plain", "plaid", "bars", "dots"])), scale=1.5
    )


def chair(rng: np.random.Generator) -> Figure:
    figure, wood = Figure(), _wood(rng)
    seat = _cloth(rng) if rng.random() < 0.6 else wood
    deep, wide, high, back = (
        rng.uniform(0.40, 0.5),
        rng.uniform(0.40, 0.52),
        rng.uniform(0.75, 1.0),
        rng.uniform(0.75, 1.25),
    )
    lean, leg = rng.uniform(0.05, 0.25), rng.uniform(0.035, 0.06)
    figure.box((0, 0, high), (deep, wide, 0.045), seat)
    for side, word in SIDES:
        for end, place in _ENDS:
            corner = np.array([end * deep, side * wide, high])
            foot = np.array([end * (deep + 0.04), side * (wide + 0.02), 0.0])
            figure.rod(corner * np.array([0.92, 0.92, 1]), foot, leg, wood)
            figure.mark(f"{word}_{place}_foot", foot, 2 * leg)
            figure.mark(f"{word}_{place}_seat", corner, 0.12)
        top = np.array([-deep - lean, side * wide * 0.95, high + back])
        figure.rod((-deep, side * wide * 0.95, high), top, leg, wood)
        figure.mark(f"{word}_back_top", top, 0.12)
    if rng.random() < 0.5:
        low = 0.25
        figure.sheet(
            [(-deep - lean * low, wide, high + low * back), (-deep - lean, wide, high + back)],
            [(-deep - lean * low, -wide, high + low * back), (-deep - lean, -wide, high + back)],
            seat,
        )
    else:
        for share in (0.45, 0.7, 0.97):
            at = np.array([-deep - lean * share, 0, high + back * share])
            figure.box(at, (0.025, wide, 0.06), wood)
    figure.stand()
    return figure


def desk(rng: np.random.Generator) -> Figure:
    """The drawer tells front from back."""
    figure, wood = Figure(), _wood(rng)
    deep, wide, high = rng.uniform(0.45, 0.7), rng.uniform(0.8, 1.2), rng.uniform(0.75, 0.95)
    figure.box((0, 0, high), (deep, wide, 0.04), wood)
    for side, word in SIDES:
        for end, place in _ENDS:
            top, foot = (
                np.array([end * deep, side * wide, high]),
                np.array([end * deep * 0.92, side * wide * 0.93, 0.0]),
            )
            figure.rod(foot * np.array([1, 1, 0]) + np.array([0, 0, high]), foot, 0.05, wood)
            figure.mark(f"{word}_{place}_corner", top, 0.12)
            figure.mark(f"{word}_{place}_foot", foot, 0.1)
    drawer = Paint(any_colour(rng, (0.1, 0.6)), pattern="plain", gloss=0.2)
    figure.box((0.5 * deep, 0, high - 0.17), (0.5 * deep, 0.5 * wide, 0.11), drawer)
    figure.ball((deep + 0.04, 0, high - 0.17), 0.05, Paint((220, 190, 110), gloss=0.8))
    figure.stand()
    return figure


def bed(rng: np.random.Generator) -> Figure:
    """The head end is behind, the foot end in front."""
    figure, wood, cover = Figure(), _wood(rng), _cloth(rng)
    long, wide, head, foot = (
        rng.uniform(0.95, 1.1),
        rng.uniform(0.5, 0.85),
        rng.uniform(0.55, 0.95),
        rng.uniform(0.3, 0.5),
    )
    figure.box((0, 0, 0.22), (long, wide, 0.09), wood)
    figure.box((0.12, 0, 0.36), (long - 0.14, wide * 1.01, 0.09), cover)
    figure.box((-long + 0.28, 0, 0.36), (0.26, wide * 0.98, 0.085), Paint((236, 234, 228), pattern="plain"))
    figure.box((-long, 0, 0.5 * head + 0.1), (0.045, wide, 0.5 * head), wood)
    figure.box((long, 0, 0.5 * foot + 0.1), (0.04, wide, 0.5 * foot - 0.05), wood)
    pillow = Paint(any_colour(rng, (0.0, 0.4)), pattern="plain")
    for side, word in SIDES:
        for end, place, top in ((-long, "head", head + 0.1), (long, "foot", foot + 0.05)):
            figure.rod((end, side * wide, top), (end, side * wide, 0), 0.05, wood)
            figure.mark(f"{word}_{place}_post", (end, side * wide, top), 0.12)
            figure.mark(f"{word}_{place}_leg", (end, side * wide, 0), 0.1)
        spot = np.array([-long + 0.26, side * 0.48 * wide, 0.5])
        figure.ball(spot, [0.17, 0.40 * wide, 0.085], pillow)
        figure.mark(f"{word}_pillow", spot, 0.1)
    figure.stand()
    return figure


def lamp(rng: np.random.Generator) -> Figure:
    """A desk lamp of two arms; it leans forward over what it lights."""
    figure = Figure()
    metal = Paint(any_colour(rng), pattern="plain", gloss=0.6)
    steel = Paint((170, 172, 176), pattern="plain", gloss=0.8)
    figure.tube([(0, 0, 0), (0, 0, 0.05)], [0.34, 0.30], metal, (1, 0, 0), ring=16, cap=0.2)
    figure.mark("base_front", (0.33, 0, 0.03), 0.08)
    figure.mark("base_back", (-0.33, 0, 0.03), 0.08)
    first, second, tilt = (np.radians(rng.uniform(*r)) for r in ((65, 125), (-10, 60), (-75, -20)))
    joint = np.array([0, 0, 0.12])
    elbow = joint + rotation(0, first)[:, 0] * 0.75
    neck = elbow + rotation(0, second)[:, 0] * 0.7
    for gap in (-0.035, 0.035):
        figure.rod(joint + np.array([0, gap, 0]), elbow + np.array([0, gap, 0]), 0.022, steel)
        figure.rod(elbow + np.array([0, gap, 0]), neck + np.array([0, gap, 0]), 0.022, steel)
    for name, at in (("base_joint", joint), ("elbow", elbow), ("neck", neck)):
        figure.ball(at, 0.06, metal)
        figure.mark(name, at, 0.1)
    shade = rotation(np.radians(rng.normal(0, 14)), tilt)
    axis = shade[:, 0]
    mouth = neck + axis * 0.42
    figure.tube([neck - axis * 0.02, neck + axis * 0.14, mouth], [0.09, 0.15, 0.25], metal, shade[:, 1], ring=16, cap=0)
    figure.ball(neck + axis * 0.3, 0.1, Paint((255, 244, 200), pattern="plain", gloss=0.9))
    figure.mark("bulb_tip", neck + axis * 0.40, 0.1)
    figure.mark("shade_upper_rim", mouth + shade[:, 2] * 0.25, 0.08)
    figure.mark("shade_lower_rim", mouth - shade[:, 2] * 0.25, 0.08)
    for side, word in SIDES:
        figure.mark(f"{word}_shade_rim", mouth + shade[:, 1] * side * 0.25, 0.08)
    figure.stand()
    return figure


_INDOORS = View((5, 50), roll=4)

FURNITURE = (
    Kind(
        category(
            "chair",
            "furniture",
            "*front_seat *front_foot *back_seat *back_foot *back_top",
            "*front_foot-*front_seat-*back_seat-*back_foot *back_seat-*back_top left_front_seat-right_front_seat "
            "left_back_seat-right_back_seat left_back_top-right_back_top",
        ),
        chair,
        _INDOORS,
        ("room", "room", "street"),
    ),
    Kind(
        category(
            "desk",
            "furniture",
            "*front_corner *front_foot *back_corner *back_foot",
            "*front_foot-*front_corner-*back_corner-*back_foot left_front_corner-right_front_corner "
            "left_back_corner-right_back_corner",
        ),
        desk,
        _INDOORS,
        ("room",),
    ),
    Kind(
        category(
            "bed",
            "furniture",
            "*head_post *head_leg *foot_post *foot_leg *pillow",
            "*head_post-*head_leg-*foot_leg-*foot_post left_head_post-right_head_post left_foot_post-right_foot_post "
            "left_pillow-right_pillow",
        ),
        bed,
        View((12, 55), roll=4),
        ("room",),
    ),
    Kind(
        category(
            "lamp",
            "furniture",
            "base_front base_back base_joint elbow neck bulb_tip shade_upper_rim shade_lower_rim *shade_rim",
            "base_front-base_joint base_back-base_joint-elbow-neck-bulb_tip neck-shade_upper_rim neck-shade_lower_rim "
            "neck-*shade_rim",
        ),
        lamp,
        View((-15, 40), roll=4),
        ("room", "table"),
    ),
)
