"""Episodes drawn anew for every epoch of training; those of validation and test are written down by ``splits``."""

from __future__ import annotations

import numpy as np

from posebed.data.pack import Pack


def draw_episodes(
    pack: Pack, rows: np.ndarray, shots: int, rng: np.random.Generator, *, count: int | None = None, at_least: int = 1
) -> np.ndarray:
    """(n, shots + 1) distinct rows of one category each, supports first and the query last, in random order.

    Categories give equally many episodes, to within one: as many as the largest has rows, or their share of
    ``count``, or of ``at_least`` where that is more.

    Raises:
        ValueError: a category has fewer rows than an episode needs.
    """
    category = pack.category[rows]
    members = [rows[category == c] for c in np.unique(category)]
    smallest = min(members, key=len)
    if len(smallest) <= shots:
        raise ValueError(
            f"every category must have {shots + 1} training records or more, for {shots} shots and a query, but "
            f"{pack.categories[pack.category[smallest[0]]].key!r} has {len(smallest)}; take fewer shots or leave it out"
        )
    count = max(count or len(members) * max(map(len, members)), at_least)
    turns = rng.permutation(len(members))[np.arange(count) % len(members)]
    drawn = [rng.choice(members[turn], shots + 1, replace=False) for turn in turns]
    return rng.permutation(np.stack(drawn))
