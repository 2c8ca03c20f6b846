"""Working machines, which are not the same as their mirror image: an excavator and a tower crane."""

from __future__ import annotations

import numpy as np

from menagerie.camera import View
from menagerie.coats import Paint, pick
from menagerie.figure import Figure, rotation
from menagerie.kinds.vehicles import GLASS, STEEL, TYRE
from menagerie.skeleton import SIDES, Kind, category

_LIVERY = ((226, 178, 40), (220, 110, 40), (190, 60, 44), (70, 120, 170))


def excavator(rng: np.random.Generator) -> Figure:
    """Its cabin is on the left of the boom."""
    figure = Figure()
    paint, dark = Paint(pick(rng, *_LIVERY), pattern="plain", gloss=0.4), Paint((56, 54, 54), pattern="bars", scale=0.8)
    turn = rotation(rng.uniform(-0.9, 0.9))
    for side, word in SIDES:
        figure.tube(
            [(-0.75, side * 0.52, 0.2), (0.75, side * 0.52, 0.2)], np.array([[0.17, 0.2], [0.17, 0.2]]), dark, (0, 1, 0)
        )
        for x, place in ((0.9, "front"), (-0.9, "rear")):
            figure.mark(f"{word}_track_{place}", (x, side * 0.6, 0.2), 0.2)
    figure.rod((0, 0, 0.3), (0, 0, 0.5), 0.35, TYRE)

    def on(x: float, y: float, z: float) -> np.ndarray:
        return turn @ np.array([x, y, z])

    figure.box(on(-0.2, 0, 0.72), (0.72, 0.58, 0.24), paint, turn.T)
    figure.box(on(-0.82, 0, 0.78), (0.14, 0.58, 0.30), Paint((70, 70, 74), pattern="plain"), turn.T)
    figure.box(on(0.2, 0.34, 1.1), (0.34, 0.24, 0.42), GLASS, turn.T)
    figure.box(on(0.2, 0.34, 1.5), (0.37, 0.26, 0.04), paint, turn.T)
    figure.mark("cabin_front_top", on(0.57, 0.34, 1.52), 0.3)
    figure.mark("cabin_rear_top", on(-0.17, 0.34, 1.52), 0.3)
    figure.mark("counterweight", on(-0.96, 0, 0.85), 0.3)
    lift, fold, curl = (
        np.radians(rng.uniform(25, 65)),
        np.radians(rng.uniform(-110, -55)),
        np.radians(rng.uniform(-75, -10)),
    )
    side = turn[:, 1]
    root = on(0.45, -0.12, 0.75)
    bend = root + turn @ rotation(0, lift + 0.3)[:, 0] * 0.75
    stick = bend + turn @ rotation(0, lift - 0.55)[:, 0] * 0.85
    wrist = stick + turn @ rotation(0, lift + fold)[:, 0] * 0.85
    figure.tube([root, bend, stick], np.array([[0.10, 0.14], [0.10, 0.17], [0.08, 0.11]]), paint, side)
    figure.tube([stick, wrist], np.array([[0.08, 0.12], [0.06, 0.08]]), paint, side)
    figure.rod(on(0.62, -0.12, 0.75), (bend + stick) / 2, 0.04, STEEL)
    tooth = turn @ rotation(0, lift + fold + curl)[:, 0]
    inner = turn @ rotation(0, lift + fold + curl)[:, 2]
    tip = wrist + 0.46 * tooth
    bucket = [wrist, wrist + 0.2 * tooth + 0.2 * inner, tip + 0.16 * inner, tip]
    figure.sheet(
        np.array(bucket) + 0.24 * side, np.array(bucket) - 0.24 * side, Paint((90, 86, 82), pattern="plain", gloss=0.3)
    )
    for sign in (1, -1):
        figure.sheet(
            np.array(bucket[:2]) + sign * 0.24 * side,
            np.array([bucket[3], bucket[2]]) + sign * 0.24 * side,
            Paint((110, 104, 98), pattern="plain"),
        )
    for name, at in (
        ("boom_base", root),
        ("boom_bend", bend),
        ("boom_tip", stick),
        ("stick_tip", wrist),
        ("bucket_tip", tip),
    ):
        figure.mark(name, at, 0.2)
    figure.stand()
    return figure


