"""Birds: a perched songbird, a wading heron and an eagle on the wing."""

from __future__ import annotations

import numpy as np

from menagerie.camera import View
from menagerie.coats import Colour, Paint, pick, shade
from menagerie.figure import Figure, rotation
from menagerie.skeleton import SIDES, Kind, category

EYE = Paint((20, 16, 12), pattern="plain", gloss=0.9)
LEG = Paint((196, 138, 52), gloss=0.2)


def songbird(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (70, 110, 170), (150, 92, 54), (196, 60, 44), (92, 112, 60), (206, 176, 60), (88, 84, 82))
    plumage = Paint(coat, (60, 52, 46), belly=pick(rng, (236, 222, 198), (222, 130, 74), (236, 214, 96)), pattern="fur")
    wing = Paint(shade(coat, 0.72), (230, 224, 212), pattern="bars", scale=0.55)
    body = rotation(0, np.radians(rng.uniform(10, 48)))
    trunk = [body @ np.array([x, 0, 0]) for x in (-0.52, -0.3, 0.0, 0.28, 0.42)]
    figure.tube(trunk, np.array([0.07, 0.2, 0.30, 0.26, 0.16]), plumage, (0, 1, 0), ring=16)
    turn = body @ rotation(np.radians(rng.normal(0, 35)), np.radians(rng.normal(-18, 14)))
    at = body @ np.array([0.50, 0, 0.17])
    figure.ball(at, 0.205, plumage)
    beak = at + turn @ np.array([0.40, 0, -0.04])
    figure.tube([at + turn @ np.array([0.14, 0, 0.0]), beak], [0.075, 0.012], pick_beak(rng), turn[:, 1])
    _eyes(figure, at, turn, np.array([0.11, 0.155, 0.055]), 0.034)
    figure.mark("beak", beak, 0.06)
    for name, place in (
        ("crown", (-0.02, 0, 0.2)),
        ("forehead", (0.15, 0, 0.12)),
        ("throat", (0.11, 0, -0.15)),
        ("nape", (-0.18, 0, 0.05)),
    ):
        figure.mark(name, at + turn @ np.array(place), 0.09)
    figure.mark("breast", body @ np.array([0.36, 0, -0.16]), 0.14)
    figure.mark("belly", body @ np.array([0.0, 0, -0.28]), 0.14)
    figure.mark("back", body @ np.array([0.0, 0, 0.28]), 0.14)
    for side, word in SIDES:
        shoulder, tip = body @ np.array([0.26, side * 0.2, 0.08]), body @ np.array([-0.62, side * 0.1, 0.06])
        middle = body @ np.array([-0.08, side * 0.285, 0.04])
        figure.tube([shoulder, middle, tip], np.array([[0.07, 0.15], [0.06, 0.18], [0.02, 0.05]]), wing, body[:, 1])
        figure.mark(f"{word}_wing", middle + np.array([0, side * 0.05, 0]), 0.12)
        knee = body @ np.array([-0.05, side * 0.12, -0.24])
        foot = np.array([knee[0] + 0.08, side * 0.14, knee[2] - 0.3])
        figure.rod(knee, foot, 0.026, LEG)
        for spread in (-0.5, 0.0, 0.5, np.pi):
            toe = rotation(spread)[:, 0] * 0.13
            figure.rod(foot, foot + toe, 0.02, LEG, 0.012)
        figure.mark(f"{word}_leg", (knee + foot) / 2, 0.06)
    end = body @ np.array([-1.05, 0, -0.02])
    fan = np.array([[-1.0], [0.0], [1.0]]) * body[:, 1]
    figure.sheet(trunk[0] + fan * 0.07 + body[:, 2] * 0.03, end + fan * 0.15, wing)
    figure.mark("tail", end, 0.07)
    figure.stand()
    return figure


