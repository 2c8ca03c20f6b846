"""How four-legged animals hold themselves: one ``Stance`` per picture, from galloping to lying on the side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FRONT_REST, BACK_REST = np.array([-20.0, 6.0, 0.0]), np.array([22.0, -36.0, 4.0])
"""Angles of a standing leg's three segments against the vertical in degrees; positive points forward."""


MANNERS = {
    "stand": 0.12, "walk": 0.22, "run": 0.18, "graze": 0.12, "sit": 0.10, "lie": 0.08, "rear": 0.09, "topple": 0.09
}  # fmt: skip
"""How often each is drawn."""


@dataclass(frozen=True)
class Stance:
    legs: np.ndarray
    """(4, 3) degrees against the vertical: left front, right front, left back, right back."""
    pitch: float
    """Of the trunk, nose up, degrees."""
    roll: float
    bend: float
    """Sideways curve of the trunk, degrees from hip to shoulder."""
    neck: float
    """Degrees added to the neck's own pitch."""
    neck_turn: float
    head: float
    """Degrees added to the head's own pitch."""
    head_turn: float
    tail: float
    """Degrees added to the tail's own pitch."""
    tail_sway: float
    topple: float = 0.0
    """Degrees by which the whole animal lies on its side."""


def draw_stance(rng: np.random.Generator, zigzag: float, can_sit: bool) -> Stance:
    """A random stance. ``zigzag`` scales the angles between a leg's segments: 1 for runners, less for columns."""
    manner = rng.choice(list(MANNERS), p=list(MANNERS.values()))
    if manner == "sit" and not can_sit:
        manner = "walk"
    pitch, neck = rng.normal(0, 3), rng.normal(0, 12)
    legs = np.stack([FRONT_REST, FRONT_REST, BACK_REST, BACK_REST]) * zigzag + rng.normal(0, 2.5, (4, 1))
    if manner in ("stand", "graze"):
        legs += rng.normal(0, 6, (4, 1))
    elif manner in ("walk", "run"):
        legs += _stride(rng, galloping=manner == "run") * (0.55 + 0.45 * zigzag)
        pitch += rng.normal(0, 7) if manner == "run" else 0
    elif manner == "sit":
        pitch = rng.uniform(32, 48)
        legs[:2] = np.array([-14.0, 4.0, 2.0]) + rng.normal(0, 4, (2, 1))
        legs[2:] = np.array([62.0, -62.0, 62.0]) + rng.normal(0, 5, (2, 1))
        neck -= 15
    elif manner == "rear":
        pitch = rng.uniform(32, 62)
        legs[:2] = np.array([42.0, 75.0, 5.0]) + rng.normal(0, 14, (2, 1))
        legs[2:] += np.array([14.0, 4.0, 4.0]) + rng.normal(0, 8, (2, 1))
        neck -= 20
    elif manner == "topple":
        legs += rng.normal(0, 14, (4, 1))
    else:
        legs[:2] = np.array([-42.0, 78.0, 86.0]) + rng.normal(0, 5, (2, 1))
        legs[2:] = np.array([68.0, -70.0, 80.0]) + rng.normal(0, 5, (2, 1))
    if manner == "graze":
        neck -= rng.uniform(45, 75)
    return Stance(
        legs=legs,
        pitch=pitch,
        roll=rng.normal(0, 2),
        bend=rng.normal(0, 14),
        neck=neck,
        neck_turn=rng.normal(0, 24),
        head=rng.normal(0, 14) + (10 if manner == "graze" else 0),
        head_turn=rng.normal(0, 24),
        tail=rng.normal(0, 16),
        tail_sway=rng.normal(0, 30),
        topple=float(rng.choice([-1, 1]) * rng.uniform(65, 100)) if manner == "topple" else 0.0,
    )


def _stride(rng: np.random.Generator, galloping: bool) -> np.ndarray:
    """(4, 3) degrees: every leg swings as a whole, and folds while it is brought forward."""
    start = rng.uniform(0, 2 * np.pi)
    gait = [0.0, 0.5, 2.6, 3.1] if galloping else [0.0, np.pi, 1.2 * np.pi, 0.2 * np.pi]
    phase = start + np.asarray(gait)
    swing = (rng.uniform(28, 42) if galloping else rng.uniform(14, 26)) * np.sin(phase)[:, None]
    fold = np.clip(np.cos(phase), 0, 1)[:, None] * (1.0 if galloping else 0.6)
    front, back = np.array([[18.0, 12.0, -78.0]]), np.array([[26.0, -34.0, 12.0]])
    return swing + fold * np.concatenate([front, front, back, back])