def tower_crane(rng: np.random.Generator) -> Figure:
    """Its cabin hangs on the right of the mast."""
    figure = Figure()
    paint = Paint(pick(rng, *_LIVERY), pattern="plain", gloss=0.3)
    high, reach, counter = rng.uniform(2.4, 3.4), rng.uniform(2.0, 2.9), rng.uniform(0.8, 1.2)
    turn = rotation(rng.uniform(0, 6.28))

    def on(x: float, y: float, z: float) -> np.ndarray:
        return turn @ np.array([x, y, high + z])

    _truss(figure, np.array([0, 0, 0.0]), np.array([0, 0, high]), 0.15, paint)
    figure.box((0, 0, 0.05), (0.42, 0.42, 0.07), Paint((150, 148, 142), pattern="mottled"))
    _truss(figure, on(-counter, 0, 0.1), on(reach, 0, 0.1), 0.10, paint)
    apex, tip, end = on(0, 0, 0.72), on(reach, 0, 0.12), on(-counter, 0, 0.12)
    figure.tube([on(0, 0, 0), apex], [0.13, 0.03], paint, turn[:, 1], ring=6)
    figure.rod(apex, on(0.72 * reach, 0, 0.2), 0.018, STEEL)
    figure.rod(apex, on(-0.85 * counter, 0, 0.2), 0.018, STEEL)
    figure.box(on(-0.85 * counter, 0, -0.12), (0.2, 0.16, 0.22), Paint((140, 138, 132), pattern="mottled"), turn.T)
    figure.box(on(0.16, -0.26, -0.12), (0.17, 0.13, 0.17), Paint((226, 228, 226), pattern="plain", gloss=0.4), turn.T)
    figure.box(on(0.25, -0.26, -0.09), (0.10, 0.135, 0.09), GLASS, turn.T)
    where, drop = rng.uniform(0.4, 0.95) * reach, rng.uniform(0.5, 0.75 * high)
    trolley, hook = on(where, 0, 0.0), on(where, 0, -drop)
    figure.box(trolley, (0.11, 0.12, 0.05), TYRE, turn.T)
    figure.rod(trolley, hook, 0.014, TYRE)
    figure.box(
        hook - np.array([0, 0, 0.14]),
        (0.16, 0.16, 0.14),
        Paint(pick(rng, (150, 90, 60), (110, 120, 130)), pattern="wood"),
        turn.T,
    )
    marks = {
        "base": np.array([0, 0, 0.1]), "mast_middle": np.array([0, 0, high / 2]), "mast_top": on(0, 0, 0), "apex": apex,
        "jib_middle": on(reach / 2, 0, 0.1),
        "jib_tip": tip, "counter_jib_tip": end, "trolley": trolley, "hook": hook, "cabin": on(0.16, -0.3, -0.12),
    }  # fmt: skip
    for name, at in marks.items():
        figure.mark(name, at, 0.28)
    return figure


def _truss(figure: Figure, one: np.ndarray, other: np.ndarray, half: float, paint: Paint) -> None:
    """Four chords and the lacing between them."""
    along = (other - one) / np.linalg.norm(other - one)
    first = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    second = np.cross(along, first)
    corners = [half * (a * first + b * second) for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    for corner in corners:
        figure.tube([one + corner, other + corner], 0.022, paint, first, steps=1, ring=5, cap=0)
    bays = max(2, round(float(np.linalg.norm(other - one)) / (3 * half)))
    steps = one + np.linspace(0, 1, bays + 1)[:, None] * (other - one)
    for i in range(bays):
        for k in range(4):
            figure.tube(
                [steps[i] + corners[k], steps[i + 1] + corners[(k + 1) % 4]],
                0.014,
                paint,
                along + 0.1 * first,
                steps=1,
                ring=4,
                cap=0,
            )


MACHINES = (
    Kind(
        category(
            "excavator",
            "machine",
            "*track_front *track_rear cabin_front_top cabin_rear_top counterweight boom_base boom_bend boom_tip "
            "stick_tip bucket_tip",
            "*track_front-*track_rear counterweight-cabin_rear_top-cabin_front_top-boom_base-boom_bend-boom_tip"
            "-stick_tip-bucket_tip",
            mirrored=False,
        ),
        excavator,
        View((0, 35), roll=4),
        ("rock", "soil", "street", "savanna"),
    ),
    Kind(
        category(
            "tower_crane",
            "machine",
            "base mast_middle mast_top apex jib_middle jib_tip counter_jib_tip trolley hook cabin",
            "base-mast_middle-mast_top-apex mast_top-jib_middle-jib_tip mast_top-counter_jib_tip apex-jib_tip "
            "apex-counter_jib_tip trolley-hook mast_top-cabin",
            mirrored=False,
        ),
        tower_crane,
        View((-15, 25), roll=4),
        ("street", "meadow", "sky"),
    ),
)
