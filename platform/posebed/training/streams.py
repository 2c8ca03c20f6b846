"""The one fork by task: which batches an experiment trains on, and what it is asked in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from posebed.contracts import Task
from posebed.data.loader import Loader, evaluation_batches, training_batches, training_episode_batches
from posebed.data.pack import Pack
from posebed.data.splits import Split
from posebed.experiment import Experiment
from posebed.pose import Batch
from posebed.training.world import World


def training_stream(experiment: Experiment, pack: Pack, split: Split, world: World, epoch: int) -> Loader[Batch]:
    """Micro batches of one epoch for this worker."""
    rows = training_rows(pack, split)
    who = {"rank": world.rank, "world": world.size, "device": world.device}
    if experiment.task is Task.CATEGORY_SPECIFIC:
        return training_batches(pack, rows, experiment.train, epoch=epoch, seed=experiment.seed, **who)
    shots = experiment.training_shots
    return training_episode_batches(pack, rows, shots, experiment.train, epoch=epoch, seed=experiment.seed, **who)


def steps_per_epoch(experiment: Experiment, pack: Pack, split: Split) -> int:
    """Optimizer steps of one epoch."""
    stream = training_stream(experiment, pack, split, World(0, experiment.train.workers, torch.device("cpu")), 1)
    return len(stream) // experiment.train.accumulation()


def training_rows(pack: Pack, split: Split) -> np.ndarray:
    """Rows of the labelled records of the training part."""
    return np.array(_rows(pack, split, "train", "annotated"))


@dataclass(frozen=True)
class Question:
    """A pose that is asked for."""

    query: int
    """Row of the pack."""
    supports: tuple[int, ...] = ()
    """Rows shown to category-agnostic models."""
    episode: int = -1


def questions(task: Task, pack: Pack, split: Split, part: str, boxes: str = "annotated") -> list[Question]:
    """Everything asked in one part, in a fixed order: its labelled records or, where boxes are to be "detected", those
    that a detector found; or the queries of its written episodes.

    Raises:
        ValueError: nothing is asked.
    """
    if task is Task.CATEGORY_SPECIFIC:
        asked = [Question(row) for row in _rows(pack, split, part, boxes)]
    else:
        asked = [
            Question(pack.row[query], tuple(pack.row[s] for s in episode.supports), episode.index)
            for episode in split.episodes(part)
            for query in episode.queries
        ]
    if not asked:
        raise ValueError(f"the part {part!r} must hold at least one box that is {boxes}, but holds none")
    return asked


def _rows(pack: Pack, split: Split, part: str, boxes: str) -> list[int]:
    if boxes == "detected":
        wanted = pack.index["detection"].is_valid().to_numpy()
    else:
        wanted = np.any(pack.keypoints[..., 2] > 0, axis=1)
    rows = [pack.row[record] for record in split.records(part)]
    return [row for row in rows if wanted[row]]


def in_batches(asked: Sequence[Question], size: int) -> list[list[Question]]:
    """The questions in their order, at most so many at a time. An episode that fits is never parted, so that its
    supports are looked at once."""
    batches: list[list[Question]] = []
    for _, episode in groupby(asked, key=lambda question: question.episode):
        together = list(episode)
        for part in (together[start : start + size] for start in range(0, len(together), size)):
            if batches and len(batches[-1]) + len(part) <= size:
                batches[-1] += part
            else:
                batches.append(part)
    return batches


def question_batches(pack: Pack, batches: Sequence[Sequence[Question]], device: torch.device) -> Loader[Batch]:
    """The exact crops of the questions of every batch."""
    rows = [np.array([(*question.supports, question.query) for question in asked]) for asked in batches]
    return evaluation_batches(pack, rows, device)
