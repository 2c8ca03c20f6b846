"""Batches in the order and at the time that training and evaluation need them.

What a worker sees follows from seed, epoch and step of the whole batch, never from the number of workers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Generic, TypeVar

import numpy as np
import torch

from posebed.config import TrainConfig
from posebed.data.augment import Bodies, draw
from posebed.data.batches import augmented, batch, exact
from posebed.data.own_stream import OwnStream
from posebed.data.pack import Pack
from posebed.data.training_episodes import draw_training_episodes
from posebed.pose import Batch

BatchT = TypeVar("BatchT")

_AHEAD = 2
"""Batches that lie ready while another is at work."""


class Loader(Generic[BatchT]):
    """Batches, made ahead in a background thread."""

    waited: float
    """Seconds that the last pass through it spent waiting for a batch."""

    def __init__(self, batches: Callable[[], Iterator[BatchT]], length: int, device: torch.device) -> None:
        self._batches = batches
        self._length = length
        self._device = device
        self.waited = 0.0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[BatchT]:
        self.waited = 0.0
        batches, stream = self._batches(), OwnStream[BatchT](self._device)
        with ThreadPoolExecutor(1) as background:
            coming = deque(background.submit(stream.make, batches) for _ in range(_AHEAD))
            while True:
                started = perf_counter()
                ready = stream.take(coming.popleft().result())
                self.waited += perf_counter() - started
                if ready is None:
                    return
                coming.append(background.submit(stream.make, batches))
                yield ready


def training_batches(
    pack: Pack,
    rows: np.ndarray,
    train: TrainConfig,
    *,
    epoch: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
    device: torch.device | str = "cpu",
    first_step: int = 0,
) -> Loader[Batch]:
    """One worker's micro batches of one epoch, augmented.

    The epoch passes through the rows once, or to the number of ``train.draws``, in a new order. Rows that fill no
    whole batch at the end are left out; too few for a single batch are repeated. Batches before ``first_step`` are
    passed over.
    """
    rng = np.random.default_rng((seed, epoch, 0))
    wanted = max(train.draws or len(rows), train.batch_size)
    order = np.concatenate([rng.permutation(rows) for _ in range(math.ceil(wanted / len(rows)))])[:wanted]
    return _training(pack, order[:, None], train, (seed, epoch), rank, world, device, first_step)


def training_episode_batches(
    pack: Pack,
    rows: np.ndarray,
    shots: int,
    train: TrainConfig,
    *,
    epoch: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
    device: torch.device | str = "cpu",
    first_step: int = 0,
) -> Loader[Batch]:
    """As ``training_batches``, with episodes from ``draw_training_episodes``; supports and query are each augmented."""
    rng = np.random.default_rng((seed, epoch, 0))
    episodes = draw_training_episodes(pack, rows, shots, rng, count=train.draws, at_least=train.batch_size)
    return _training(pack, episodes, train, (seed, epoch), rank, world, device, first_step)


def evaluation_batches(pack: Pack, parts: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Loader[Batch]:
    """The exact crops of every part as a batch: (n, S + 1) rows, supports, where the task has any, and last the
    query."""
    device = torch.device(device)

    def batches() -> Iterator[Batch]:
        for part in parts:
            yield batch(pack, part, exact(pack, part.ravel(), device))

    return Loader(batches, len(parts), device)


def _training(
    pack: Pack,
    tuples: np.ndarray,
    train: TrainConfig,
    seeds: tuple[int, int],
    rank: int,
    world: int,
    device: torch.device | str,
    first_step: int,
) -> Loader[Batch]:
    """Tuples (n, S + 1) of rows cut into batches, the workers' slices of each, and micro batches."""
    device = torch.device(device)
    bodies = Bodies.of(pack.categories, pack.max_keypoints)
    accumulation = train.accumulation(world)
    micro, rest = divmod(train.batch_size, world * accumulation)
    if rest:
        raise ValueError(
            f"batch_size must be a multiple of workers x accumulation, but {train.batch_size} is not a multiple of "
            f"{world} x {accumulation}"
        )
    steps, each = len(tuples) // train.batch_size, tuples.shape[1]

    def batches() -> Iterator[Batch]:
        for step in range(first_step, steps):
            draws = draw(np.random.default_rng((*seeds, 1 + step)), train.batch_size * each)
            whole = tuples[step * train.batch_size : (step + 1) * train.batch_size]
            for part in range(rank * accumulation, (rank + 1) * accumulation):
                mine = whole[part * micro : (part + 1) * micro]
                own = draws[part * micro * each : (part + 1) * micro * each]
                yield batch(pack, mine, augmented(pack, bodies, mine.ravel(), train.augment, own, device))

    return Loader(batches, (steps - first_step) * accumulation, device)
