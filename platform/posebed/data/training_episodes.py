"""Episodes drawn anew for every epoch of training; those of validation and test are written down by ``splits``."""

from __future__ import annotations

import numpy as np

from posebed.data.pack import Pack
from posebed.listing import shortened


def draw_training_episodes(
    pack: Pack, rows: np.ndarray, shots: int, rng: np.random.Generator, *, count: int | None = None, at_least: int = 1
) -> np.ndarray:
    """(n, shots + 1) distinct rows of one category each, supports first and the query last, in random order.

    Categories give equally many episodes, to within one: as many as the largest has rows, or their share of
    ``count``, or of ``at_least`` where that is more.

    Raises:
        ValueError: a category has fewer rows than an episode needs.
    """
    members = _members(pack, rows)
    must_supply(pack, rows, shots)
    count = max(count or len(members) * max(map(len, members)), at_least)
    order = rng.permutation(len(members))[np.arange(count) % len(members)]
    drawn = [rng.choice(members[int(index)], shots + 1, replace=False) for index in order]
    return rng.permutation(np.stack(drawn))


def must_supply(pack: Pack, rows: np.ndarray, shots: int) -> None:
    """Refuse training records that make no episodes.

    Raises:
        ValueError: a category has fewer rows than an episode needs.
    """
    few = [own for own in _members(pack, rows) if len(own) <= shots]
    if few:
        actual = shortened(f"{pack.categories[pack.category[own[0]]].key!r} has {len(own)}" for own in few)
        raise ValueError(
            f"every category must have {shots + 1} training records or more, for {shots} shots and a query, but "
            f"{actual}; take fewer shots or leave them out"
        )


def _members(pack: Pack, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each category that has any."""
    category = pack.category[rows]
    return [rows[category == c] for c in np.unique(category)]
