"""How good the weights are in the middle of training: PCK@0.2 on the validation part."""

from __future__ import annotations

import numpy as np
import torch

from posebed.data.pack import Pack
from posebed.data.queries import grouped, queries_of, query_batches
from posebed.data.splits import Split
from posebed.experiment import Experiment
from posebed.pose import Batch, EpisodeBatch
from posebed.training.engine import Engine
from posebed.training.process_group import ProcessGroup, summed

THRESHOLD = 0.2


@torch.no_grad()
def validate(experiment: Experiment, engine: Engine, pack: Pack, split: Split, group: ProcessGroup) -> float:
    """Mean over the queries of the share of keypoints nearer than a fifth of the box's longest side.

    It chooses the best checkpoint; the numbers of the report come from the table of predictions.
    """
    queries = queries_of(experiment.task, pack, split, "val")
    batches = grouped(queries, max(1, experiment.train.batch_size // group.size // experiment.train.accumulation()))
    # Every worker predicts equally many batches, as sharded weights need all of them at every forward pass: some
    # repeat a batch of another worker, and do not count it.
    order = range(group.rank, -(-len(batches) // group.size) * group.size, group.size)
    mine = [batches[index % len(batches)] for index in order]
    reach = torch.from_numpy(THRESHOLD * longest_sides(pack) * pack.affine[:, 0, 0]).to(group.device)
    engine.module.eval()
    model = engine.module
    total = torch.zeros((), dtype=torch.float64, device=group.device)
    for index, batch in zip(order, query_batches(pack, mine, group.device), strict=True):
        pose = model.decode(engine(batch), batch)  # pyright: ignore[reportCallIssue]
        away = (pose.xy.double() - batch.keypoints.xy).norm(dim=-1)
        weight = counting(batch)
        right = (away < reach[batch.row, None]) * weight
        if index < len(batches):
            total += (right.sum(1) / weight.sum(1).clamp(min=1)).sum()
    return summed(total, group).item() / len(queries)


def longest_sides(pack: Pack) -> np.ndarray:
    """(N,) the longer side of every box, in image pixels."""
    return np.array(pack.index["box"].to_pylist())[:, 2:].max(1)


def counting(batch: Batch) -> torch.Tensor:
    """(B, K) 1 where a keypoint is labelled in the query and in every support."""
    weight = batch.keypoints.weight
    return weight * batch.support.weight.prod(1) if isinstance(batch, EpisodeBatch) else weight
