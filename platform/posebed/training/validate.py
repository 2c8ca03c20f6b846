"""How good the weights are in the middle of training: a metric of the report, on the validation part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch

from posebed.contracts import RoundLearner
from posebed.data.pack import Pack
from posebed.data.queries import Query, grouped, queries_of, query_batches, table_of, to_image
from posebed.data.splits import Split
from posebed.experiment import Experiment
from posebed.pose import Batch, EpisodeBatch
from posebed.scoring.measuring import value_of
from posebed.training.engine import Engine
from posebed.training.pose_module import decoded
from posebed.training.process_group import ProcessGroup, summed
from posebed.training.rounds import learnt, rounds_of

Answered = tuple[Sequence[Query], Batch, Any]
"""Queries, their batch and the model's prediction for it."""


class Validation:
    """Measures ``train.judged_by``, by the very function that the report takes. It chooses the best checkpoint; flipped
    crops are not predicted as well, whatever the model does in the end."""

    def __init__(self, experiment: Experiment, pack: Pack, split: Split) -> None:
        self._experiment, self._pack = experiment, pack
        self._queries = queries_of(experiment.task, pack, split, "val")
        self._place = {query: place for place, query in enumerate(self._queries)}
        shape = len(self._queries), pack.max_keypoints
        self._unanswered = table_of(pack, self._queries, np.zeros((*shape, 2)), np.zeros(shape))

    @torch.no_grad()
    def __call__(self, engine: Engine, group: ProcessGroup) -> float:
        """Every worker predicts its share and knows the value."""
        train = self._experiment.train
        at_a_time = max(1, train.batch_size // group.size // train.accumulation(group.size))
        # x, y and confidence. Rows of other workers stay 0, so that the sum over all is the whole table.
        answers = np.zeros((len(self._queries), self._pack.max_keypoints, 3))
        engine.step_module.eval()
        predictions = self._by_rounds if isinstance(engine.module, RoundLearner) else self._by_batches
        for queries, batch, prediction in predictions(engine, group, at_a_time):
            pose = decoded(engine.module, prediction, batch)
            rows = [self._place[query] for query in queries]
            answers[rows, :, :2] = to_image(self._pack, batch, pose)
            answers[rows, :, 2] = pose.weight.float().cpu().numpy()
        whole = summed(torch.as_tensor(answers).to(group.device), group).cpu().numpy()
        table = self._unanswered.answered(whole[..., :2], whole[..., 2])
        return value_of(train.judged_by, self._experiment.judge, table)

    def _by_batches(self, engine: Engine, group: ProcessGroup, at_a_time: int) -> Iterator[Answered]:
        """Every worker predicts equally many batches, as sharded weights need all of them at every forward pass: some
        repeat a batch of another worker, and do not count it."""
        batches = grouped(self._queries, at_a_time)
        order = range(group.rank, -(-len(batches) // group.size) * group.size, group.size)
        mine = [batches[index % len(batches)] for index in order]
        for index, batch in zip(order, query_batches(self._pack, mine, group.device), strict=True):
            prediction, _ = engine(batch)
            if index < len(batches):
                yield batches[index], batch, prediction

    def _by_rounds(self, engine: Engine, group: ProcessGroup, at_a_time: int) -> Iterator[Answered]:
        """A worker takes whole rounds, by itself."""
        model = engine.module
        assert isinstance(model, RoundLearner)
        for queries in rounds_of(self._pack, self._queries)[group.rank :: group.size]:
            taught, batches = learnt(model, self._pack, queries, group.device), grouped(queries, at_a_time)
            for of_batch, batch in zip(batches, query_batches(self._pack, batches, group.device), strict=True):
                yield of_batch, batch, model.locate_after(cast(EpisodeBatch, batch), taught)
