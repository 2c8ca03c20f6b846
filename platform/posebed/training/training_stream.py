"""The batches that an experiment trains on."""

from __future__ import annotations

import numpy as np
import torch

from posebed.contracts import Task
from posebed.data.loader import Loader, training_batches, training_episode_batches
from posebed.data.pack import Pack
from posebed.data.queries import rows_of
from posebed.data.splits import Split
from posebed.experiment import Experiment
from posebed.pose import Batch
from posebed.training.process_group import ProcessGroup


def training_stream(experiment: Experiment, pack: Pack, split: Split, group: ProcessGroup, epoch: int) -> Loader[Batch]:
    """Micro batches of one epoch for this worker."""
    rows = training_rows(pack, split)
    who = {"rank": group.rank, "world": group.size, "device": group.device}
    if experiment.task is Task.CATEGORY_SPECIFIC:
        return training_batches(pack, rows, experiment.train, epoch=epoch, seed=experiment.seed, **who)
    shots = experiment.training_shots
    return training_episode_batches(pack, rows, shots, experiment.train, epoch=epoch, seed=experiment.seed, **who)


def steps_per_epoch(experiment: Experiment, pack: Pack, split: Split) -> int:
    """Optimizer steps of one epoch."""
    group = ProcessGroup(0, experiment.train.workers, torch.device("cpu"))
    return len(training_stream(experiment, pack, split, group, 1)) // experiment.train.accumulation()


def training_rows(pack: Pack, split: Split) -> np.ndarray:
    """Rows of the labelled records of the training part."""
    return np.array(rows_of(pack, split, "train"))
