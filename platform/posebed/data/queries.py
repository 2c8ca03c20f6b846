"""What a model is evaluated on: the queries of one part of a split, their batches, and the table of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from posebed.contracts import Task
from posebed.data.crop import apply_affine, invert_affine
from posebed.data.loader import Loader, evaluation_batches
from posebed.data.pack import Pack
from posebed.data.splits import Split
from posebed.pose import Batch, Keypoints
from posebed.predictions import Predictions


@dataclass(frozen=True)
class Query:
    """One crop whose pose is predicted."""

    row: int
    """Of the pack."""
    supports: tuple[int, ...] = ()
    """Rows shown to category-agnostic models."""
    episode: int = -1


def queries_of(task: Task, pack: Pack, split: Split, part: str, boxes: str = "annotated") -> list[Query]:
    """The queries of one part, in a fixed order: its labelled records, or with "detected" boxes those that a detector
    found; for category-agnostic models those of its written episodes.

    Raises:
        ValueError: there is no query.
    """
    if task is Task.CATEGORY_SPECIFIC:
        queries = [Query(row) for row in rows_of(pack, split, part, boxes)]
    else:
        queries = [
            Query(pack.row_of(query), tuple(map(pack.row_of, episode.supports)), episode.index)
            for episode in split.episodes(part)
            for query in episode.queries
        ]
    if not queries:
        raise ValueError(f"the part {part!r} must hold at least one box that is {boxes}, but holds none")
    return queries


def rows_of(pack: Pack, split: Split, part: str, boxes: str = "annotated") -> list[int]:
    """Rows of the part's labelled records, or with "detected" boxes of those that a detector found."""
    if boxes == "detected":
        wanted = pack.index["detection"].is_valid().to_numpy()
    else:
        wanted = np.any(pack.keypoints[..., 2] > 0, axis=1)
    rows = [pack.row_of(record) for record in split.records(part)]
    return [row for row in rows if wanted[row]]


def grouped(queries: Sequence[Query], size: int) -> list[list[Query]]:
    """The queries in their order, at most ``size`` at a time. An episode that fits stays in one group, so that its
    supports are encoded once."""
    groups: list[list[Query]] = []
    for _, members in groupby(queries, key=lambda query: query.episode):
        episode = list(members)
        for part in (episode[start : start + size] for start in range(0, len(episode), size)):
            if groups and len(groups[-1]) + len(part) <= size:
                groups[-1] += part
            else:
                groups.append(part)
    return groups


def query_batches(pack: Pack, groups: Sequence[Sequence[Query]], device: torch.device) -> Loader[Batch]:
    """One batch of exact crops per group."""
    rows = [np.array([(*query.supports, query.row) for query in group]) for group in groups]
    return evaluation_batches(pack, rows, device)


def to_image(pack: Pack, batch: Batch, pose: Keypoints) -> np.ndarray:
    """(B, K, 2) float64, the predicted points in pixels of their images."""
    return apply_affine(invert_affine(pack.affine[batch.row.cpu().numpy()]), pose.xy.double().cpu().numpy())


def table_of(
    pack: Pack, queries: Sequence[Query], xy: np.ndarray, confidence: np.ndarray, unmatched: Sequence[int] = ()
) -> Predictions:
    """The answers (n, K, 2) in image pixels, and their confidences (n, K), beside the truth.

    Args:
        unmatched: rows of the pack with truths that nothing was predicted for, but which predictions may match.
    """
    records, rows = pack.records(), [q.row for q in queries]
    episodic = queries[0].episode >= 0
    return Predictions.from_records(
        pack.categories,
        [records[row] for row in rows],
        xy,
        confidence,
        [q.episode for q in queries] if episodic else None,
        [[records[s] for s in q.supports] for q in queries] if episodic else None,
        crop=_crops(pack)[rows],
        size=pack.size,
        unmatched_truths=[records[row] for row in unmatched if records[row].detection is None],
    )


def _crops(pack: Pack) -> np.ndarray:
    """(N, 4) x, y, width, height of every crop in image pixels."""
    height, width = pack.size
    corners = apply_affine(invert_affine(pack.affine), np.array([[0.0, 0.0], [width, height]]))
    return np.hstack([corners[:, 0], corners[:, 1] - corners[:, 0]])
