"""Shorthand for declaring a category, and what a set needs to know of it beside its skeleton."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from posebed.menagerie.camera import View
from posebed.menagerie.figure import Figure
from posebed.records import Category

SIDES = ((1.0, "left"), (-1.0, "right"))
"""Sign of y, and the word for it."""

FINE = ("eye", "nose", "beak", "mouth", "tip", "ear", "antenna", "claw", "corner", "button", "mirror", "light", "lip")
BROAD = ("hip", "shoulder", "body", "belly", "rump", "chest", "thigh", "seat", "back", "mantle")


@dataclass(frozen=True)
class Kind:
    """A category that can be drawn."""

    category: Category
    build: Callable[[np.random.Generator], Figure]
    """A figure in a random pose, shape and coat."""
    view: View = field(default_factory=View)
    scenes: tuple[str, ...] = ("meadow", "savanna", "forest", "snow", "rock")
    """Names of ``scenery.SCENES`` that suit it."""


def category(
    key: str, family: str, keypoints: str, limbs: str, *, mirrored: bool = True, sigmas: tuple[float, ...] = ()
) -> Category:
    """A category from words: keypoint names, and limbs as ``one-other``.

    Where it is ``mirrored``, every left_NAME and right_NAME become a flip pair. Sigmas that are not given follow
    from the names: small for points, large for broad places.
    """
    names = tuple(keypoints.split())
    place = {name: i for i, name in enumerate(names)}
    pairs = [limb.split("-") for limb in limbs.split()]
    return Category(
        key=key,
        name=key.replace("_", " "),
        keypoints=names,
        family=family,
        limbs=tuple((place[one], place[other]) for one, other in pairs),
        flip_pairs=flip_pairs(names) if mirrored else (),
        sigmas=sigmas or tuple(map(_sigma, names)),
    )


def flip_pairs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Positions of every left_NAME and its right_NAME."""
    place = {name: i for i, name in enumerate(names)}
    return tuple(
        (i, place["right" + name.removeprefix("left")]) for i, name in enumerate(names) if name.startswith("left")
    )


def _sigma(name: str) -> float:
    if any(word in name for word in FINE):
        return 0.03
    return 0.08 if any(word in name for word in BROAD) else 0.055
