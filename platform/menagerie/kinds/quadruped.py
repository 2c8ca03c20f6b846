"""The body of every four-legged animal, built from its ``Species`` and posed in a ``Stance``.

The unit is the trunk from hip to shoulder joint. Keypoints are AP-10K's, placed anatomically: hip, knee (stifle) and
paw of a hind leg, shoulder, elbow and paw of a front leg, the neck at its base.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from menagerie.coats import Paint, tinted_alike
from menagerie.figure import Figure, rotation
from menagerie.kinds.anatomy import Frame, Species
from menagerie.kinds.gait import Stance, draw_stance
from menagerie.kinds.headgear import ears, horns, manes, trunk_and_tusks


def build(species: Species, rng: np.random.Generator) -> Figure:
    """The species in a random stance; proportions and colours vary between individuals."""
    species = _individual(species, rng)
    stance = draw_stance(rng, species.zigzag, species.can_sit)
    figure = Figure()
    body = rotation(0, np.radians(stance.pitch), np.radians(stance.roll))
    _trunk(figure, species, stance, body)
    for i, side in enumerate((1, -1, 1, -1)):
        _leg(figure, species, stance, body, front=i < 2, side=side, angles=stance.legs[i])
    head = _neck(figure, species, stance, body)
    _head(figure, species, head)
    manes(figure, species, rng, head, _spine(species, stance, body, 0.5))
    _tail(figure, species, stance, body)
    figure.turn(rotation(roll=np.radians(stance.topple)))
    figure.stand()
    return figure


def _individual(species: Species, rng: np.random.Generator) -> Species:
    lengths = ("chest", "loin", "rump", "front", "back", "neck", "head", "muzzle", "ear_size", "tail", "ankle")
    changes: dict[str, float] = {name: getattr(species, name) * rng.normal(1, 0.06) for name in lengths}
    coat = species.coat
    base, mark = tinted_alike(rng, (coat.base, coat.mark))
    coat = replace(coat, base=base, mark=mark, scale=coat.scale * rng.uniform(0.85, 1.2))
    return replace(species, coat=coat, **changes)


def _spine(species: Species, stance: Stance, body: np.ndarray, along: float) -> Frame:
    """The middle of the trunk at ``along``, -0.5 at the hips to 0.5 at the shoulders."""
    bend = np.radians(stance.bend)
    turn = bend * along
    sideways = 0.5 * bend * along * along
    high = (
        max(species.rump, species.chest) + species.slope * along + species.hump * np.exp(-(((along - 0.3) / 0.22) ** 2))
    )
    half = float(np.interp(along, [-0.5, -0.1, 0.35], [species.rump, species.loin, species.chest]))
    return Frame(body @ np.array([along, sideways, high - half]), body @ rotation(turn))


def _trunk(figure: Figure, species: Species, stance: Stance, body: np.ndarray) -> None:
    stations = np.array([-0.64, -0.48, -0.25, 0.0, 0.3, 0.5, 0.62])
    half = np.interp(stations, [-0.5, -0.1, 0.35], [species.rump, species.loin, species.chest])
    half = half * np.array([0.55, 1, 1, 1, 1.02, 0.9, 0.62])
    wide = half * species.width * np.array([0.85, 1, 1.05, 1.1, 1.0, 0.85, 0.8])
    frames = [_spine(species, stance, body, s) for s in stations]
    path = [f.point(up=0.25 * species.rump if i == 0 else 0.0) for i, f in enumerate(frames)]
    coat = replace(species.coat, tip=None)
    figure.tube(path, np.stack([wide, half], 1), coat, body[:, 1], ring=18, cap=0.7)


def _leg(
    figure: Figure, species: Species, stance: Stance, body: np.ndarray, *, front: bool, side: int, angles: np.ndarray
) -> None:
    along, half = (0.40, species.chest) if front else (-0.44, species.rump)
    frame = _spine(species, stance, body, along)
    wide = half * species.width * (0.78 if front else 0.80)
    joint = frame.point(left=side * wide, up=-0.15 * half if front else -0.08 * half)
    length = species.front if front else species.back
    shares = np.array([0.36, 0.35, 0.27]) if front else np.array([0.38, 0.38, 0.33])
    heading = frame.axes[:, :2] @ np.array([1.0, 0.0])
    forward = np.array([heading[0], heading[1], 0.0]) / np.hypot(heading[0], heading[1])
    left = np.array([-forward[1], forward[0], 0.0])
    swing = np.radians(angles)[:, None]
    out = left * side * np.array([0.10, 0.02, 0.0])[:, None]
    steps = np.sin(swing) * forward - np.cos(swing) * np.array([0, 0, 1.0]) + out
    joints = joint + np.vstack([np.zeros(3), np.cumsum(steps * (length * shares)[:, None], 0)])
    _leg_surfaces(figure, species, joints, forward, left, front)
    word = f"{'left' if side > 0 else 'right'}_"
    names = ("shoulder", "elbow", "front_paw") if front else ("hip", "knee", "back_paw")
    thick = species.thigh
    for name, at, reach in zip(names, joints[[0, 1, 3]], (1.5 * thick, 1.1 * thick, 1.8 * species.foot), strict=True):
        figure.mark(word + name, at, reach)


def _leg_surfaces(
    figure: Figure, species: Species, joints: np.ndarray, forward: np.ndarray, left: np.ndarray, front: bool
) -> None:
    top, low = species.thigh, species.ankle
    middle = low + 0.33 * (top - low)
    path = [joints[0], (joints[0] + joints[1]) / 2, joints[1], (joints[1] + joints[2]) / 2, joints[2], joints[3]]
    deep = [top * (1.1 if front else 1.2), top * (1.0 if front else 1.22), top * 0.72, middle, low * 1.25, low]
    thin = [top * 0.62, top * 0.66, top * 0.55, middle * 0.85, low * 1.05, low * 0.95]
    figure.tube(path, np.stack([thin, deep], 1), replace(species.coat, belly=None), left, steps=3, cap=0.6)
    foot = species.foot
    if species.hoof is None:
        paint = replace(species.coat, base=species.coat.tip or species.coat.base, pattern="fur", belly=None)
        figure.tube(
            [joints[3] - forward * 0.2 * foot, joints[3] + forward * 0.9 * foot - np.array([0, 0, 0.25 * foot])],
            [foot * 0.95, foot * 0.85],
            paint,
            left,
        )
    else:
        tip = joints[3] + forward * 0.35 * foot - np.array([0, 0, 1.1 * foot])
        figure.tube([joints[3], tip], [low * 1.05, foot * 1.05], Paint(species.hoof, gloss=0.2), left, cap=0.3)


def _neck(figure: Figure, species: Species, stance: Stance, body: np.ndarray) -> Frame:
    base = _spine(species, stance, body, 0.46)
    root = base.point(up=0.25 * species.chest)
    yaw, pitch = np.radians(stance.bend * 0.5), np.radians(species.neck_pitch + 0.6 * stance.pitch)
    half_turn, lift = np.radians(stance.neck_turn) / 2, np.radians(stance.neck) / 2
    first = rotation(yaw + half_turn, pitch + lift)[:, 0]
    second_axes = rotation(yaw + 2 * half_turn, pitch + 2 * lift)
    middle = root + first * species.neck * 0.5
    end = middle + second_axes[:, 0] * species.neck * 0.5
    thick = np.array([species.neck_base, (species.neck_base + species.neck_top) / 2, species.neck_top])
    start = root - first * 0.12
    path = [start, root + first * 0.12 * species.neck, middle, end]
    radii = np.stack([0.74 * thick[[0, 0, 1, 2]], thick[[0, 0, 1, 2]]], 1)
    across = rotation(yaw + half_turn)[:, 1]
    figure.tube(path, radii, replace(species.coat, tip=None), across, ring=14, cap=0.6)
    figure.mark("neck", root + first * 0.18 * species.neck, 1.35 * species.neck_base)
    turn = yaw + 2 * half_turn + np.radians(stance.head_turn)
    return Frame(end, rotation(turn, np.radians(species.head_pitch + stance.head + 0.35 * stance.neck)))


def _head(figure: Figure, species: Species, head: Frame) -> None:
    """Skull, jaw, eyes and nose; the head's frame starts where the neck ends."""
    length, skull, muzzle, begin = species.head, species.skull, species.muzzle, species.muzzle_from
    along = np.array([-0.18, 0.05, 0.30, begin, (1 + begin) / 2, 0.93]) * length
    radius = np.array([0.75, 1.0, 0.94, 0.0, 0.0, 0.0]) * skull + np.array([0, 0, 0, 1.12, 1.0, 0.88]) * muzzle
    drop = np.array([0.0, 0.05, 0.0, -0.25, -0.38, -0.42]) * (skull - 0.35 * muzzle)
    path = [head.point(forward=a, up=d) for a, d in zip(along, drop, strict=True)]
    face = replace(
        species.coat,
        tip=species.muzzle_colour or species.coat.base,
        tip_from=0.72,
        scale=species.coat.scale * (1.7 if species.coat.pattern in ("stripes", "bands") else 1.2),
    )
    figure.tube(path, np.stack([radius * 0.88, radius], 1), face, head.axes[:, 1], ring=14, cap=0.6)
    jaw = replace(face, base=face.belly or face.base, pattern="fur")
    low = [
        head.point(a * length, 0, d)
        for a, d in (
            (0.2, -0.55 * skull),
            (begin, -0.75 * muzzle - 0.25 * skull),
            (0.86, -0.95 * muzzle - 0.25 * skull),
        )
    ]
    figure.tube(low, np.array([0.6 * skull, 0.62 * muzzle, 0.5 * muzzle]), jaw, head.axes[:, 1])
    nose = head.point(0.99 * length, 0, drop[-1] + 0.32 * muzzle)
    figure.ball(nose, np.array([0.3, 0.52, 0.36]) * muzzle, Paint(species.nose_colour, gloss=0.4), head.axes.T)
    figure.mark("nose", nose, 0.9 * muzzle)
    eye_at, angle = 0.34, np.radians(species.eye_side)
    around = np.interp(eye_at * length, along, radius)
    for side, word in ((1, "left"), (-1, "right")):
        spot = head.point(eye_at * length, side * np.sin(angle) * around * 0.86, np.cos(angle) * around * 0.95)
        if species.eye_patch:
            patch = spot - head.axes @ np.array([0.0, side * 0.6, 0.3]) * species.eye
            figure.ball(patch, np.array([2.2, 1.3, 1.7]) * species.eye, Paint(species.eye_patch), head.axes.T)
        figure.ball(spot, species.eye, Paint((22, 16, 12), pattern="plain", gloss=0.9))
        figure.mark(f"{word}_eye", spot, 1.9 * species.eye)
        ears(figure, species, head, side)
    horns(figure, species, head)
    trunk_and_tusks(figure, species, head)


