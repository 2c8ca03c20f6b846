"""Tasks on a real Ray cluster: what runs when, what a failure, a loss or a stop leads to. The tasks are tiny."""

from __future__ import annotations

import _thread
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusters import add_node, cluster_of
from posebed.catalog import Catalog
from posebed.config import LimitsConfig
from posebed.identity import Identity
from posebed.jobs.estimate import Estimates
from posebed.jobs.graph import Graph, Task
from posebed.jobs.machines import Machines
from posebed.jobs.outcomes import State, Status, log_file, write_record
from posebed.jobs.requests import RUNNING, STOPS, ask_to_stop, noted_interrupts
from posebed.jobs.schedule import OWN_LEAVES, RESTARTS, Plan, Schedule
from posebed.params import Params
from posebed.places import PROCESS_JOBS
from tiny_tasks import (
    EVENTS,
    SCRIPT,
    Lines,
    all_done,
    chain,
    events,
    most_at_once,
    perform,
    running,
    scheduled,
    searching,
    spans,
    starts_of,
    states,
    task,
    trains,
)
from waiting import waited_for

import ray  # isort: skip
from ray._raylet import GcsClient  # isort: skip
from ray.cluster_utils import Cluster  # isort: skip
from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # isort: skip

pytestmark = pytest.mark.services

