"""The plan of test episodes: which queries are answered with which supports, drawn once and written down.

Drawn by the split stage and versioned like data, so that every model answers the same queries.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posebed.config import EpisodesConfig
from posebed.records import Record, write_table


@dataclass(frozen=True)
class Episode:
    """Support records that show a category's keypoints, and the query records that are to be answered with them."""

    index: int
    """Counts the episodes of one part from 0."""
    category: str
    supports: tuple[str, ...]
    queries: tuple[str, ...]


def generator(seed: int, *words: str) -> np.random.Generator:
    """A generator of its own for every use of a seed, so that one draw more changes no other."""
    digest = hashlib.sha256("\0".join((str(seed), *words)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))


def draw_episodes(records: Sequence[Record], part: str, config: EpisodesConfig, seed: int) -> list[Episode]:
    """Draw the episodes of one part, val or test, from its records.

    For each category, and apart from the others, every episode draws shots + queries distinct records; where a
    category has fewer, all that are no supports are queries. Supports have a labelled keypoint.

    Raises:
        ValueError: a category has fewer than shots + 1 records.
    """
    members: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda r: r.record):
        members[record.category].append(record)
    labelled = {c: np.flatnonzero([(r.keypoints[:, 2] > 0).any() for r in rs]) for c, rs in members.items()}
    few = [c for c, rs in members.items() if len(rs) <= config.shots or len(labelled[c]) < config.shots]
    if few:
        counts = ", ".join(f"{category} has {len(members[category])}" for category in sorted(few))
        raise ValueError(
            f"{part} must have more than {config.shots} records of every category, for supports and a query, "
            f"but {counts}; take fewer shots or a larger part"
        )
    number = config.val_episodes if part == "val" else config.episodes
    drawn: list[tuple[str, list[str], list[str]]] = []
    for category in sorted(members):
        names = np.array([r.record for r in members[category]])
        rng = generator(seed, "episodes", part, category)
        for _ in range(number):
            supports = rng.choice(labelled[category], config.shots, replace=False)
            others = rng.permutation(np.delete(np.arange(len(names)), supports))
            drawn.append((category, names[supports].tolist(), names[others[: config.queries]].tolist()))
    return [Episode(i, category, tuple(s), tuple(q)) for i, (category, s, q) in enumerate(drawn)]


_SCHEMA = pa.schema(
    [
        ("episode", pa.int32()),
        ("part", pa.string()),
        ("category", pa.string()),
        ("supports", pa.list_(pa.string())),
        ("query", pa.string()),
    ]
)


def write_episodes(episodes: Mapping[str, Sequence[Episode]], path: Path) -> None:
    """Write the episodes of every part, one row per query."""
    rows = [
        {"episode": e.index, "part": part, "category": e.category, "supports": e.supports, "query": query}
        for part, of_part in episodes.items()
        for e in of_part
        for query in e.queries
    ]
    write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)


def read_episodes(path: Path) -> dict[str, list[Episode]]:
    """The episodes of every part."""
    queries: dict[tuple[str, int, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for row in pq.read_table(path, schema=_SCHEMA).to_pylist():
        queries[row["part"], row["episode"], row["category"], tuple(row["supports"])].append(row["query"])
    episodes: dict[str, list[Episode]] = defaultdict(list)
    for (part, index, category, supports), of_episode in queries.items():
        episodes[part].append(Episode(index, category, supports, tuple(of_episode)))
    return dict(episodes)
