"""How good the weights are in the middle of training: a metric of the report, on the validation part."""

from __future__ import annotations

import numpy as np
import torch

from posebed.data.pack import Pack
from posebed.data.queries import grouped, queries_of, query_batches, table_of, to_image
from posebed.data.splits import Split
from posebed.experiment import Experiment
from posebed.scoring.measuring import value_of
from posebed.training.engine import Engine
from posebed.training.pose_module import decoded
from posebed.training.process_group import ProcessGroup, summed


class Validation:
    """Measures ``train.judged_by``, by the very function that the report takes. It chooses the best checkpoint; flipped
    crops are not predicted as well, whatever the model does in the end."""

    def __init__(self, experiment: Experiment, pack: Pack, split: Split) -> None:
        self._experiment, self._pack = experiment, pack
        self._queries = queries_of(experiment.task, pack, split, "val")
        shape = len(self._queries), pack.max_keypoints
        self._unanswered = table_of(pack, self._queries, np.zeros((*shape, 2)), np.zeros(shape))

    @torch.no_grad()
    def __call__(self, engine: Engine, group: ProcessGroup) -> float:
        """Every worker predicts its share and knows the value."""
        train = self._experiment.train
        batches = grouped(self._queries, max(1, train.batch_size // group.size // train.accumulation(group.size)))
        # Every worker predicts equally many batches, as sharded weights need all of them at every forward pass: some
        # repeat a batch of another worker, and do not count it.
        order = range(group.rank, -(-len(batches) // group.size) * group.size, group.size)
        mine = [batches[index % len(batches)] for index in order]
        ends = np.cumsum([len(batch) for batch in batches])
        # x, y and confidence. Rows of other workers stay 0, so that the sum over all is the whole table.
        answers = np.zeros((len(self._queries), self._pack.max_keypoints, 3))
        engine.module.eval()
        for index, batch in zip(order, query_batches(self._pack, mine, group.device), strict=True):
            pose = decoded(engine.module, engine(batch), batch)
            if index < len(batches):
                rows = slice(ends[index] - len(batch), ends[index])
                answers[rows, :, :2] = to_image(self._pack, batch, pose)
                answers[rows, :, 2] = pose.weight.float().cpu().numpy()
        whole = summed(torch.as_tensor(answers).to(group.device), group).cpu().numpy()
        table = self._unanswered.answered(whole[..., :2], whole[..., 2])
        return value_of(train.judged_by, self._experiment.judge, table)
