"""Episodes: distinct instances of one category, the same for everybody."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.config import EpisodesConfig
from posebed.data.test_episodes import (
    Episode,
    draw_test_episodes,
    missed_officially,
    official_episodes,
    read_episodes,
    write_episodes,
)
from posebed.records import Category, Problem, Reason, Record


def record(name: str, category: str, labelled: bool = True) -> Record:
    box = (0.0, 0.0, 5.0, 5.0)
    return Record(name, name, 9, 9, category, box, 25.0, np.full((2, 3), float(labelled), np.float32))


def table(sizes: dict[str, int]) -> list[Record]:
    return [record(f"{category}{i}", category) for category, size in sizes.items() for i in range(size)]


CATEGORIES = [Category(name, name, ("nose", "tail")) for name in ("cow", "cat", "dog")]
Draw = Literal["seeded", "official"]
Box = tuple[float, float, float, float]


def drawn_by(draw: Draw, records: list[Record], config: EpisodesConfig) -> list[Episode]:
    if draw == "official":
        return official_episodes(records, CATEGORIES, "test", config)
    return draw_test_episodes(records, "test", config, seed=0)


sizes = st.dictionaries(st.sampled_from(["cat", "dog", "cow", "fly"]), st.integers(4, 30), min_size=1)
configs = st.builds(
    EpisodesConfig,
    shots=st.integers(1, 3),
    queries=st.integers(1, 20),
    episodes=st.integers(1, 6),
    val_episodes=st.integers(1, 3),
)


@given(sizes=sizes, config=configs, part=st.sampled_from(["val", "test"]), seed=st.integers(-2, 5))
def test_an_episode_shows_distinct_instances_of_its_category(
    sizes: dict[str, int], config: EpisodesConfig, part: str, seed: int
) -> None:
    episodes = draw_test_episodes(table(sizes), part, config, seed)
    number = config.episodes if part == "test" else config.val_episodes
    assert [e.index for e in episodes] == list(range(number * len(sizes)))
    for episode in episodes:
        names = {*episode.supports, *episode.queries}
        assert len(episode.supports) == config.shots
        assert len(episode.queries) == min(config.queries, sizes[episode.category] - config.shots)
        assert len(names) == len(episode.supports) + len(episode.queries)
        assert all(name.startswith(episode.category) for name in names)


@given(sizes=sizes, config=configs, new=st.integers(4, 30), seed=st.integers(0, 5))
def test_a_new_category_changes_no_episode_of_another(
    sizes: dict[str, int], config: EpisodesConfig, new: int, seed: int
) -> None:
    def drawn(records: list[Record]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        episodes = draw_test_episodes(records, "test", config, seed)
        return [(e.category, e.supports, e.queries) for e in episodes if e.category != "bee"]

    records = table(sizes)
    assert drawn(records) == drawn([*table({"bee": new}), *reversed(records)])


def test_seeds_and_parts_draw_different_episodes() -> None:
    config = EpisodesConfig(episodes=5, val_episodes=5)
    plans = [draw_test_episodes(table({"cat": 40}), part, config, seed) for part in ("val", "test") for seed in (0, 1)]
    assert all(a != b for i, a in enumerate(plans) for b in plans[:i])


def test_every_instance_is_drawn_as_support_and_as_query() -> None:
    episodes = draw_test_episodes(table({"cat": 8}), "test", EpisodesConfig(queries=2, episodes=100), seed=0)
    assert len({name for e in episodes for name in e.supports}) == 8
    assert len({name for e in episodes for name in e.queries}) == 8


@pytest.mark.parametrize("draw", ["seeded", "official"])
def test_a_record_without_a_labelled_keypoint_is_neither_support_nor_query(draw: Draw) -> None:
    records = [record(f"cat{i}", "cat", labelled=i < 3) for i in range(10)]
    episodes = drawn_by(draw, records, EpisodesConfig(shots=2, queries=1, episodes=50))
    assert {name for e in episodes for name in (*e.supports, *e.queries)} == {"cat0", "cat1", "cat2"}


@pytest.mark.parametrize("draw", ["seeded", "official"])
@pytest.mark.parametrize("available", [0, 1, 2])
def test_a_category_without_a_query_is_refused_by_name(draw: Draw, available: int) -> None:
    records = [*table({"dog": 9}), *(record(f"cat{i}", "cat", labelled=i < available) for i in range(5))]
    with pytest.raises(
        ValueError, match=f"must have 3 labelled records .* 2 to show and 1 to ask for, but cat has {available};"
    ):
        drawn_by(draw, records, EpisodesConfig(shots=2, queries=1))


def test_the_official_draw_is_one_sequence_over_categories_and_records_in_their_order() -> None:
    records = table({"dog": 20, "cat": 30})
    config = EpisodesConfig(draw="official", shots=1, queries=2, episodes=2, val_episodes=1)
    rng = random.Random(1)
    expected = [(c, [f"{c}{i}" for i in rng.sample(range(n), 3)]) for c, n in (("cat", 30), ("dog", 20)) for _ in "12"]
    episodes = official_episodes(records, CATEGORIES, "test", config)
    assert [e.index for e in episodes] == [0, 1, 2, 3]
    assert [(e.category, [*e.supports, *e.queries]) for e in episodes] == expected
    assert official_episodes(records[::-1], CATEGORIES, "test", config) != episodes
    assert official_episodes(records, CATEGORIES[::-1], "test", config) != episodes
    assert official_episodes(records, CATEGORIES, "val", config)[0] == episodes[0]


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((0, 0, 5, 5), True),
        ((8, 8, 5, 5), False),  # its last pixel is the image's, so that it is clipped to nothing
        ((7, 7, 5, 5), True),
        ((0, 0, 1, 5), False),
        ((0, 0, 1.5, 5), True),
        ((-4, 0, 4.5, 5), True),  # moved into the image rather than cut
    ],
    ids=str,
)
def test_a_box_that_the_official_loaders_clip_to_nothing_is_not_drawn(box: Box, kept: bool) -> None:
    records = [replace(r, box=box) if r.record == "cat1" else r for r in table({"cat": 3})]
    config = EpisodesConfig(draw="official", shots=1, queries=1, episodes=50)
    names = {name for e in official_episodes(records, CATEGORIES, "test", config) for name in (*e.supports, *e.queries)}
    assert names == ({"cat0", "cat1", "cat2"} if kept else {"cat0", "cat2"})


def test_records_are_missed_officially_unless_the_official_loaders_drop_them_too() -> None:
    actual = [
        ("1", "cat", Reason.MISSING_IMAGE),
        ("2", "cat", Reason.VISIBILITY),
        ("2", "cat", Reason.IMAGE_SIZE),
        ("3", "cat", Reason.MISSING_IMAGE),
        ("3", "cat", Reason.BOX_EXTENT),
        ("4", "dog", Reason.NO_KEYPOINT),
        ("", "cow", Reason.BAD_SKELETON),
    ]
    problems = [Problem("a.json", name, category, "", reason, "", "") for name, category, reason in actual]
    assert missed_officially(problems) == {"cat": 2}


@given(sizes=sizes, config=configs)
def test_written_episodes_read_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int], config: EpisodesConfig
) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "episodes.parquet"
    plan = {part: draw_test_episodes(table(sizes), part, config, seed=1) for part in ("val", "test")}
    write_episodes(plan, path)
    assert read_episodes(path) == plan
    assert all(isinstance(e, Episode) for e in read_episodes(path)["val"])
