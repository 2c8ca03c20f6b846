"""Made-up results for the tests of scoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from posebed.scoring.result import Cost, Provenance, Result

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
