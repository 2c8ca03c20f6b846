"""Queries in pictures, the answers of several runs side by side with the supports and the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.reporting.gallery import (
    Decode,
    GalleryPicture,
    answer_tile,
    beside_supports,
    describe_distance,
    encoded,
    record_tile,
)


@dataclass(frozen=True)
class HardQuery:
    title: str
    truth: GalleryPicture
    """The query with its own keypoints, the supports at its left."""
    answers: tuple[tuple[int, GalleryPicture], ...]
    """Places of the runs and their pictures, in which those keypoints are drawn that count."""


def hard_queries(
    rows: Iterable[int],
    runs: Sequence[tuple[int, str]],
    tables: Sequence[Predictions],
    decode: Decode,
    records: Mapping[str, Record],
) -> Iterator[HardQuery]:
    """Draw the queries in these rows.

    Args:
        runs: Their places and keys.
        tables: One for each run, with the same rows.
        records: By identity; must hold queries and supports.
    """
    for row in rows:
        query = tables[0].take(np.array([row]))
        category = query.categories[query.category[0]]
        answers = [
            (place, _answer(key, table.take(np.array([row])), category, decode))
            for (place, key), table in zip(runs, tables, strict=True)
        ]
        yield HardQuery(
            f"{category.name}, episode {query.episode[0]}", _truth(query, category, decode, records), tuple(answers)
        )


def _truth(query: Predictions, category: Category, decode: Decode, records: Mapping[str, Record]) -> GalleryPicture:
    supports = [records[name] for name in query.supports[0]]
    tile = record_tile(records[str(query.record[0])], category, decode)
    note = f"{query.counts.sum()} of {query.labelled.sum()} labelled keypoints count"
    return GalleryPicture("", "Truth", encoded(beside_supports(tile, supports, category, decode)), note)


def _answer(key: str, answer: Predictions, category: Category, decode: Decode) -> GalleryPicture:
    tile = answer_tile(replace(answer, labelled=answer.counts), category, decode)
    return GalleryPicture(key, key, encoded(tile), describe_distance(answer))
