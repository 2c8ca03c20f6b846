"""What one four-legged species differs in from another, and the frames that body parts are placed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from menagerie.coats import Colour, Paint


@dataclass(frozen=True)
class Species:
    """Proportions in trunk lengths, angles in degrees, colours in RGB."""

    key: str
    family: str
    coat: Paint
    # trunk: half heights, and half width as a share of them
    chest: float = 0.25
    loin: float = 0.20
    rump: float = 0.22
    width: float = 0.72
    slope: float = 0.0
    """How much higher the withers are than the rump."""
    hump: float = 0.0
    # legs, from joint to ground when straight
    front: float = 0.80
    back: float = 0.90
    thigh: float = 0.14
    ankle: float = 0.040
    foot: float = 0.062
    hoof: Colour | None = None
    """Colour of hooves; None has paws."""
    zigzag: float = 1.0
    # neck and head
    neck: float = 0.45
    neck_pitch: float = 35.0
    neck_base: float = 0.19
    neck_top: float = 0.12
    head: float = 0.42
    head_pitch: float = -18.0
    skull: float = 0.125
    muzzle: float = 0.075
    muzzle_from: float = 0.52
    """Share of the head at which the muzzle begins: short for cats, long for horses."""
    muzzle_colour: Colour | None = None
    nose_colour: Colour = (35, 28, 28)
    eye: float = 0.026
    eye_side: float = 62.0
    """Degrees from straight up at which the eyes sit: small looks up, 90 looks sideways."""
    ear: str = "pointed"
    """pointed, round, leaf, long, floppy or fan."""
    ear_size: float = 0.15
    ear_colour: Colour | None = None
    eye_patch: Colour | None = None
    gear: str = ""
    """antlers, palms, cattle, lyre, ossicones, tusks or rhino."""
    mane: str = ""
    """lion or crest."""
    mane_colour: Colour = (60, 40, 25)
    # tail
    tail: float = 0.75
    tail_pitch: float = -35.0
    tail_width: float = 0.035
    brush: str = ""
    """tuft, bush or hair."""
    can_sit: bool = False


@dataclass(frozen=True)
class Frame:
    """A place on the body with its own forward, left and up (the columns of ``axes``)."""

    at: np.ndarray
    axes: np.ndarray

    def point(self, forward: float = 0.0, left: float = 0.0, up: float = 0.0) -> np.ndarray:
        return self.at + self.axes @ np.array([forward, left, up])
