"""The batches that an experiment trains on."""

from __future__ import annotations

from functools import partial

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


def training_stream(
    experiment: Experiment, pack: Pack, split: Split, group: ProcessGroup, epoch: int, first_step: int = 0
) -> Loader[Batch]:
    """Micro batches of one epoch for this worker, from an optimizer step on, counted from 0."""
    rows = training_rows(pack, split)
    episodic = experiment.task is Task.CATEGORY_AGNOSTIC
    batches = partial(training_episode_batches, shots=experiment.training_shots) if episodic else training_batches
    return batches(
        pack,
        rows,
        train=experiment.train,
        epoch=epoch,
        seed=experiment.seed,
        rank=group.rank,
        world=group.size,
        device=group.device,
        first_step=first_step,
    )


def steps_per_epoch(experiment: Experiment, pack: Pack, split: Split) -> int:
    """Optimizer steps of one epoch."""
    group = ProcessGroup(0, experiment.train.most_workers, torch.device("cpu"))
    return len(training_stream(experiment, pack, split, group, 1)) // experiment.train.accumulation()


def training_rows(pack: Pack, split: Split) -> np.ndarray:
    """Rows of the labelled records of the training part."""
    return np.array(rows_of(pack, split, "train"))
