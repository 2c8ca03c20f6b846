"""What a built-in set is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from menagerie.sets import SETS
from menagerie.skeleton import Kind
from posebed.config import Section, Seed, Side


class MenagerieConfig(Section):
    set: Literal["quadrupeds", "mixed"]
    """Species that share one skeleton, or these among categories of other skeletons."""
    images: Annotated[int, Field(gt=0, le=10**7)] = 1200
    side: Side = 256
    """Side of the square pictures in pixels."""
    seed: Seed = 0
    categories: tuple[str, ...] | None = None
    """Keys to draw; by default all of the set."""

    def kinds(self) -> tuple[Kind, ...]:
        """The chosen categories, in the order of the set."""
        kinds = SETS[self.set]
        return kinds if self.categories is None else tuple(k for k in kinds if k.category.key in self.categories)

    @model_validator(mode="after")
    def _categories_exist(self) -> MenagerieConfig:
        known = [kind.category.key for kind in SETS[self.set]]
        unknown = [key for key in self.categories or () if key not in known]
        if unknown or self.categories == ():
            actual = ", ".join(unknown) or "none"
            raise ValueError(f"categories of {self.set!r} must be among {', '.join(known)}, but there is {actual}")
        return self
