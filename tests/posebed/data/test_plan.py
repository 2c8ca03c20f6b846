"""Episodes: distinct instances of one category, the same for everybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.config import EpisodesConfig
from posebed.data.plan import Episode, draw_episodes, read_episodes, write_episodes
from posebed.records import Record


def record(name: str, category: str, labelled: bool = True) -> Record:
    box = (0.0, 0.0, 5.0, 5.0)
    return Record(name, name, 9, 9, category, box, 25.0, np.full((2, 3), float(labelled), np.float32))


def table(sizes: dict[str, int]) -> list[Record]:
    return [record(f"{category}{i}", category) for category, size in sizes.items() for i in range(size)]


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
    episodes = draw_episodes(table(sizes), part, config, seed)
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
        episodes = draw_episodes(records, "test", config, seed)
        return [(e.category, e.supports, e.queries) for e in episodes if e.category != "bee"]

    records = table(sizes)
    assert drawn(records) == drawn([*table({"bee": new}), *reversed(records)])


def test_seeds_and_parts_draw_different_episodes() -> None:
    config = EpisodesConfig(episodes=5, val_episodes=5)
    plans = [draw_episodes(table({"cat": 40}), part, config, seed) for part in ("val", "test") for seed in (0, 1)]
    assert all(a != b for i, a in enumerate(plans) for b in plans[:i])


def test_every_instance_is_drawn_as_support_and_as_query() -> None:
    episodes = draw_episodes(table({"cat": 8}), "test", EpisodesConfig(queries=2, episodes=100), seed=0)
    assert len({name for e in episodes for name in e.supports}) == 8
    assert len({name for e in episodes for name in e.queries}) == 8


def test_a_support_has_a_labelled_keypoint() -> None:
    records = [record(f"cat{i}", "cat", labelled=i < 3) for i in range(10)]
    episodes = draw_episodes(records, "test", EpisodesConfig(shots=2, queries=8), seed=0)
    assert {name for e in episodes for name in e.supports} == {"cat0", "cat1", "cat2"}
    assert all(len(e.queries) == 8 for e in episodes)


@pytest.mark.parametrize("sizes", [{"cat": 2, "dog": 9}, {"cat": 1, "dog": 9}])
def test_a_category_without_a_query_is_refused_by_name(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"more than 2 records .* cat has {sizes['cat']}"):
        draw_episodes(table(sizes), "test", EpisodesConfig(shots=2), seed=0)


@given(sizes=sizes, config=configs)
def test_written_episodes_read_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int], config: EpisodesConfig
) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "episodes.parquet"
    plan = {part: draw_episodes(table(sizes), part, config, seed=1) for part in ("val", "test")}
    write_episodes(plan, path)
    assert read_episodes(path) == plan
    assert all(isinstance(e, Episode) for e in read_episodes(path)["val"])
