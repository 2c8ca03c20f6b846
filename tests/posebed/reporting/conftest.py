"""Made-up results, as many and as different as a test asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from posebed.scoring.result import Cost, Epoch, Provenance, Result, Score

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")  # the first call into cv2 takes long

RESULT = Result(
    key="run",
    fingerprint="f" * 12,
    model="hrnet",
    task="category_specific",
    data="animals",
    split="by-image",
    pack="small",
    seed=0,
    config={"width": 32, "head": {"layers": 3}},
    train={"epochs": 3, "augment": {"flip": 0.5}},
    protocol={"boxes": "ground truth", "part": "test"},
    instances=120,
    images=100,
    queries=1300,
    without_keypoints=1,
    scores=[],
    by_category={"tiger": {"PCK@0.2": 0.7}, "bee": {"PCK@0.2": 0.5}},
    by_keypoint={"tiger": {"nose": 0.8, "left_paw": 0.6}, "bee": {"head": 0.4}},
    curve=[
        Epoch(
            epoch=e, loss=1 / e, losses={}, learning_rate=1e-3, seconds=1, images_per_second=9, waiting=0, validation=v
        )
        for e, v in ((1, 0.2), (2, None), (3, 0.5))
    ],
    cost=Cost(parameters=28_500_000, gflops=7.7, ms_per_image=3.2, train_seconds=3900, device="cpu"),
    provenance=Provenance(
        commit="c" * 40,
        dirty=True,
        data_hash="d" * 32,
        split_hash="a" * 32,
        episodes_hash=None,
        lock_hash="b" * 64,
        checkpoint_hash="e" * 64,
        checkpoint="runs/run/train/best.safetensors",
        software={"python": "3.12.4"},
        hardware="2 x cpu",
        created="2026-11-20T05:12:44+00:00",
    ),
)


@pytest.fixture
def score() -> Callable[..., Score]:
    """A score by its metric, value and half the width of its interval."""

    def made(metric: str, value: float, half: float = 0.02, **changes: Any) -> Score:
        parts = {"metric": metric, "definition": f"What {metric} is.", "value": value}
        return Score(**{**parts, "low": value - half, "high": value + half, **changes})

    return made


@pytest.fixture
def result(score: Callable[..., Score]) -> Callable[..., Result]:
    """A result by its key and PCK@0.2; fields of the result, its cost or its provenance may be changed by name."""

    def made(key: str, value: float = 0.7, **changes: Any) -> Result:
        scores = [score("PCK@0.05", value / 2), score("PCK@0.2", value), score("NME", 0.1, better="lower")]
        parts: dict[str, Any] = {"key": key, "scores": scores}
        for name in ("cost", "provenance"):
            section = getattr(RESULT, name)
            inner = {k: changes.pop(k) for k in list(changes) if k in type(section).model_fields}
            parts[name] = section.model_copy(update=inner)
        return RESULT.model_copy(update={**parts, **changes})

    return made
