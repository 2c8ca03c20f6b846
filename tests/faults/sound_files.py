"""One file of every kind that posebed reads back, written by what writes it, without a training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np


def write_all(folder: Path, prepared: Path) -> None:
    """Write them into a folder.

    Args:
        prepared: a project with drawn data, splits and a pack.
    """
    for name, place in (("pack", "packs/small"), ("prepared", "prepared/quads"), ("split", "splits/held-out")):
        shutil.copytree(prepared / "data" / place, folder / name)
    _run(folder)
    _predictions(folder)
    _result(folder)
    _search(folder)
    (folder / "answers.json").write_text(json.dumps([{"record": "1", "keypoints": [1.0, 2.0, 0.5] * 4}] * 8))
    from posebed.leases import IDENTITY
    from posebed.own_json import write_json

    write_json({"name": "0" * 32, "folder": "/somewhere"}, folder / "project.json", IDENTITY)


def _run(folder: Path) -> None:
    import pyarrow as pa
    import torch
    from safetensors.torch import save_file

    from posebed.data.pack import Pack
    from posebed.identity import Identity
    from posebed.jobs.graph import Task
    from posebed.jobs.outcomes import write_record
    from posebed.parquet import write_table
    from posebed.scoring.result import Epoch, write_curve
    from posebed.training.modes import Mode
    from posebed.training.run_folder import described, write_published, write_untrained

    weights = {"head.weight": torch.randn(8, 4), "head.bias": torch.randn(8), "steps": torch.tensor(3)}
    about = {
        **{"key": "baseline", "model": "any", "task": "category_specific", "config": {"weights": "none"}, "train": {}},
        **{"seed": 0, "data": "quads", "split": "quads", "pack": "small", "shots": 0, "boxes": "annotated"},
        **{"fingerprint": "0" * 64, **described(Pack.open(folder / "pack").setting(), 1.25, "plain")},
    }
    write_untrained(folder / "run", weights, about)
    lines = [
        Epoch(
            epoch=number,
            loss=1.0 / number,
            losses={"heatmap": 1.0 / number},
            learning_rate=0.1,
            seconds=1.0,
            images_per_second=10.0,
            waiting=0.1,
        )
        for number in range(1, 5)
    ]
    write_curve(lines, folder / "run/curve.json")
    (folder / "published").mkdir()
    write_published(folder / "run", folder / "published")
    Mode("eager", "float32").write(folder)
    identity = Identity({"a": 1}, {"split quads": "0" * 64}, {}, {"posebed.files": "1" * 64})

    class _Here(Task):
        record = folder / "run/task.json"  # pyright: ignore[reportAssignmentType]

    write_record(_Here("train", "baseline", 0, identity, (), "any"), 1.0)
    torch.save({"state_dict": weights}, folder / "given.pth")
    torch.save({"state_dict": weights}, folder / "old.pth", _use_new_zipfile_serialization=False)
    save_file(weights, folder / "given.safetensors")
    answers = [{"record": "1", "keypoints": [1.0, 2.0, 0.5] * 4}] * 8
    write_table(pa.Table.from_pylist(answers), folder / "answers.parquet")


def _predictions(folder: Path) -> None:
    from posebed.data.pack import Pack
    from posebed.inference.poses import Poses
    from posebed.predictions import Predictions, write_predictions
    from posebed.scoring.result import Cost, write_cost

    pack = Pack.open(folder / "pack")
    records = pack.records()[:10]
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 60, (len(records), pack.max_keypoints, 2))
    confidence = rng.uniform(0, 1, xy.shape[:2])
    table = Predictions.from_records(pack.categories, records, xy, confidence, size=pack.size)
    write_predictions(table, folder / "predicted/predictions.parquet")
    shutil.copy(folder / "predicted/predictions.parquet", folder / "alone.parquet")
    cost = Cost(parameters=10, gflops=0.1, ms_per_image=1.0, train_seconds=2.0, device="cpu")
    write_cost(cost, folder / "predicted/cost.json")
    count = len(records)
    Poses(
        category=pack.categories[0],
        image=("a.png",) * count,
        frame=np.arange(count),
        seconds=np.zeros(count),
        box=np.ones((count, 4)),
        xy=xy[:, : len(pack.categories[0].keypoints)],
        confidence=confidence[:, : len(pack.categories[0].keypoints)].astype(np.float32),
    ).write(folder / "poses.parquet")


def _result(folder: Path) -> None:
    from posebed.scoring.result import Cost, Provenance, Result, Score, write_result

    unknown = dict.fromkeys(("commit", "data_hash", "split_hash", "lock_hash", "checkpoint_hash"), "0" * 64)
    named: dict[str, Any] = {"key": "baseline", "fingerprint": "0" * 64, "model": "any", "task": "category_specific"}
    named |= {"data": "quads", "split": "quads", "pack": "small", "seed": 0, "config": {"a": 1}, "train": {"lr": 0.1}}
    named |= {"instances": 10, "images": 10, "queries": 10, "without_keypoints": 0}
    result = Result(
        **named,
        protocol={"part": "test"},
        scores=[Score(metric="PCK@0.2", definition="A share.", value=0.5, low=0.4, high=0.6)],
        by_category={"tiger": {"PCK@0.2": 0.5}},
        by_keypoint={"tiger": {"nose": 0.5}},
        curve=[],
        cost=Cost(parameters=1, gflops=None, ms_per_image=1.0, train_seconds=1.0, device="cpu"),
        provenance=Provenance(
            **unknown, dirty=False, episodes_hash=None, checkpoint="x", software={}, hardware="cpu", created="2026"
        ),
    )
    write_result(result, folder / "baseline/result.json")


def _search(folder: Path) -> None:
    from posebed.scoring.search_result import Measured, SearchResult, Trial, write_search

    trials = tuple(
        Trial(
            number=number,
            state="complete",
            params={"train.lr": 0.001},
            validation=0.5,
            curve=(Measured(epoch=1, validation=0.5, device_seconds=1.0),),
        )
        for number in range(3)
    )
    result = SearchResult(
        **{"key": "search@x", "study": "x", "model": "any", "task": "category_specific"},
        **{"data": "quads", "split": "quads", "pack": "small", "seed": 0},
        settings={"budget": {"trials": 3}, "epochs": 2},
        space={"train.lr": "0 to 1"},
        trials=trials,
    )
    write_search(result, folder / "search@x")
