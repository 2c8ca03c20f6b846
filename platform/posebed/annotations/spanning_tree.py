"""Links for categories whose dataset states none: the minimum spanning tree over a category's mean pose.

The mean is taken of the distances between keypoints, not of their positions: animals that look to either side would
else fold up into a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from posebed.records import Dataset, Record


def with_links(dataset: Dataset) -> Dataset:
    """The dataset, its categories without links given those of ``spanning_tree``, and a note that names them."""
    records: dict[str, list[Record]] = {category.key: [] for category in dataset.categories if not category.limbs}
    for record in dataset.records:
        if record.category in records:
            records[record.category].append(record)
    trees = {key: spanning_tree(mean_distances(of)) for key, of in records.items() if of}
    note = "No links are stated for {}: theirs are the minimum spanning tree over the mean distances in all records."
    return replace(
        dataset,
        categories=tuple(replace(c, limbs=trees.get(c.key, c.limbs)) for c in dataset.categories),
        notes=(*dataset.notes, *([note.format(", ".join(trees))] if trees else [])),
    )


def mean_distances(records: Sequence[Record]) -> np.ndarray:
    """(K, K) how far the keypoints of one category are from each other, in units of the box's longer side: the mean
    over the records where both are labelled, and infinite where there is none."""
    keypoints = np.stack([record.keypoints for record in records]).astype(np.float64)
    xy = keypoints[..., :2] / np.array([max(record.box[2:]) for record in records])[:, None, None]
    labelled = keypoints[..., 2] > 0
    both = labelled[:, :, None] & labelled[:, None]
    total = (np.linalg.norm(xy[:, :, None] - xy[:, None], axis=-1) * both).sum(0)
    number = both.sum(0)
    return np.where(number > 0, total / np.maximum(number, 1), np.inf)


def spanning_tree(distance: np.ndarray) -> tuple[tuple[int, int], ...]:
    """The pairs that connect K points, whose distances are (K, K), over the least total; points with no finite way
    between them stay apart. Prim's algorithm, which among equal distances takes the first.

    Models read the order of the pairs and their direction, which scipy's ``minimum_spanning_tree`` does not keep.
    """
    points = np.arange(len(distance))
    nearest = np.zeros_like(points)  # of those in the tree, to each point
    outside = points > 0
    pairs: list[tuple[int, int]] = []
    while outside.any():
        reach = distance[nearest, points]
        new = min(np.flatnonzero(outside).tolist(), key=reach.__getitem__)
        if np.isfinite(reach[new]):
            pairs.append((int(nearest[new]), new))
        outside[new] = False
        nearest = np.where(distance[new] < reach, new, nearest)
    return tuple(pairs)
