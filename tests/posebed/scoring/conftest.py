"""Drawn tables of predictions and made-up results for the tests of scoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from posebed.records import Category, Record
from posebed.scoring.predictions import Predictions
from posebed.scoring.result import Cost, Provenance, Result


def on_grid(xy: np.ndarray) -> np.ndarray:
    return np.round(xy * 64) / 64


def drawn_predictions(
    seed: int, queries: int = 12, categories: int = 2, per_image: int = 1, noise: float = 0.1, episodes: bool = False
) -> Predictions:
    """Boxes of 20 to 300 pixels inside of 640 x 640 images; ``noise`` is in box sides. Category c has 4 + c keypoints.

    Coordinates are multiples of 1/64, so that moving and doubling them loses nothing.
    """
    rng = np.random.default_rng(seed)
    kinds = [Category(f"key{c}", f"name{c}", tuple(f"point{k}" for k in range(4 + c))) for c in range(categories)]
    records: list[Record] = []
    for i in range(queries):
        kind = kinds[i // per_image % categories]
        start, size = rng.uniform(0, 300, 2), rng.uniform(20, 300, 2)
        points = on_grid(rng.uniform(start, start + size, (len(kind.keypoints), 2)))
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
        xy[i, : len(record.keypoints)] = record.keypoints[:, :2] + on_grid(
            rng.normal(0, spread, (len(record.keypoints), 2))
        )
    confidence = rng.uniform(size=xy.shape[:2])
    if not episodes:
        return Predictions.from_records(kinds, records, xy, confidence)
    same = [[r for r in records if r.category == q.category] for q in records]
    supports = [[others[int(rng.integers(len(others)))]] for others in same]
    return Predictions.from_records(kinds, records, xy, confidence, list(range(queries)), supports)


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Predictions]:
    return drawn_predictions


RESULT = Result(
    key="run",
    fingerprint="f",
    model="proto_net",
    task="category_agnostic",
    data="animals",
    split="held-out",
    pack="small",
    seed=0,
    config={},
    train={},
    protocol={"boxes": "annotated", "shots": "1"},
    instances=1,
    images=1,
    queries=1,
    without_keypoints=0,
    scores=[],
    by_category={},
    by_keypoint={},
    curve=[],
    cost=Cost(parameters=1, gflops=None, ms_per_image=1, train_seconds=1, device="cpu"),
    provenance=Provenance(
        commit="c",
        dirty=False,
        data_hash="d",
        split_hash="s",
        episodes_hash="e",
        lock_hash="l",
        checkpoint_hash="w",
        checkpoint="best.safetensors",
        software={},
        hardware="cpu",
        created="2026-11-20T05:12:44+00:00",
    ),
)


@pytest.fixture(scope="session")
def run() -> Callable[..., Result]:
    """A category-agnostic result by its key; fields of the result or its provenance may be changed by name."""

    def made(key: str, **changes: Any) -> Result:
        inner = {name: changes.pop(name) for name in list(changes) if name in Provenance.model_fields}
        where = RESULT.provenance.model_copy(update=inner)
        return RESULT.model_copy(update={"key": key, "provenance": where, **changes})

    return made


@pytest.fixture(scope="session")
def specific(run: Callable[..., Result]) -> Callable[..., Result]:
    """The same for a category-specific one."""
    plain = {"task": "category_specific", "protocol": {"boxes": "annotated"}}
    return lambda key, **changes: run(key, **plain | changes)
