"""Batches in the order and at the time that training and evaluation need them: the one fork by task.

What a worker sees follows from seed, epoch and step of the whole batch, never from the number of workers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch

from posebed.config import TrainConfig
from posebed.data.augment import Bodies, draw
from posebed.data.batches import Crops, augmented, batch, episode_batch, exact
from posebed.data.episodes import draw_episodes, planned_episodes
from posebed.data.pack import Pack

if TYPE_CHECKING:
    from posebed.data.splits import Episode
from posebed.pose import Batch, EpisodeBatch

BatchT = TypeVar("BatchT", bound=Batch)
Assemble = Callable[[Pack, np.ndarray, Crops], BatchT]

_AHEAD = 2
"""Batches that lie ready while another is at work."""


class Loader(Generic[BatchT]):
    """Batches, made ahead in a background thread."""

    waited: float
    """Seconds that the last pass through it spent waiting for a batch."""

    def __init__(self, batches: Callable[[], Iterator[BatchT]], length: int) -> None:
        self._batches = batches
        self._length = length
        self.waited = 0.0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[BatchT]:
        self.waited = 0.0
        batches = self._batches()
        with ThreadPoolExecutor(1) as background:
            coming = deque(background.submit(next, batches, None) for _ in range(_AHEAD))
            while True:
                asked = perf_counter()
                ready = coming.popleft().result()
                self.waited += perf_counter() - asked
                if ready is None:
                    return
                coming.append(background.submit(next, batches, None))
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
) -> Loader[Batch]:
    """One worker's micro batches of one epoch, augmented.

    The epoch passes through the rows once, or to the number of ``train.draws``, in a new order. Rows that fill no
    whole batch at the end are left out; too few for a single batch are repeated.
    """
    rng = np.random.default_rng((seed, epoch, 0))
    rows = np.asarray(rows)
    wanted = max(train.draws or len(rows), train.batch_size)
    order = np.concatenate([rng.permutation(rows) for _ in range(math.ceil(wanted / len(rows)))])[:wanted]
    return _training(pack, order[:, None], train, (seed, epoch), rank, world, device, batch)


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
) -> Loader[EpisodeBatch]:
    """As ``training_batches``, with episodes drawn by ``draw_episodes``; supports and query are each augmented."""
    rng = np.random.default_rng((seed, epoch, 0))
    episodes = draw_episodes(pack, rows, shots, rng, count=train.draws, at_least=train.batch_size)
    return _training(pack, episodes, train, (seed, epoch), rank, world, device, episode_batch)


def evaluation_batches(
    pack: Pack, rows: np.ndarray, batch_size: int, device: torch.device | str = "cpu"
) -> Loader[Batch]:
    """The exact crops of the rows, in their order."""
    return _evaluation(pack, np.asarray(rows)[:, None], batch_size, device, batch)


def evaluation_episode_batches(
    pack: Pack, episodes: Sequence[Episode], batch_size: int, device: torch.device | str = "cpu"
) -> Loader[EpisodeBatch]:
    """The exact crops of a written plan: every query of the first episode, then those of the second, and so on."""
    return _evaluation(pack, planned_episodes(pack, episodes), batch_size, device, episode_batch)


def _training(
    pack: Pack,
    tuples: np.ndarray,
    train: TrainConfig,
    seeds: tuple[int, int],
    rank: int,
    world: int,
    device: torch.device | str,
    assemble: Assemble[BatchT],
) -> Loader[BatchT]:
    """Tuples (n, T) of rows, T to a sample, cut into batches, workers' slices and micro batches."""
    device = torch.device(device)
    bodies = Bodies.of(pack.categories, pack.max_keypoints)
    accumulation = train.accumulation()
    micro, rest = divmod(train.batch_size, world * accumulation)
    if rest:
        raise ValueError(
            f"batch_size must be a multiple of workers x accumulation, but {train.batch_size} is not a multiple of "
            f"{world} x {accumulation}"
        )
    steps, each = len(tuples) // train.batch_size, tuples.shape[1]

    def batches() -> Iterator[BatchT]:
        for step in range(steps):
            draws = draw(np.random.default_rng((*seeds, 1 + step)), train.batch_size * each)
            whole = tuples[step * train.batch_size : (step + 1) * train.batch_size]
            for part in range(rank * accumulation, (rank + 1) * accumulation):
                mine = whole[part * micro : (part + 1) * micro]
                own = draws[part * micro * each : (part + 1) * micro * each]
                yield assemble(pack, mine, augmented(pack, bodies, mine.ravel(), train.augment, own, device))

    return Loader(batches, steps * accumulation)


def _evaluation(
    pack: Pack, tuples: np.ndarray, batch_size: int, device: torch.device | str, assemble: Assemble[BatchT]
) -> Loader[BatchT]:
    device = torch.device(device)
    starts = range(0, len(tuples), batch_size)

    def batches() -> Iterator[BatchT]:
        for start in starts:
            part = tuples[start : start + batch_size]
            yield assemble(pack, part, exact(pack, part.ravel(), device))

    return Loader(batches, len(starts))
