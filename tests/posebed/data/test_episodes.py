"""Episodes: distinct instances of one category, balanced over categories, and written plans kept in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.config import TrainConfig
from posebed.data.crop import apply_affine
from posebed.data.episodes import draw_episodes
from posebed.data.loader import evaluation_episode_batches, training_episode_batches
from posebed.data.pack import Pack
from posebed.data.splits import Episode
from posebed.records import Category


@dataclass
class Rows:
    """The part of a pack that drawing looks at."""

    category: np.ndarray
    categories: tuple[Category, ...] = tuple(Category(f"c{i}", f"c{i}", ("a",)) for i in range(5))


def drawn(sizes: list[int], shots: int, seed: int = 0, **settings: Any) -> tuple[Any, np.ndarray]:
    pack: Any = Rows(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.arange(len(pack.category))
    return pack, draw_episodes(pack, rows, shots, np.random.default_rng(seed), **settings)


members = st.lists(st.integers(6, 30), min_size=1, max_size=5)


@given(members, st.integers(1, 5), st.integers(0, 2**32))
def test_an_episode_shows_different_instances_of_one_category(sizes: list[int], shots: int, seed: int) -> None:
    pack, episodes = drawn(sizes, shots, seed)
    assert episodes.shape[1] == shots + 1
    assert all(len(set(episode)) == shots + 1 for episode in episodes.tolist())
    assert all(len(set(pack.category[episode])) == 1 for episode in episodes)


@given(members, st.integers(0, 2**32))
def test_every_category_gives_as_many_episodes_as_the_largest_has_rows(sizes: list[int], seed: int) -> None:
    pack, episodes = drawn(sizes, 1, seed)
    assert set(Counter(pack.category[episodes[:, 0]]).values()) == {max(sizes)}


@given(members, st.integers(1, 100), st.integers(0, 2**32))
def test_draws_are_spread_evenly_over_categories(sizes: list[int], count: int, seed: int) -> None:
    pack, episodes = drawn(sizes, 1, seed, count=count)
    per_category = Counter(pack.category[episodes[:, 0]])
    assert len(episodes) == count
    assert max(per_category.values()) - min(per_category[c] for c in range(len(sizes))) <= 1


def test_every_instance_is_support_and_query_in_time() -> None:
    _, episodes = drawn([6, 12], 1, count=600)
    assert set(episodes[:, 0]) == set(episodes[:, 1]) == set(range(18))
    assert len(set(map(tuple, episodes[:50].tolist()))) > 25


def test_a_category_that_is_too_small_is_named() -> None:
    with pytest.raises(ValueError, match=r"must have 4 training records or more.* but 'c1' has 3"):
        drawn([8, 3, 9], 3)


def test_episodes_are_drawn_anew_in_every_epoch(tiny_pack: Pack) -> None:
    config = TrainConfig(batch_size=4)
    first, second = (
        [b.row.tolist() for b in training_episode_batches(tiny_pack, np.arange(18), 1, config, epoch=e, seed=0)]
        for e in (1, 2)
    )
    assert len(first) == len(second) == 6
    assert first != second


def test_too_few_episodes_for_a_batch_are_drawn_on(tiny_pack: Pack) -> None:
    config = TrainConfig(batch_size=64)
    loader = training_episode_batches(tiny_pack, np.arange(18), 1, config, epoch=0, seed=0)
    assert [len(b) for b in loader] == [64]


def test_a_plan_is_shown_query_by_query_in_its_order(tiny_pack: Pack) -> None:
    record = tiny_pack.index["record"].to_pylist()
    plan = [
        Episode(0, "dog", (record[0], record[1]), (record[4], record[5], record[6])),
        Episode(1, "fish", (record[17], record[12]), (record[14],)),
    ]
    batches = list(evaluation_episode_batches(tiny_pack, plan, 3))
    assert [b.row.tolist() for b in batches] == [[4, 5, 6], [14]]
    for batch, supports in zip(batches, ([0, 1], [17, 12]), strict=True):
        assert batch.support_image.shape[1:] == (2, 3, 64, 48)
        for one in range(len(batch)):
            shown = batch.support_image[one].permute(0, 2, 3, 1).numpy()
            assert (shown == tiny_pack.evaluation_crops[supports]).all()
            xy = apply_affine(tiny_pack.affine[supports], tiny_pack.keypoints[supports, :, :2])
            labelled = batch.support.weight[one] > 0
            np.testing.assert_allclose(batch.support.xy[one][labelled], xy[labelled], atol=1e-3)
