"""Made-up results and searches, as many and as different as a test asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean, stdev
from typing import Any

import pytest

from posebed.scoring.result import Cost, Epoch, Provenance, Result, Score
from posebed.scoring.search_result import SearchResult, Trial

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
        if "seed" in changes:
            parts["seeds"] = (changes["seed"],)
        return RESULT.model_copy(update={**parts, **changes})

    return made


@pytest.fixture
def several(result: Callable[..., Result]) -> Callable[..., Result]:
    """A run with as many members as values of PCK@0.2; fields may be changed as of a result."""

    def made(key: str, values: Sequence[float], **changes: Any) -> Result:
        members = [result(key, value, seed=seed, **changes) for seed, value in enumerate(values)]
        scores = [_mean_score([member.scores[i] for member in members]) for i in range(len(members[0].scores))]
        seeds = tuple(range(len(values)))
        whole = tuple(member.as_member() for member in members)
        return members[0].model_copy(update={"scores": scores, "seeds": seeds, "members": whole})

    return made


def _mean_score(scores: Sequence[Score]) -> Score:
    means = {name: fmean(getattr(score, name) for score in scores) for name in ("value", "low", "high")}
    return scores[0].model_copy(update={**means, "spread": stdev(score.value for score in scores)})


@pytest.fixture(scope="session")
def search() -> Callable[..., SearchResult]:
    """A search by its key and its trials; a trial is its validation, or a mapping of its fields. Fields of the search
    may be changed by name."""

    def made(key: str = "search@hrnet", trials: Sequence[Any] = (0.5, 0.6, 0.55), **changes: Any) -> SearchResult:
        parts: dict[str, Any] = {
            "key": key,
            "study": f"{key}-0123456789abcdef",
            "model": "hrnet",
            "task": "category_specific",
            "data": "animals",
            "split": "by-image",
            "pack": "small",
            "seed": 1000,
            "settings": {"budget": {"trials": len(trials), "epochs": None, "device_seconds": None}, "epochs": 3},
            "space": {"train.lr": "0.0001 to 0.01, logarithmic", "model.backbone": "resnet18, resnet50"},
            "trials": [made_trial(number, given) for number, given in enumerate(trials)],
            "importance": {"train.lr": 0.75, "model.backbone": 0.25} if len(trials) > 3 else {},
            "origin": {"commit": "c" * 40, "fingerprint": "f" * 64, "created": "2026-11-20T05:12:44+00:00"},
        }
        return SearchResult.model_validate(parts | changes)

    return made


def made_trial(number: int, given: Any) -> Trial:
    """Epochs 1 to 3, of which the last has the validation that is given."""
    parts: dict[str, Any] = {"validation": given} if not isinstance(given, Mapping) else dict(given)
    validation, epochs = parts.get("validation"), parts.get("epochs", 3)
    seconds = parts.get("device_seconds", 2.0 * epochs)
    curve = [
        {"epoch": e, "validation": validation * e / epochs, "device_seconds": seconds * e / epochs}
        for e in range(1, epochs + 1)
        if validation is not None
    ]
    ended = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=number)
    whole = {
        "number": number,
        "state": "complete",
        "params": {"train.lr": 0.001 * (number + 1), "model.backbone": "resnet50" if number % 2 else "resnet18"},
        "curve": curve,
        "epochs": epochs,
        "device_seconds": seconds,
        "started": (ended - timedelta(seconds=seconds)).isoformat(timespec="milliseconds"),
        "ended": ended.isoformat(timespec="milliseconds"),
    }
    return Trial.model_validate(whole | parts)
