"""What insects, spiders and crabs have in common: jointed legs and a pair of eyes."""

from __future__ import annotations

import numpy as np

from menagerie.coats import Paint
from menagerie.figure import Figure, rotation
from menagerie.skeleton import SIDES

EYE = Paint((18, 14, 12), pattern="plain", gloss=0.9)


def leg(
    figure: Figure,
    joint: np.ndarray,
    heading: float,
    reach: float,
    paint: Paint,
    thick: float,
    name: str,
    rise: float = 0.45,
) -> None:
    """A leg that goes up and out to its knee, then down to its foot; both are marked."""
    out = rotation(heading)[:, 0]
    knee = joint + reach * (0.48 * out + np.array([0, 0, rise]))
    shin = joint + reach * (0.85 * out + np.array([0, 0, 0.1 * rise]))
    foot = joint + reach * out
    foot[2] = 0.0
    figure.rod(joint, knee, thick, paint, 0.85 * thick)
    figure.rod(knee, shin, 0.8 * thick, paint, 0.6 * thick)
    figure.rod(shin, foot, 0.55 * thick, paint, 0.35 * thick)
    figure.mark(f"{name}_knee", knee, 2.5 * thick)
    figure.mark(f"{name}_foot", foot, 2.5 * thick)


def eyes(figure: Figure, at: np.ndarray, radius: float, paint: Paint = EYE) -> None:
    for side, word in SIDES:
        spot = at * np.array([1, side, 1])
        figure.ball(spot, radius, paint)
        figure.mark(f"{word}_eye", spot, 2 * radius)


def leg_names(pairs: int) -> str:
    """Keypoint names of the walking legs, as ``skeleton.category`` reads them."""
    return " ".join(f"*leg_{i + 1}_knee *leg_{i + 1}_foot" for i in range(pairs))


def leg_limbs(pairs: int, root: str) -> str:
    """Limbs of the walking legs, which start at the keypoint ``root``."""
    return " ".join(f"{root}-*leg_{i + 1}_knee-*leg_{i + 1}_foot" for i in range(pairs))
