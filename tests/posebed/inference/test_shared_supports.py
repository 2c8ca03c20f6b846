"""Questions in batches that keep episodes whole, and supports that are looked at once for all of their queries."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from posebed.data.queries import Query, grouped
from posebed.inference.shared_supports import predicted, taken
from posebed.pose import EpisodeBatch, Keypoints


@dataclass(frozen=True)
class Encoded:
    mean: Tensor
    points: Keypoints
    nothing: Tensor | None = None


class Counting:
    """Predicts the sum of a query and the mean of its supports, and counts the pictures that it sees."""

    def __init__(self) -> None:
        self.seen = 0

    def encode_support(self, batch: EpisodeBatch) -> Encoded:
        self.seen += batch.support_image[:, :, 0, 0, 0].numel()
        return Encoded(batch.support_image.float().mean((1, 2, 3, 4)), batch.support)

    def locate(self, batch: EpisodeBatch, support: Encoded) -> Tensor:
        self.seen += len(batch)
        return batch.image.float().mean((1, 2, 3)) + support.mean + support.points.xy.sum((1, 2, 3))


def episodes(lengths: list[int], shots: int) -> tuple[EpisodeBatch, list[int]]:
    numbers = [number for number, length in enumerate(lengths) for _ in range(length)]
    draw, count = torch.Generator().manual_seed(0), len(lengths)
    images, support_images = torch.rand(len(numbers), 3, 2, 2, generator=draw), torch.rand(count, shots, 3, 2, 2)
    points = Keypoints(torch.rand(count, shots, 4, 2, generator=draw), torch.ones(count, shots, 4))
    rows, own = torch.arange(len(numbers)), torch.tensor(numbers)
    queries = Keypoints(torch.zeros(len(numbers), 4, 2), torch.ones(len(numbers), 4))
    return EpisodeBatch(images, queries, rows, rows, support_images[own], taken(points, own)), numbers


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_each_support_is_looked_at_once_and_tells_every_query_the_same(lengths: list[int], shots: int):
    batch, numbers = episodes(lengths, shots)
    once, alone = Counting(), Counting()
    together = predicted(once, batch, [10 - number for number in numbers])
    torch.testing.assert_close(together, alone.locate(batch, alone.encode_support(batch)))
    assert once.seen == len(batch) + shots * len(lengths)


def test_a_model_that_offers_no_such_thing_is_given_the_whole_batch():
    batch, numbers = episodes([2, 1], 1)
    assert predicted(lambda given: given, batch, numbers) is batch


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 16))
def test_batches_hold_all_questions_in_order_and_part_no_episode_that_fits(lengths: list[int], size: int):
    queries = [Query(row, (0,), number) for number, length in enumerate(lengths) for row in range(length)]
    parts = grouped(queries, size)
    assert list(chain(*parts)) == queries
    assert all(0 < len(part) <= size for part in parts)
    for number, length in enumerate(lengths):
        homes = sum(any(question.episode == number for question in part) for part in parts)
        assert homes == -(-length // size)


def test_questions_without_episodes_fill_their_batches():
    parts = grouped([Query(row) for row in range(70)], 32)
    assert [len(part) for part in parts] == [32, 32, 6]