def heron(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (128, 140, 156), (236, 236, 232), (226, 150, 140))
    plumage = Paint(coat, (84, 90, 104), belly=(238, 236, 230), pattern="fur")
    pitch = rotation(0, np.radians(rng.uniform(8, 35)))
    body = [pitch @ np.array([x, 0, 0]) for x in (-0.55, -0.3, 0.0, 0.28, 0.42)]
    figure.tube(body, np.array([0.05, 0.15, 0.22, 0.19, 0.12]), plumage, (0, 1, 0), ring=16)
    heading = np.cumsum(
        [
            np.radians(rng.uniform(35, 60)),
            np.radians(rng.uniform(20, 60)),
            np.radians(rng.uniform(-30, 0)),
            np.radians(rng.uniform(-60, -30)),
        ]
    )
    turn = np.radians(rng.normal(0, 18))
    neck = [body[-1]]
    for i, angle in enumerate(heading):
        neck.append(neck[-1] + rotation(turn * (i + 1) / 2, angle)[:, 0] * 0.25)
    figure.tube(neck, np.array([0.11, 0.075, 0.055, 0.05, 0.05]), plumage, (0, 1, 0))
    head = rotation(2 * turn, np.radians(rng.normal(-12, 12)))
    figure.ball(neck[-1] + head[:, 0] * 0.05, [0.12, 0.075, 0.075], plumage, head.T)
    beak = neck[-1] + head @ np.array([0.52, 0, -0.04])
    figure.tube([neck[-1] + head[:, 0] * 0.12, beak], [0.045, 0.008], LEG, head[:, 1])
    crest = Paint((30, 30, 36))
    figure.rod(
        neck[-1] + head @ np.array([0.05, 0, 0.06]), neck[-1] + head @ np.array([-0.26, 0, 0.05]), 0.024, crest, 0.006
    )
    _eyes(figure, neck[-1], head, np.array([0.09, 0.062, 0.03]), 0.02)
    figure.mark("beak_tip", beak, 0.05)
    for name, i, reach in (("neck_top", 4, 0.08), ("neck_middle", 2, 0.08), ("neck_base", 0, 0.16)):
        figure.mark(name, neck[i], reach)
    figure.mark("back", pitch @ np.array([0, 0, 0.2]), 0.1)
    tail = pitch @ np.array([-0.78, 0, -0.02])
    figure.sheet(body[0] + np.outer([-0.05, 0.05], [0, 1, 0]), tail + np.outer([-0.09, 0.09], [0, 1, 0]), plumage)
    figure.mark("tail_tip", tail, 0.06)
    stride = rng.normal(0, 16)
    for side, word in SIDES:
        wing = [
            pitch @ np.array([x, side * y, z])
            for x, y, z in ((0.3, 0.14, 0.05), (-0.1, 0.21, 0.03), (-0.62, 0.07, 0.0))
        ]
        figure.tube(
            wing,
            np.array([[0.05, 0.12], [0.05, 0.15], [0.02, 0.04]]),
            Paint(shade(coat, 0.75), (50, 54, 64), pattern="bars", scale=0.5),
            (0, 1, 0),
        )
        hip = pitch @ np.array([-0.02, side * 0.09, -0.16])
        ahead = np.radians(side * stride)
        knee = hip + np.array([0.4 * np.sin(ahead) - 0.03, 0, -0.42])
        foot = knee + np.array([0.4 * np.sin(ahead) + 0.04 - 0.25 * max(0, -side * stride / 30), 0, -0.45])
        figure.rod(hip, knee, 0.032, LEG, 0.022)
        figure.rod(knee, foot, 0.024, LEG, 0.02)
        figure.ball(knee, 0.034, LEG)
        for spread in (-0.5, 0.0, 0.5, np.pi):
            figure.rod(foot, foot + rotation(spread)[:, 0] * 0.15, 0.017, LEG, 0.01)
        figure.mark(f"{word}_ankle", knee, 0.05)
        figure.mark(f"{word}_foot", foot, 0.05)
    figure.stand()
    return figure


def eagle(rng: np.random.Generator) -> Figure:
    figure = Figure()
    coat = pick(rng, (126, 90, 60), (104, 90, 82), (160, 122, 84))
    plumage = Paint(coat, (46, 34, 26), pattern="mottled")
    pale = Paint(pick(rng, (238, 232, 220), (196, 160, 104)), pattern="fur")
    trunk = [(x, 0, 0) for x in (-0.5, -0.25, 0.0, 0.25, 0.42)]
    figure.tube(trunk, np.array([0.08, 0.15, 0.19, 0.16, 0.12]), plumage, (0, 1, 0), ring=14)
    turn = rotation(np.radians(rng.normal(0, 22)), np.radians(rng.normal(-10, 10)))
    at = np.array([0.52, 0, 0.03])
    figure.ball(at, [0.15, 0.115, 0.115], pale, turn.T)
    beak = at + turn @ np.array([0.27, 0, -0.08])
    figure.tube(
        [at + turn @ np.array([0.1, 0, 0.01]), at + turn @ np.array([0.22, 0, 0.0]), beak],
        [0.06, 0.04, 0.01],
        LEG,
        turn[:, 1],
    )
    _eyes(figure, at, turn, np.array([0.08, 0.092, 0.045]), 0.024)
    figure.mark("beak_tip", beak, 0.05)
    figure.mark("neck", (0.40, 0, 0.03), 0.16)
    figure.mark("tail_base", (-0.5, 0, 0.04), 0.12)
    fan = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    figure.sheet(
        np.stack([0 * fan - 0.48, 0.08 * fan, 0 * fan], 1),
        np.stack([-0.92 + 0.06 * np.abs(fan), 0.26 * fan, 0 * fan], 1),
        Paint(pale.base, coat, pattern="bars", scale=0.4),
    )
    figure.mark("tail_tip", (-0.92, 0, 0), 0.06)
    flap, sweep = np.radians(rng.uniform(-30, 45)), np.radians(rng.uniform(-15, 18))
    for side, word in SIDES:
        _wing(figure, side, word, flap + np.radians(rng.normal(0, 6)), sweep, plumage, coat)
        foot = np.array([-0.38, side * 0.1, -0.2])
        figure.rod((-0.15, side * 0.08, -0.12), foot, 0.04, plumage, 0.025)
        figure.ball(foot, [0.07, 0.04, 0.03], LEG)
        figure.mark(f"{word}_foot", foot, 0.06)
    figure.turn(rotation(0, np.radians(rng.normal(0, 14)), np.radians(rng.normal(0, 18))))
    return figure


