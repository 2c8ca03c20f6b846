"""Kills that are drawn from a seed, and what is noted of those that were made."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = ("driver", "worker", "node", "tracker", "storage", "database")
GAPS = (0.02, 0.25)
"""Between one kill and the next, as shares of the undisturbed round."""
DOWN_SECONDS = (1.0, 8.0)
"""For which what was killed stays away."""


@dataclass(frozen=True)
class Drawn:
    """A kill that is to come."""

    kind: str
    gap: float
    """Seconds since the one before, or that share of the undisturbed round."""
    down: float
    which: float
    """0 to 1: of several victims, the one at that part of their list."""


@dataclass
class Kill:
    """A kill that was made."""

    kind: str
    second: float
    """Of the round."""
    under_way: dict[str, float]
    """The tasks at that moment, each with the seconds for which it had been under way."""
    done: int
    """Tasks that were done."""
    victim: str
    cost: float | None = None
    """Seconds until all that was under way was under way again, or done."""


@dataclass
class Round:
    kills: list[Kill] = field(default_factory=list[Kill])
    seconds: float = 0.0
    commands: int = 0
    violations: list[str] = field(default_factory=list[str])
    outcomes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def drawn_kills(seed: int, count: int, kinds: Sequence[str]) -> list[Drawn]:
    """All kills of a campaign, in their order: every kind comes as often as any other."""
    draw = random.Random(seed)
    made: list[Drawn] = []
    while len(made) < count:
        for kind in draw.sample(kinds, len(kinds)):
            made.append(Drawn(kind, draw.uniform(*GAPS), draw.uniform(*DOWN_SECONDS), draw.random()))
    return made[:count]
