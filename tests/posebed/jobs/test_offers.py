"""Offers decide as a look at every task would: what is ready, which goes first, what is skipped, who waits for room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from posebed.config import ResourcesConfig, SearchConfig
from posebed.identity import Identity
from posebed.jobs.estimate import Estimates
from posebed.jobs.graph import Graph, Task
from posebed.jobs.offers import RESTARTS, Offers
from posebed.jobs.outcomes import State, Status
from posebed.jobs.room import Room, together

NODES = [Room(8, 2), Room(8, 2)]
FREE = Room(16, 4)


def task(kind: str, key: str, needs: tuple[str, ...] = (), workers: int = 1) -> Task:
    seed = None if kind in ("score", "search") else 0
    return Task(kind, key, seed, Identity(), needs, "m", workers=workers, resources=ResourcesConfig())


def offers_of(*tasks: Task, seconds: Mapping[str, float] | None = None, searches: int = 0) -> Offers:
    graph = Graph({t.name: t for t in tasks})
    known = {n: Status(graph.tasks[n], State.DONE, seconds=s) for n, s in (seconds or {}).items()}
    search = SearchConfig.model_validate({"model": "m", "split": "s", "pack": "p", "budget": {"epochs": 5}})
    settings = {t.key: search for t in tasks if t.kind == "search"}
    return Offers(graph, [*graph.tasks], settings, Estimates(known).remaining(graph, [*graph.tasks]))


@given(st.data())
def test_offers_are_those_of_a_look_at_every_task(data: st.DataObject):
    tasks: list[Task] = []
    for i in range(data.draw(st.integers(1, 9))):
        names = [t.name for t in tasks]
        needs = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []
        tasks.append(task("predict", f"t{i}", tuple(needs)))
    graph = Graph({t.name: t for t in tasks})
    todo = {name for name in graph.tasks if data.draw(st.booleans())}
    rank = {name: float(data.draw(st.integers(1, 4))) for name in todo}
    offers = Offers(graph, todo, {}, rank)
    under, done = set[str](), set[str]()
    while offers.waiting or under:
        bad = {*offers.failed, *offers.skipped, *offers.stopped}
        hopeless = {n for n in offers.waiting if any(need in bad for need in graph.tasks[n].needs)}
        offers.skip_hopeless()
        assert {*offers.skipped} == ({*offers.skipped} & bad) | hopeless
        assert {*offers.skipped.values()} <= {*offers.failed, *offers.stopped}
        ready = [n for n in graph.tasks if n in offers.waiting]
        ready = [n for n in ready if all(need not in todo or need in done for need in graph.tasks[n].needs)]
        offer = offers.next(NODES, FREE)
        assert (offer and offer.task.name) == min(ready, key=lambda n: -rank[n], default=None)
        if offer and data.draw(st.booleans()):
            offers.start(offer.task.name)
            under.add(offer.task.name)
        elif under:
            name = data.draw(st.sampled_from(sorted(under)))
            under.discard(name)
            what = data.draw(st.sampled_from(["end", "again", "fail", "stop"]))
            if what == "end":
                offers.end(name)
                done.add(name)
            elif what == "again":
                offers.wait_again(name)
            elif what == "fail":
                offers.fail(name, "why")
            else:
                offers.stop(name)
        elif offer:
            offers.stop(offer.task.name)
    assert done | {*offers.failed} | {*offers.skipped} | offers.stopped == todo


@given(st.integers(0, 4))
def test_a_task_that_waits_for_room_keeps_smaller_ones_waiting(gpus: int):
    large, small = task("train", "large", workers=3), task("train", "small")
    offers = offers_of(small, large, seconds={large.name: 9.0, small.name: 1.0})
    offer = offers.next(NODES, Room(16, gpus))
    assert (offer and offer.task) == (large if gpus >= 3 else None)


def test_what_the_empty_cluster_cannot_hold_is_offered_as_too_large_whatever_is_free():
    offer = offers_of(task("train", "wide", workers=5)).next(NODES, Room(0))
    assert offer and offer.too_large and (offer.count, offer.held) == (5, 4)


@given(st.data())
def test_a_task_that_the_cluster_once_held_waits_for_its_machines_and_lets_others_pass(data: st.DataObject):
    """Machines come and go. A task fails only where there were never enough at a time, none is given processors once
    there were accelerators, and of those that the living machines hold the first is offered."""
    kinds = [Room(4), Room(4, 2), Room(8, 1)]
    tasks = [task("train", f"t{i}", workers=data.draw(st.integers(1, 5))) for i in range(data.draw(st.integers(1, 5)))]
    offers = offers_of(*tasks)
    most = dict.fromkeys(kinds, 0)
    for _ in range(data.draw(st.integers(1, 6))):
        nodes = data.draw(st.lists(st.sampled_from(kinds), max_size=3))
        now = {kind: nodes.count(kind) for kind in kinds}
        most = {kind: max(count, now[kind]) for kind, count in most.items()}
        share = Room(1, 1) if any(kind.gpus for kind, count in most.items() if count) else Room(1)
        held, ever = (sum(share.times_in(kind) * count for kind, count in counts.items()) for counts in (now, most))
        waiting = [t for t in tasks if t.name in offers.waiting]
        first = next((t for t in waiting if t.workers > ever or t.workers <= held), None)
        offer = offers.next(nodes, together(nodes))
        assert (offer and offer.task) == first
        passed = next(iter(waiting[: waiting.index(first)] if first else waiting), None)
        assert (offers.missing and offers.missing.task) == passed
        if offer:
            assert offer.share == share and offer.too_large == (offer.task.workers > ever)
            if offer.too_large:
                offers.fail(offer.task.name, "too large")
            else:
                offers.start(offer.task.name)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 4))
def test_a_task_whose_workers_may_change_is_offered_as_soon_as_its_fewest_fit_and_takes_what_there_is(
    fewest: int, more: int, gpus: int
):
    changing = replace(task("train", "changing", workers=fewest + more), fewest=fewest)
    offer = offers_of(changing).next(NODES, Room(16, gpus))
    assert (offer is not None) == (gpus >= fewest)
    if offer:
        assert offer.workers == offer.count == min(fewest + more, gpus) and offer.need == Room(1, 1) * offer.count


def test_searches_share_the_cluster_with_those_that_are_still_to_do():
    offers = offers_of(task("search", "a"), task("search", "b"))
    for expected in (2, 4):
        offer = offers.next(NODES, FREE)
        assert offer and offer.at_once == expected and offer.need == Room(expected, expected)
        offers.start(offer.task.name)
        offers.end(offer.task.name)


@given(st.lists(st.sampled_from(["lost", "announced", "further", "again"]), max_size=30))
def test_a_task_fails_at_the_fourth_loss_in_a_row_without_getting_any_further(happenings: list[str]):
    """It gets further, or keeps again what it had kept before; a loss that is announced does not count."""
    offers = offers_of(one := task("train", "one"))
    kept, in_a_row = 0, 0
    for what in happenings:
        offers.start(one.name)
        if what in ("further", "again"):
            kept += what == "further"
            offers.keep(one.name, kept)
            in_a_row = 0 if what == "further" else in_a_row
            continue
        in_a_row += what == "lost"
        waits = offers.lose(one.name, announced=what == "announced")
        assert waits == (in_a_row <= RESTARTS) == (one.name in offers.waiting)
        if not waits:
            break