def _wing(figure: Figure, side: float, word: str, flap: float, sweep: float, plumage: Paint, coat: Colour) -> None:
    def outward(angle: float, ahead: float) -> np.ndarray:
        return np.array([np.sin(ahead), side * np.cos(angle) * np.cos(ahead), np.sin(angle)])

    shoulder = np.array([0.26, side * 0.12, 0.06])
    wrist = shoulder + 0.52 * outward(flap, sweep + 0.25)
    tip = wrist + 0.72 * outward(0.3 * flap, sweep - 0.38)
    front = np.stack([shoulder, (shoulder + wrist) / 2, wrist, (wrist + tip) / 2, tip])
    chord = np.array([0.46, 0.44, 0.42, 0.34, 0.10])[:, None]
    rear = front + chord * np.array([-1.0, 0.0, -0.06])
    feathers = Paint(shade(coat, 0.8), shade(coat, 1.45), pattern="bars", scale=0.5, tip=(30, 26, 24), tip_from=0.85)
    figure.sheet(front, rear, feathers, bulge=(0, 0, 0.03))
    figure.tube(front[[0, 2, 4]], [0.06, 0.045, 0.012], plumage, (1, 0, 0), ring=8)
    for share in (0.0, 0.22, 0.44):
        start = tip + (wrist - tip) * share * 0.5 + np.array([-0.08, 0, 0])
        figure.rod(start, start + 0.22 * outward(0.3 * flap, sweep - 0.6 - share), 0.025, Paint((34, 30, 28)), 0.012)
    figure.mark(f"{word}_shoulder", shoulder, 0.14)
    figure.mark(f"{word}_wrist", wrist, 0.08)
    figure.mark(f"{word}_wing_tip", tip, 0.06)


def _eyes(figure: Figure, head: np.ndarray, axes: np.ndarray, at: np.ndarray, radius: float) -> None:
    for side, word in SIDES:
        spot = head + axes @ (at * np.array([1, side, 1]))
        figure.ball(spot, radius, EYE)
        figure.mark(f"{word}_eye", spot, 2 * radius)


def pick_beak(rng: np.random.Generator) -> Paint:
    return Paint(pick(rng, (60, 52, 46), (230, 150, 50), (214, 190, 120)), gloss=0.3)


BIRDS = (
    Kind(
        category(
            "songbird",
            "bird",
            "beak forehead crown nape throat *eye back breast belly *wing *leg tail",
            "beak-forehead-crown-nape-back-tail beak-throat-breast-belly-tail beak-*eye back-*wing belly-*leg",
        ),
        songbird,
        View((-8, 40)),
        ("forest", "meadow", "leaf", "soil"),
    ),
    Kind(
        category(
            "heron",
            "bird",
            "beak_tip *eye neck_top neck_middle neck_base back tail_tip *ankle *foot",
            "beak_tip-*eye-neck_top neck_top-neck_middle-neck_base-back-tail_tip back-*ankle-*foot",
        ),
        heron,
        View((-6, 30)),
        ("meadow", "rock", "savanna", "soil"),
    ),
    Kind(
        category(
            "eagle",
            "bird",
            "beak_tip *eye neck tail_base tail_tip *shoulder *wrist *wing_tip *foot",
            "beak_tip-*eye beak_tip-neck-tail_base-tail_tip neck-*shoulder-*wrist-*wing_tip tail_base-*foot",
        ),
        eagle,
        View((-45, 60), roll=15),
        ("sky", "sky", "forest"),
    ),
)
