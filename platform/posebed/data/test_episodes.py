"""The plan of test episodes: which queries are answered with which supports, drawn once and written down.

Drawn by the split stage and versioned like data, so that every model answers the same queries.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from posebed.config import EpisodesConfig
from posebed.listing import shortened
from posebed.parquet import read_table, write_table
from posebed.records import Category, Problem, Reason, Record

_DROPPED_OFFICIALLY = {Reason.BOX_EXTENT, Reason.AREA, Reason.NO_KEYPOINT}
"""Reasons for which the official loaders of MP-100 leave a record out as well."""


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


def draw_test_episodes(records: Sequence[Record], part: str, config: EpisodesConfig, seed: int) -> list[Episode]:
    """Draw the episodes of one part, val or test, from its records.

    For each category, and apart from the others, every episode draws shots + queries distinct records; where a
    category has fewer, all that are no supports are queries. Records without a labelled keypoint have no part in it.

    Raises:
        ValueError: a category has fewer than shots + 1 labelled records.
    """
    members: dict[str, list[str]] = {record.category: [] for record in records}
    for record in records:
        if (record.keypoints[:, 2] > 0).any():
            members[record.category].append(record.record)
    _must_supply(members, part, config.shots, 1)
    number = config.val_episodes if part == "val" else config.episodes
    drawn: list[tuple[str, list[str], list[str]]] = []
    for category in sorted(members):
        names = np.array(sorted(members[category]))
        rng = generator(seed, "episodes", part, category)
        for _ in range(number):
            supports = rng.choice(len(names), config.shots, replace=False)
            others = rng.permutation(np.delete(np.arange(len(names)), supports))
            drawn.append((category, names[supports].tolist(), names[others[: config.queries]].tolist()))
    return [Episode(i, category, tuple(s), tuple(q)) for i, (category, s, q) in enumerate(drawn)]


def official_episodes(
    records: Sequence[Record], categories: Sequence[Category], part: str, config: EpisodesConfig
) -> list[Episode]:
    """Draw the episodes of one part, val or test, as the code of POMNet and CapeFormer does for MP-100.

    Python's generator starts from 1 and goes through ``categories`` in their order; every episode is a sample of
    shots + queries of a category's records, which are numbered in the order of ``records``.

    Raises:
        ValueError: a category has fewer than shots + queries records.
    """
    present = {record.category for record in records}
    members: dict[str, list[str]] = {category.key: [] for category in categories if category.key in present}
    for record in filter(_kept_officially, records):
        members[record.category].append(record.record)
    _must_supply(members, part, config.shots, config.queries)
    rng, size = random.Random(1), config.shots + config.queries
    number = config.val_episodes if part == "val" else config.episodes
    drawn = [(category, rng.sample(names, size)) for category, names in members.items() for _ in range(number)]
    return [
        Episode(i, category, tuple(names[: config.shots]), tuple(names[config.shots :]))
        for i, (category, names) in enumerate(drawn)
    ]


def _must_supply(members: Mapping[str, Sequence[str]], part: str, shots: int, queries: int) -> None:
    """Every category must have records for an episode."""
    few = [f"{c} has {len(names)}" for c, names in sorted(members.items()) if len(names) < shots + queries]
    if few:
        raise ValueError(
            f"{part} must have {shots + queries} labelled records of every category, {shots} to show and {queries} to "
            f"ask for, but {shortened(few)}; take fewer or a larger part"
        )


def _kept_officially(record: Record) -> bool:
    """Whether a keypoint is labelled and something is left of the box, clipped as the official loaders do."""
    x, y, width, height = record.box
    left, top = max(0, x), max(0, y)
    wide = min(record.width - 1, left + max(0, width - 1)) > left
    high = min(record.height - 1, top + max(0, height - 1)) > top
    return wide and high and bool((record.keypoints[:, 2] > 0).any())


def missed_officially(problems: Iterable[Problem]) -> Counter[str]:
    """By category the records that were dropped, but that the official loaders keep: without them, the official draw
    gives other episodes."""
    reasons: dict[tuple[str, str], set[str]] = defaultdict(set)
    for problem in problems:
        if problem.record and problem.category:
            reasons[problem.category, problem.record].add(problem.reason)
    return Counter(category for (category, _), of in reasons.items() if not of & _DROPPED_OFFICIALLY)


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
    """The episodes of every part.

    Raises:
        ValueError: there is no such file, or it is no table of episodes.
    """
    table = read_table(path, "a table of episodes", _SCHEMA, "`dvc repro split` makes it again")
    queries: dict[tuple[str, int, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for row in table.to_pylist():
        queries[row["part"], row["episode"], row["category"], tuple(row["supports"])].append(row["query"])
    episodes: dict[str, list[Episode]] = defaultdict(list)
    for (part, index, category, supports), of_episode in queries.items():
        episodes[part].append(Episode(index, category, supports, tuple(of_episode)))
    return dict(episodes)
