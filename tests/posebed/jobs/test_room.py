"""How much of a cluster tasks take: never more than any machine has, and as much as it holds."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.config import ResourcesConfig, SearchConfig
from posebed.identity import Identity
from posebed.jobs.graph import Task
from posebed.jobs.room import Room, share_of, slots, together, trials_at_once

shares = st.builds(Room, st.integers(1, 4), st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 1.0]), st.integers(0, 9))
machines = st.builds(Room, st.integers(0, 16), st.integers(0, 4), st.integers(0, 64))


def most(share: Room, machine: Room) -> int:
    """In exact numbers, where a third is a third."""
    pairs = ((share.cpus, machine.cpus), (share.gpus, machine.gpus), (share.memory, machine.memory))
    return min(int(Fraction(having) / Fraction(taken).limit_denominator(100)) for taken, having in pairs if taken)


@given(shares, machines)
def test_a_share_fits_as_often_as_there_is_room_and_no_more_often(share: Room, machine: Room):
    count = share.times_in(machine)
    assert count == most(share, machine)
    assert (share * count).fits(machine) and not (share * (count + 1)).fits(machine)


@given(shares, st.lists(machines, max_size=4))
def test_workers_lie_on_one_machine_each(share: Room, nodes: list[Room]):
    assert slots(share, nodes) == sum(most(share, node) for node in nodes)
    assert (share * slots(share, nodes)).fits(together(nodes))


def task(kind: str, workers: int = 1, **resources: float) -> Task:
    return Task(kind, "k", 0, Identity(), (), "m", workers=workers, resources=ResourcesConfig(**resources))


def test_a_worker_takes_accelerators_where_there_are_and_processors_elsewhere():
    plain, fast = [Room(8)], [Room(8), Room(8, 2)]
    assert share_of(task("train", cpus=3, gpus=0.25, memory_gb=2), plain) == Room(3, 0, 2e9)
    assert share_of(task("train", cpus=3, gpus=0.25, memory_gb=2), fast) == Room(1, 0.25, 2e9)
    assert share_of(task("train", workers=2, gpus=0.25), fast) == Room(1, 1), "two workers cannot share one"
    assert share_of(task("score", cpus=3, gpus=0.25), fast) == share_of(task("score", cpus=3), plain) == Room(1)


@given(st.integers(0, 40), st.integers(1, 4), st.integers(1, 6), st.none() | st.integers(1, 9))
def test_searches_take_equal_parts_of_the_cluster_unless_they_state_how_many(
    slots: int, workers: int, searches: int, stated: int | None
):
    search = SearchConfig(model="m", split="s", pack="p", budget={"epochs": 5}, at_once=stated)
    count = trials_at_once(search, slots, workers, searches)
    assert count == stated or stated is None
    if stated is None and count > 1:
        assert count * searches * workers <= slots < (count + 1) * searches * workers
    few = search.model_copy(update={"budget": search.budget.model_copy(update={"trials": 2})})
    assert trials_at_once(few, slots, workers, searches) == min(count, 2) >= 1


@pytest.mark.parametrize(("room", "words"), [(Room(2), "2 processors, 0 accelerators"), (Room(1, 0.5, 3e9), "3 GB")])
def test_room_is_shown_in_words(room: Room, words: str):
    assert words in str(room)
