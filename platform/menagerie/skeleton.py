"""Shorthand for declaring a category, and what a set needs to know of it beside its skeleton."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from menagerie.camera import View
from menagerie.figure import Figure
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
    """Names of ``scenes.SCENES`` that suit it."""


def category(
    key: str, family: str, keypoints: str, limbs: str, *, mirrored: bool = True, sigmas: tuple[float, ...] = ()
) -> Category:
    """A category from words: keypoint names, and limbs as chains ``one-other-third``.

    A word with ``*`` stands for two, with left_ and right_ in its place; where the category is ``mirrored`` these
    are flip pairs. Sigmas that are not given follow from the names: small for points, large for broad places.
    """
    names = tuple(_both_sides(keypoints))
    place = {name: i for i, name in enumerate(names)}
    chains = [chain.split("-") for chain in _both_sides(limbs)]
    links = [(place[one], place[other]) for chain in chains for one, other in pairwise(chain)]
    return Category(
        key=key,
        name=key.replace("_", " "),
        keypoints=names,
        family=family,
        limbs=tuple(dict.fromkeys(links)),
        flip_pairs=flip_pairs(names) if mirrored else (),
        sigmas=sigmas or tuple(map(_sigma, names)),
    )


def _both_sides(words: str) -> Iterator[str]:
    for word in words.split():
        if "*" in word:
            yield from (word.replace("*", f"{side}_") for _, side in SIDES)
        else:
            yield word


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
