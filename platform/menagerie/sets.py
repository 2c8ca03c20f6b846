"""The two built-in sets: four-legged animals that share one skeleton, and these among categories of other skeletons.

As in MP-100, a good part of the mixed set's categories are mammals, so that held-out ones have kin in training.
"""

from __future__ import annotations

from dataclasses import replace

from menagerie.kinds.aircraft import AEROPLANE
from menagerie.kinds.birds import BIRDS
from menagerie.kinds.clothing import CLOTHING
from menagerie.kinds.crawlers import CRAWLERS
from menagerie.kinds.face import FACE
from menagerie.kinds.furniture import FURNITURE
from menagerie.kinds.household import HOUSEHOLD
from menagerie.kinds.insects import INSECTS
from menagerie.kinds.machines import MACHINES
from menagerie.kinds.people import PEOPLE
from menagerie.kinds.reptiles import REPTILES
from menagerie.kinds.species import QUADRUPEDS
from menagerie.kinds.swimmers import SWIMMERS
from menagerie.kinds.vehicles import VEHICLES
from menagerie.skeleton import Kind
from posebed.records import Category

_MAMMALS = tuple(replace(kind, category=replace(kind.category, family="mammal")) for kind in QUADRUPEDS)
SETS: dict[str, tuple[Kind, ...]] = {
    "quadrupeds": QUADRUPEDS,
    "mixed": (
        *_MAMMALS,
        *BIRDS,
        *SWIMMERS,
        *REPTILES,
        *INSECTS,
        *CRAWLERS,
        *PEOPLE,
        FACE,
        *FURNITURE,
        *VEHICLES,
        AEROPLANE,
        *MACHINES,
        *HOUSEHOLD,
        *CLOTHING,
    ),
}
CATEGORIES: dict[str, tuple[Category, ...]] = {name: tuple(k.category for k in kinds) for name, kinds in SETS.items()}


def categories(set: str) -> tuple[Category, ...]:
    """The categories of a set.

    Raises:
        LookupError: there is no such set.
    """
    if set not in CATEGORIES:
        raise LookupError(f"a set of the menagerie must be among {', '.join(CATEGORIES)}, but is {set!r}")
    return CATEGORIES[set]
