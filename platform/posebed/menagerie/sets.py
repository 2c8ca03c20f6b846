"""The two built-in sets: four-legged animals that share one skeleton, and categories that each have their own."""

from __future__ import annotations

from posebed.menagerie.skeleton import Kind
from posebed.menagerie.species import QUADRUPEDS
from posebed.records import Category

SETS: dict[str, tuple[Kind, ...]] = {"quadrupeds": QUADRUPEDS, "mixed": QUADRUPEDS}
CATEGORIES: dict[str, tuple[Category, ...]] = {name: tuple(k.category for k in kinds) for name, kinds in SETS.items()}


def categories(set: str) -> tuple[Category, ...]:
    """The categories of a set.

    Raises:
        LookupError: there is no such set.
    """
    if set not in CATEGORIES:
        raise LookupError(f"a set of the menagerie must be among {', '.join(CATEGORIES)}, but is {set!r}")
    return CATEGORIES[set]