NODE = {"num_cpus": 2, "memory": 2 * 10**9}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of one node with two processors and 2 GB."""
    with cluster_of(NODE) as cluster:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
        ray.shutdown()


@pytest.fixture(autouse=True)
def folder(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def more(cluster: Cluster) -> Iterator[Callable[..., Any]]:
    """Adds a node for the time of the test."""
    added = []

    def add(**having: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # else Ray allows no accelerator to be declared
            added.append(add_node(cluster, {**NODE, **having}))
        cluster.wait_for_nodes()
        return added[-1]

    yield add
    for node in added:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)
    waited_for(lambda: sum(node["Alive"] for node in ray.nodes()) == 1)


# --- what runs when


def test_the_longest_way_to_the_end_goes_first():
    alone = {"cpus": 2}
    short, long = task("train", "short", **alone), task("train", "long", **alone)
    tasks = [short, long, task("predict", "long", long, **alone), task("predict", "short", short, **alone)]
    known = {
        "train short seed 0": 5.0,
        "train long seed 0": 1.0,
        "predict long seed 0": 9.0,
        "predict short seed 0": 1.0,
    }
    scheduled(tasks, seconds=known)
    assert [*spans()] == ["train long seed 0", "predict long seed 0", "train short seed 0", "predict short seed 0"]
    assert most_at_once() == 1


def test_as_many_run_at_once_as_there_is_room_for_in_processes_that_stay():
    tasks = [t for key in "abcd" for t in chain(key)]
    done: list[str] = []
    SCRIPT.write_text(json.dumps({f"train {key} seed 0": [("meet", 2)] for key in "abcd"}))
    graph = Graph({task.name: task for task in tasks})
    plan = Plan(
        graph, [*graph.tasks], Params(), Catalog(), perform, (), lambda task: done.append(task.name), imports=()
    )
    Schedule(plan, Estimates({}), Lines()).run()
    assert most_at_once() == 2
    assert len({span.pid for span in spans().values()}) == 2
    assert sorted(done) == sorted(graph.tasks) and all_done(tasks)
    at = spans()
    assert all(at[need].end <= at[name].start for name, one in graph.tasks.items() for need in one.needs)
    assert json.loads(RUNNING.read_text())["tasks"] == []


def test_memory_that_is_stated_is_kept_free():
    scheduled(trains("a", "b", memory_gb=1.5), {"*": [("sleep", 0.5)]})
    assert most_at_once() == 1


def test_what_the_cluster_cannot_hold_fails_in_a_sentence_and_nothing_else_does():
    cpus, memory = task("train", "cpus", cpus=64), task("train", "memory", memory_gb=900)
    wide, small = task("train", "wide", workers=3), chain("small")
    schedule, _ = scheduled([cpus, memory, wide, task("predict", "wide", wide), *small])
    assert schedule.failed.keys() == {cpus.name, memory.name, wide.name}
    for large, words in (
        (cpus, "64 processors, 0 accelerators on one machine"),
        (memory, "1 processors, 0 accelerators, 900 GB on one machine"),
        (wide, "1 processors, 0 accelerators for each of 3 workers, of which it holds 2"),
    ):
        has = "must fit into the cluster, which has at most 2 processors, 0 accelerators, 2 GB, but needs "
        assert schedule.failed[large.name] == has + words
    assert schedule.skipped == {"predict wide seed 0": "train wide seed 0"} and all_done(small)


def test_two_machines_are_used_at_once_and_a_large_task_has_one_of_them(more: Callable[..., Any]):
    """The four small tasks leave an idle process each, two on every machine, which must not be in the large one's
    way."""
    more()
    small = trains(*"abcd")
    tasks = [*small, task("predict", "large", *small, cpus=2), task("train", "larger", cpus=3)]
    schedule, _ = scheduled(tasks, {one.name: [("meet", 4)] for one in small})
    names = {one.name for one in small}
    assert most_at_once(names) == 4 and len({spans()[name].node for name in names}) == 2
    assert "predict large seed 0" in spans()
    assert "which has at most 4 processors" in schedule.failed["train larger seed 0"], "no machine has three"


def test_checkpoints_of_a_training_go_once_its_outcome_is_recorded_and_not_before():
    done, fails = trains("done", "fails")
    places = {one.key: PROCESS_JOBS / str(one.job) for one in (done, fails)}
    for place in places.values():
        place.mkdir(parents=True)
    there: list[bool] = []

    def recorded(task: Task) -> None:
        there.append(task.record.is_file())

    SCRIPT.write_text(json.dumps({fails.name: [("raise", "no")]}))
    graph = Graph({one.name: one for one in (done, fails)})
    plan = Plan(graph, [*graph.tasks], Params(), Catalog(), perform, (), recorded, imports=())
    Schedule(plan, Estimates({}), Lines()).run()
    assert there == [True]
    assert {key: place.exists() for key, place in places.items()} == {"done": False, "fails": True}


def test_tasks_whose_work_is_done_by_processes_of_their_own_find_room_for_them():
    small = trains(*"ab")
    wide = task("train", "wide", *small, workers=2)
    search = task("search", "s", wide)
    tasks = [*small, wide, search]
    schedule, _ = scheduled(tasks, {wide.name: [("actors", 2)], search.name: [("actors", 2)]}, searching("s"))
    assert not schedule.failed and all_done(tasks)
    assert {e["task"]: e["at"] for e in events() if e["what"] == "start"} == {
        **{one.name: 1 for one in (*small, wide)},
        search.name: 2,
    }


def test_tasks_share_an_accelerator_and_those_that_ask_for_a_whole_one_have_it(more: Callable[..., Any]):
    more(num_cpus=4, num_gpus=1)
    halves, whole = trains(*"ab", gpus=0.5), trains("whole", gpus=1.0)
    known = {"train whole seed 0": 1.0} | dict.fromkeys((t.name for t in halves), 100.0)
    # The score starts with the halves, since it needs no accelerator.
    script = {one.name: [("meet", 3)] for one in halves}
    scheduled([*halves, *whole, task("score", "plain")], script, seconds=known)
    names = {t.name for t in halves}
    assert most_at_once(names) == 2
    at = spans()
    assert {at[name].gpu for name in (*names, "train whole seed 0")} == {"0"}
    assert all(at[name].end <= at["train whole seed 0"].start for name in names)


def test_what_needs_a_machine_that_is_away_waits_for_it_and_all_else_goes_on(
    more: Callable[..., Any], cluster: Cluster
):
    """The only machine with an accelerator is lost while it is at work, and another one comes: no training is done on
    processors, and none fails."""
    fast = more(num_cpus=1, num_gpus=1)
    one, two = trains("one", "two")
    scores = [task("score", key) for key in "abc"]
    tasks = [one, two, task("score", "after", one), *scores]

    class Replaces(Lines):
        def say(self, line: str) -> None:
            super().say(line)
            if "score" in line and all_done(scores) and fast not in cluster.list_all_nodes() and not self.replaced:
                self.replaced = more(num_cpus=1, num_gpus=1)

        replaced: Any = None

    SCRIPT.write_text(json.dumps({one.name: [("sleep", 5)]}))
    graph, lines = Graph({task.name: task for task in tasks}), Replaces()
    thread = when(lambda: running(one.name), lambda: cluster.remove_node(fast, allow_graceful=False))
    plan = Plan(graph, [*graph.tasks], Params(), Catalog(), perform, (), imports=())
    schedule = Schedule(plan, Estimates({one.name: Status(one, State.DONE, seconds=100.0)}), lines)
    schedule.run()
    thread.join()
    assert all_done(tasks) and not schedule.failed
    assert {e["gpu"] for e in events() if e["what"] == "start" and e["task"].startswith("train")} == {"0"}
    (waits,) = [line for line in lines.lines if "waits for machines" in line]
    assert "it needs 1 processors, 1 accelerators on one machine, and those that are there have 2 processors" in waits


# --- what becomes of failures


def test_tasks_that_fail_are_kept_with_their_reasons_and_given_again_are_tried_alone():
    bad, good, greedy = chain("bad"), chain("good"), trains("greedy")
    script = {"train bad seed 0": [("raise", "lr must be\n positive")], "train greedy seed 0": [("memory", 0)]}
    schedule, lines = scheduled([*bad, *good, *greedy], script)
    assert schedule.failed["train bad seed 0"] == "lr must be positive"
    assert schedule.failed["train greedy seed 0"].startswith("ran out of memory") and len(schedule.failed) == 2
    assert schedule.skipped == dict.fromkeys(["predict bad seed 0", "score bad"], "train bad seed 0")
    assert all_done(good)
    assert [*states([*bad, *greedy]).values()] == ["failed", "never run", "never run", "failed"]
    assert any("train bad seed 0: failed: lr must be positive" in line for line in lines)
    log = log_file(bad[0]).read_text()
    assert "Traceback" in log and "raise ValueError" in log

    EVENTS.unlink()
    schedule, _ = scheduled([*bad, *good, *greedy])
    assert not schedule.failed and all_done([*bad, *good, *greedy])
    assert {*spans()} == {"train bad seed 0", "predict bad seed 0", "score bad", "train greedy seed 0"}


def test_a_task_that_fails_is_not_taken_for_done_by_what_it_left_before():
    (one,) = trains("a")
    one.outcome.parent.mkdir(parents=True)
    one.outcome.write_text("of before")
    write_record(one, 1.0)
    changed = replace(one, identity=Identity({"name": "changed"}))
    scheduled([changed], {"*": [("raise", "no")]})
    assert states([changed]) == {one.name: "failed"} and states([one]) == {one.name: "never run"}


def test_a_task_that_lost_its_process_starts_again_and_one_that_loses_every_process_fails():
    tasks, hopeless = [*chain("a"), *trains("b")], chain("hopeless")
    script = {"train a seed 0": [("kill", 2)], "train hopeless seed 0": [("kill", 99)]}
    schedule, lines = scheduled([*tasks, *hopeless], script)
    assert schedule.failed.keys() == {"train hopeless seed 0"} and all_done(tasks)
    assert [starts_of(f"train {key} seed 0") for key in ("a", "b", "hopeless")] == [3, 1, RESTARTS + 1]
    assert lines.count("train a seed 0: lost its process and starts again") == 2
    assert (
        f"lost its process {RESTARTS + 1} times without getting any further, at last with: "
        in schedule.failed["train hopeless seed 0"]
    )
    assert schedule.skipped.keys() == {"predict hopeless seed 0", "score hopeless"}


def test_a_task_that_keeps_something_new_before_every_loss_is_not_given_up():
    (one,) = trains("a")
    schedule, lines = scheduled([one], {one.name: [("keep", "more"), ("kill", 2 * RESTARTS)]})
    assert not schedule.failed and starts_of(one.name) == 2 * RESTARTS + 1
    assert lines.count(f"{one.name}: lost its process and starts again") == 2 * RESTARTS


@pytest.mark.parametrize("how", ["reserve", "reserve by an actor"])
def test_a_search_that_lost_its_process_finds_the_room_again_that_it_had_reserved(how: str):
    search = task("search", "s")
    script = {search.name: [(how, 2), ("kill", 2)]}
    schedule, lines = scheduled([search, *chain("a", search)], script, searching("s"))
    assert not schedule.failed and all_done([search, *chain("a", search)])
    assert lines.count(f"{search.name}: lost its process and starts again") == 2


def test_processes_that_wait_for_a_task_give_way_to_one_whose_machine_was_lost_before_it_had_a_place(
    monkeypatch: pytest.MonkeyPatch,
):
    looks = 0

    class OneMachineTooMany(Machines):
        """At first there seems to be another machine, as until Ray notices that one is lost."""

        def __init__(self) -> None:
            nonlocal looks
            super().__init__()
            looks += 1
            if looks == 1:
                self.rooms = self.staying = self.rooms * 2

    monkeypatch.setattr("posebed.jobs.schedule.Machines", OneMachineTooMany)
    tasks = [one for key in "abcd" for one in chain(key)]
    schedule, _ = scheduled(tasks)
    assert all_done(tasks) and not schedule.failed


def test_tasks_leave_a_machine_that_will_be_taken_away_and_go_on_elsewhere(more: Callable[..., Any], cluster: Cluster):
    going = more().node_id

    def drain() -> None:
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        soon = int((time.time() + 600) * 1000)
        assert GcsClient(address=cluster.address).drain_node(going, reason, "spot", soon)[0]
        waited_for(lambda: sum("goes on elsewhere" in line for line in lines.lines) == 2)
        Path("moved").touch()

    tasks = [one for key in "abcd" for one in chain(key)]
    SCRIPT.write_text(json.dumps({f"train {key} seed 0": [("leave", "moved")] for key in "abcd"}))
    thread = when(lambda: all(running(f"train {key} seed 0") for key in "abcd"), drain)
    graph, lines = Graph({task.name: task for task in tasks}), Lines()
    schedule = Schedule(Plan(graph, [*graph.tasks], Params(), Catalog(), perform, (), imports=()), Estimates({}), lines)
    schedule.run()
    thread.join()
    assert all_done(tasks) and not schedule.failed
    started = [(e["task"], e["node"]) for e in events() if e["what"] == "start"]
    left = {name for name, node in started if node == going}
    assert len(left) == 2 and all(starts_of(name) == (2 if name in left else 1) for name, _ in started)
    assert going not in {span.node for span in spans().values()}
    assert not any("lost its process" in line for line in lines.lines)


def test_a_command_whose_own_machine_leaves_starts_nothing_else_and_says_so(monkeypatch: pytest.MonkeyPatch):
    class Announced(Machines):
        def __init__(self) -> None:
            super().__init__()
            self.own_leaves = running("train a seed 0")
            if self.own_leaves:
                self.leaving, self.staying = {node["NodeID"] for node in ray.nodes()}, []

    monkeypatch.setattr("posebed.jobs.schedule.Machines", Announced)
    tasks = [*chain("a"), *trains("b", "c")]
    schedule, lines = scheduled(tasks, {"*": [("leave", "never")]})
    assert "train a seed 0: has kept a checkpoint and goes on elsewhere" in lines and lines[-1] == OWN_LEAVES
    assert schedule.stopped | {*schedule.skipped} == {t.name for t in tasks} and not schedule.failed


# --- stops


def when(condition: Callable[[], bool], act: Callable[[], Any]) -> threading.Thread:
    """Act in another thread, once something is so."""

    def wait() -> None:
        waited_for(condition)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_run_is_stopped_and_the_others_go_on():
    tasks = [*chain("a"), *chain("b")]
    thread = when(lambda: running("train a seed 0"), lambda: ask_to_stop(["a"]))
    schedule, lines = scheduled(tasks, {"train a seed 0": [("sleep", 100)]})
    thread.join()
    assert schedule.stopped | {*schedule.skipped} == {t.name for t in tasks if t.key == "a"}
    assert "train a seed 0: stopped" in lines
    assert all_done(tasks[3:]) and not schedule.failed
    STOPS.unlink()
    schedule, _ = scheduled(tasks)
    assert all_done(tasks)


def test_searches_are_stopped_by_their_own_name():
    searches = [task("search", "a"), task("search", "b")]
    thread = when(lambda: running("search a"), lambda: ask_to_stop(["search@a"]))
    script = {"search a": [("reserve", 2), ("sleep", 100)], "search b": [("reserve", 2)]}
    schedule, _ = scheduled(searches, script, searching("a", "b"))
    thread.join()
    assert schedule.stopped == {"search a"} and all_done(searches[1:]), "their room is free again"


def test_a_search_has_the_databases_of_the_command_though_ray_was_started_without(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POSEBED_STUDIES", "postgresql://of/the/command")
    scheduled([task("search", "s")], params=searching("s"))
    assert [e["studies"] for e in events() if e["what"] == "start"] == ["postgresql://of/the/command"]


@pytest.mark.parametrize("how", [lambda: ask_to_stop([]), _thread.interrupt_main])
def test_everything_is_stopped_by_a_command_or_an_interrupt(how: Callable[[], None]):
    tasks = [*chain("a"), *trains("b", "c")]
    thread = when(lambda: running("train a seed 0"), how)
    schedule, _ = scheduled(tasks, {"*": [("sleep", 100)]})
    thread.join()
    assert schedule.stopped | {*schedule.skipped} == {t.name for t in tasks} and not schedule.failed
    assert json.loads(RUNNING.read_text())["tasks"] == []


def test_an_interrupt_is_noted_where_it_would_be_swallowed_and_a_second_one_is_raised():
    class Swallows:
        def __del__(self) -> None:
            _thread.interrupt_main()
            time.sleep(0.01)

    former = signal.getsignal(signal.SIGINT)  # workers of pytest-xdist ignore interrupts
    with noted_interrupts() as interrupted:
        assert not interrupted()
        Swallows()
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            _thread.interrupt_main()
            time.sleep(10)
    assert signal.getsignal(signal.SIGINT) is former


def test_a_task_over_its_limit_fails_and_the_others_go_on():
    limits = Params(limits=LimitsConfig(run_hours=0.01))
    schedule, _ = scheduled(trains(*"abc"), {"train a seed 0": [("sleep", 1000)]}, limits)
    assert schedule.failed.keys() == {"train a seed 0"}
    assert "must end within limits.run_hours, which is 0.01, but did not" in schedule.failed["train a seed 0"]
    assert all_done(trains(*"bc"))


def test_a_command_over_its_limit_stops_what_is_left():
    limits = Params(limits=LimitsConfig(total_hours=0.01))
    schedule, _ = scheduled(trains(*"abc"), {"train a seed 0": [], "*": [("sleep", 1000)]}, limits)
    assert schedule.stopped == {"train b seed 0", "train c seed 0"} and all_done(trains("a"))
