"""Tables of predictions drawn at random, on which metrics can be tried."""

from __future__ import annotations

import numpy as np

from posebed.predictions import Predictions
from posebed.records import Category, Record


def _on_grid(xy: np.ndarray) -> np.ndarray:
    return np.round(xy * 64) / 64


def drawn_predictions(
    seed: int, queries: int = 12, categories: int = 2, per_image: int = 1, noise: float = 0.1, episodes: bool = False
) -> Predictions:
    """Boxes of 20 to 300 pixels inside of 640 x 640 images; ``noise`` is in box sides. Category c has 4 + c
    keypoints, of which the third and the fourth are mirror partners.

    Coordinates are multiples of 1/64, so that moving and doubling them loses nothing.
    """
    rng = np.random.default_rng(seed)
    kinds = [
        Category(f"key{c}", f"name{c}", tuple(f"point{k}" for k in range(4 + c)), flip_pairs=((2, 3),))
        for c in range(categories)
    ]
    records: list[Record] = []
    for i in range(queries):
        kind = kinds[i // per_image % categories]
        start, size = rng.uniform(0, 300, 2), rng.uniform(20, 300, 2)
        points = _on_grid(rng.uniform(start, start + size, (len(kind.keypoints), 2)))
        visibility = rng.integers(0, 3, (len(points), 1))
        records.append(
            Record(
                record=f"record{i:04}",
                image=f"image{i // per_image:04}",
                width=640,
                height=640,
                category=kind.key,
                box=(*start, *size),
                area=float(size.prod()),
                keypoints=np.hstack([points, visibility]).astype(np.float32),
            )
        )
    xy = np.zeros((queries, 3 + categories, 2))
    for i, record in enumerate(records):
        spread = noise * max(record.box[2:]) * rng.exponential()
        xy[i, : len(record.keypoints)] = record.keypoints[:, :2] + _on_grid(
            rng.normal(0, spread, (len(record.keypoints), 2))
        )
    confidence = rng.uniform(size=xy.shape[:2])
    if not episodes:
        return Predictions.from_records(kinds, records, xy, confidence)
    same = [[r for r in records if r.category == q.category] for q in records]
    supports = [[others[int(rng.integers(len(others)))]] for others in same]
    return Predictions.from_records(kinds, records, xy, confidence, list(range(queries)), supports)
