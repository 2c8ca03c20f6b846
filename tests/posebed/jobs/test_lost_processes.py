"""Schedules that lose their driver, a machine or the memory: what was done stays done, the rest is done once more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from clusters import add_node, cluster_of
from posebed.jobs.requests import is_running, running_tasks
from processes import family, gone, without_agents
from tiny_tasks import all_done, chain, events, running, scheduled, spans, starts_of, states, task, trains
from waiting import waited_for

import ray  # isort: skip
from ray.cluster_utils import Cluster  # isort: skip

pytestmark = [pytest.mark.slow, pytest.mark.faults]

TESTS = Path(__file__).parents[2]
DRIVER = """
import sys
from clusters import add_node, cluster_of
from posebed.jobs.requests import only_command
from tiny_tasks import chain, scheduled, searching, task
search = task("search", "s")
with only_command():
    schedule, lines = scheduled([search, *chain("a", search)], eval(sys.argv[1]), searching("s"))
print(*lines, sep="\\n")
sys.exit(bool(schedule.failed or schedule.stopped))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(script: dict, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, repr(script)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_command_that_is_killed_goes_on_with_the_task_that_was_under_way():
    """In a process of the task's own, as a search has it, and in one that does a task after the other."""
    search = task("search", "s")
    tasks = [search, *chain("a", search)]
    killed, all_of_them = tasks[:2], list[psutil.Process]()
    for number, one in enumerate(killed):
        driver = start({one.name: [("sleep", 600)]})
        waited_for(lambda name=one.name: running(name), 180)
        waited_for(lambda name=one.name: running_tasks() == [name])
        house = family(driver.pid)
        all_of_them += house
        at_work = without_agents(house)
        driver.kill()
        driver.wait()
        waited_for(lambda at_work=at_work: gone(at_work))
        assert not is_running() and running_tasks() == []
        expected = [*["done"] * number, *["never run"] * (len(tasks) - number)]
        assert [*states(tasks).values()] == expected
    driver = start({})
    driver.communicate(timeout=180)
    assert driver.returncode == 0 and all_done(tasks)
    assert [starts_of(one.name) for one in tasks] == [2 if one in killed else 1 for one in tasks]
    waited_for(lambda: gone(all_of_them))


def test_a_task_that_the_machine_has_no_memory_for_says_so():
    driver = start({}, RAY_memory_monitor_refresh_ms="200", RAY_memory_usage_threshold="0.001")
    printed, _ = driver.communicate(timeout=300)
    assert driver.returncode == 1
    assert "search s: failed: ran out of memory: " in printed and "running low on memory" in printed


@pytest.fixture
def two_machines() -> Iterator[tuple[Cluster, object]]:
    with cluster_of({"num_cpus": 2}) as cluster:
        other = add_node(cluster, {"num_cpus": 2})
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster, other
        ray.shutdown()


def test_tasks_of_a_machine_that_is_lost_start_again_on_another(two_machines: tuple[Cluster, object]):
    import threading

    cluster, other = two_machines
    first, then = trains(*"abcd"), trains(*"efgh")

    def lose() -> None:
        waited_for(lambda: all(running(one.name) for one in first), 180)
        cluster.remove_node(other, allow_graceful=False)

    thread = threading.Thread(target=lose)
    thread.start()
    tasks = [*first, *(task("predict", one.key, one) for one in first), *then]
    seconds = {one.name: 100.0 for one in first}
    schedule, lines = scheduled(tasks, {one.name: [("sleep", 15.0)] for one in first}, seconds=seconds)
    thread.join()
    assert not schedule.failed and all_done(tasks)
    again = [one.name for one in first if starts_of(one.name) == 2]
    assert len(again) == 2 and all(f"{name}: lost its process and starts again" in lines for name in again)
    assert sum(starts_of(one.name) for one in tasks) == len(tasks) + 2
    head = {span.node for span in spans().values()}
    assert len(head) == 1, "each ended on the machine that is left"
    assert len({e["node"] for e in events() if "node" in e}) == 2
