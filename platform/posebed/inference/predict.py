"""Answers of a trained model: on a part of a split for scoring, or on anybody's pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from posebed.contracts import RoundLearner
from posebed.data.pack import Pack
from posebed.data.queries import grouped, queries_of, query_batches, table_of, to_image
from posebed.data.splits import Split
from posebed.inference.shared_supports import predicted
from posebed.inference.trained_model import Trained
from posebed.pose import Batch
from posebed.predictions import Predictions
from posebed.scoring.result import Cost
from posebed.training.pose_module import decoded
from posebed.training.process_group import device_name
from posebed.training.rounds import learnt, rounds_of

BATCH = 64
"""Crops at a time: four episodes of 15 queries."""


@dataclass(frozen=True)
class Answers:
    predictions: Predictions
    cost: Cost


@torch.no_grad()
def answer(
    trained: Trained,
    pack: Pack,
    split: Split,
    part: str,
    progress: Callable[[int], object] = lambda crops: None,
) -> Answers:
    """Predict every query of a part, in the boxes that the run names, in image pixels, and what it cost.

    Supports are read once for all queries of their episode and, by models that can, encoded once. Models that learn
    from all supports of a round do so once for its queries, whose answers share the time.

    Raises:
        ValueError: the part has no query.
    """
    model, device = trained.for_answers, trained.device
    queries = queries_of(trained.task, pack, split, part, trained.about["boxes"])
    multiplied = gflops(trained.model, next(iter(query_batches(pack, [queries[:1]], device))))
    rounds = rounds_of(pack, queries) if isinstance(model, RoundLearner) else [queries]
    queries = [query for of_round in rounds for query in of_round]
    xy, confidence, seconds = list[np.ndarray](), list[np.ndarray](), list[float]()
    for of_round in rounds:
        started = time.perf_counter()
        taught = learnt(model, pack, of_round, device) if isinstance(model, RoundLearner) else None
        learning = (time.perf_counter() - started) / len(of_round)
        groups = grouped(of_round, BATCH)
        for group, batch in zip(groups, query_batches(pack, groups, device), strict=True):
            started = time.perf_counter()
            prediction = predicted(model, batch, [query.episode for query in group], taught)
            pose = decoded(model, prediction, batch)
            xy.append(to_image(pack, batch, pose))
            confidence.append(pose.weight.float().cpu().numpy())
            seconds.append((time.perf_counter() - started) / len(batch) + learning)
            progress(len(batch))
    asked = {query.row for query in queries}
    # Queries of an episode are all that competes there.
    others = [] if queries[0].episode >= 0 else sorted({*map(pack.row_of, split.records(part))} - asked)
    predictions = table_of(pack, queries, np.concatenate(xy), np.concatenate(confidence), others)
    cost = Cost(
        parameters=sum(p.numel() for p in trained.model.parameters()),
        gflops=multiplied,
        ms_per_image=float(np.median(seconds)) * 1000,
        train_seconds=sum(line.seconds for line in trained.curve),
        device=device_name(device),
    )
    return Answers(predictions, cost)


def gflops(model: nn.Module, crop: Batch) -> float | None:
    """Billions of multiply-adds for one crop, its supports not shared with any other."""
    with FlopCounterMode(display=False) as counter:
        model(crop)
    return counter.get_total_flops() / 2e9 or None  # the counter counts a multiply-add as two