def _tail(figure: Figure, species: Species, stance: Stance, body: np.ndarray) -> None:
    rump = _spine(species, stance, body, -0.58)
    root = rump.point(up=0.62 * species.rump, forward=-0.05)
    figure.mark("root_of_tail", root, 0.55 * species.rump)
    pitch = np.radians(species.tail_pitch + stance.tail + stance.pitch * 0.3)
    sway = np.radians(stance.tail_sway)
    curl = np.radians(species.tail_pitch) * 0.9
    path = [rump.point(up=0.5 * species.rump, forward=0.03), root]
    for i in range(3):
        direction = rotation(sway * (i + 1) / 2, pitch + curl * (i - 1) * 0.5)
        back = rump.axes @ (direction @ np.array([1.0, 0, 0]) * np.array([-1.0, 1.0, 1.0]))
        path.append(path[-1] + back * species.tail / 3)
    wide = species.tail_width
    shape = {"bush": [0.9, 1.2, 2.3, 2.6, 0.7], "hair": [1.1, 1.4, 2.2, 2.0, 0.5]}.get(
        species.brush, [1.3, 1.2, 1, 0.85, 0.6]
    )
    paint = replace(species.coat, belly=None)
    if species.brush == "hair":
        paint = Paint(species.mane_colour)
    figure.tube(path, np.array(shape) * wide, paint, rump.axes[:, 1], steps=3)
    if species.brush == "tuft":
        end, ahead = path[-1], (path[-1] - path[-2]) / (np.linalg.norm(path[-1] - path[-2]) + 1e-9)
        figure.tube(
            [end - 0.02 * ahead, end + 0.08 * ahead, end + 0.15 * ahead],
            np.array([1, 1.9, 0.4]) * wide,
            Paint(species.mane_colour),
            rump.axes[:, 1],
        )
