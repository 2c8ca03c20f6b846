"""A cluster that grows by itself is asked for what is ready and waits, and for nothing once nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from clusters import growing_cluster
from posebed.jobs.autoscaling import MACHINES, MOST, Demand, expected_machines
from posebed.jobs.room import Room
from tiny_tasks import all_done, scheduled, spans, task, trains
from waiting import waited_for

import ray  # isort: skip


def test_machines_that_a_cluster_may_come_to_have_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    assert expected_machines() == []
    monkeypatch.setenv(MACHINES, "[{count: 2, cpus: 16, gpus: 8, memory_gb: 200}, {cpus: 4}]")
    fast, _, slow = expected_machines()
    assert fast == Room(16, 8, 200e9) and (slow.cpus, slow.gpus) == (4, 0)
    assert Room(4, 0, 900e9).fits(slow), "its memory is not stated"


@pytest.mark.parametrize(
    ("text", "words"),
    [("8", "Input should be a valid list"), ("[{gpus: 8}]", "cpus: Field required"), ("[{", MACHINES)],
)
def test_what_is_no_list_of_machines_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, text: str, words: str):
    monkeypatch.setenv(MACHINES, text)
    with pytest.raises(ValueError, match=words):
        expected_machines()


def test_a_request_is_bounded_repeated_and_taken_back(monkeypatch: pytest.MonkeyPatch):
    asked: list[Sequence[dict[str, float]]] = []
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda bundles: asked.append(bundles))
    demand = Demand()
    demand.ask([])
    assert asked == [[]], "a command that was killed may have left its wish"
    demand.ask([])
    assert asked.pop() == [] and not asked, "nothing is asked for, and nothing was"
    demand.ask([Room(1, 0.5, 2e9), Room(2)])
    demand.ask([Room(1, 0.5, 2e9), Room(2)])
    assert asked == [[{"CPU": 1, "GPU": 0.5, "memory": 2e9}, {"CPU": 2}]]
    monkeypatch.setattr("posebed.jobs.autoscaling.REPEAT_SECONDS", 0.0)
    demand.ask([Room(1, 0.5, 2e9), Room(2)])
    assert len(asked) == 2
    demand.ask([Room(1)] * (MOST + 1))
    assert asked[-1] == [{"CPU": 1}] * MOST
    demand.ask([])
    demand.ask([])
    assert asked[3:] == [[]]


@pytest.mark.services
@pytest.mark.timeout(600)
def test_a_cluster_without_accelerators_grows_for_what_needs_them_and_shrinks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is trained on the processors that are there from the beginning, nor refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MACHINES, "[{count: 2, cpus: 1, gpus: 1}]")
    fast = {"resources": {"CPU": 1, "GPU": 1, "object_store_memory": 80 * 2**20}, "max_workers": 2}
    with growing_cluster(tmp_path, 1, {"fast": fast}) as address:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        try:
            both = trains("a", "b")
            large = task("train", "large", gpus=1, cpus=4, workers=3)
            script = {one.name: [("meet", 3)] for one in both}
            schedule, lines = scheduled([*both, large, task("score", "plain")], script)
            assert schedule.failed.keys() == {large.name} and all_done(both), "three were never expected"
            assert len({spans()[one.name].node for one in both}) == 2
            assert {spans()[one.name].gpu for one in both} == {"0"}
            assert any("waits for machines; it needs 1 processors, 1 accelerators on one machine" in at for at in lines)
            waited_for(lambda: sum(node["Alive"] for node in ray.nodes()) == 1, what="an end of the idle nodes")
        finally:
            ray.shutdown()
