"""Episodes: distinct instances of one category, balanced over categories, and written plans kept in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posebed.config import TrainConfig
from posebed.data.crop import apply_affine
from posebed.data.loader import evaluation_batches, training_episode_batches
from posebed.data.pack import Pack
from posebed.data.training_episodes import draw_training_episodes
from posebed.pose import EpisodeBatch
from posebed.records import Category


@dataclass
class Rows:
    """The part of a pack that drawing looks at."""

    category: np.ndarray
    categories: tuple[Category, ...] = tuple(Category(f"c{i}", f"c{i}", ("a",)) for i in range(5))


def drawn(sizes: list[int], shots: int, seed: int = 0, **settings: Any) -> tuple[Any, np.ndarray]:
    pack: Any = Rows(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.arange(len(pack.category))
    return pack, draw_training_episodes(pack, rows, shots, np.random.default_rng(seed), **settings)


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
    with pytest.raises(ValueError, match="but 'c1' has 3, 'c2' has 1;"):
        drawn([8, 3, 1], 3)


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


def test_supports_and_query_are_shown_in_their_places(tiny_pack: Pack) -> None:
    episodes = np.array([[0, 1, 4], [0, 1, 5], [0, 1, 6], [17, 12, 14]])
    batches = list(evaluation_batches(tiny_pack, [episodes[:3], episodes[3:]]))
    assert [b.row.tolist() for b in batches] == [[4, 5, 6], [14]]
    for batch, rows in zip(batches, (episodes[:3], episodes[3:]), strict=True):
        assert isinstance(batch, EpisodeBatch)
        assert batch.support_image.shape == (len(rows), 2, 3, 64, 48)
        shown = torch.cat([batch.support_image, batch.image[:, None]], 1).permute(0, 1, 3, 4, 2)
        assert (shown.flatten(0, 1).numpy() == tiny_pack.evaluation_crops[rows.ravel()]).all()
        supports = rows[:, :2]
        xy = apply_affine(tiny_pack.affine[supports], tiny_pack.keypoints[supports][..., :2])
        labelled = batch.support.weight > 0
        np.testing.assert_allclose(batch.support.xy[labelled], xy[labelled], atol=1e-3)
        assert batch.category.tolist() == tiny_pack.category[rows[:, 2]].tolist()
