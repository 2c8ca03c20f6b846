"""The tracker's mirror of searches, in a real MLflow store on sqlite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from posebed.reporting import search_tracking
from posebed.reporting.mlflow_client import TrackerError
from posebed.reporting.search_mirror import END, MirrorProcess
from posebed.reporting.search_tracking import EXPERIMENT, PARENT, TRIAL, SearchMirror, SearchTracker, tracked_searches
from posebed.scoring.search_result import SearchResult

pytestmark = pytest.mark.slow

Make = Callable[..., SearchResult]
Mirror = type[SearchMirror] | type[MirrorProcess]
TRIALS: list[Any] = [
    {"validation": 0.4, "cost": 7.5},
    {"validation": 0.3, "epochs": 1, "state": "pruned"},
    {"validation": None, "epochs": 0, "state": "failed", "failed": "out of memory", "notes": ["it was lost once"]},
    {"validation": 0.6, "cost": 9.5},
]


def tracked(uri: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The parent, and its children by the number of their trial."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    parents: list[str] = []
    described: dict[str | None, dict[str, Any]] = {}
    for run in client.search_runs([experiment.experiment_id]):
        tags, metrics = run.data.tags, run.data.metrics
        history = {n: client.get_metric_history(run.info.run_id, n) for n in metrics}
        parents += [] if TRIAL in tags else [run.info.run_id]
        assert tags.get(TRIAL) not in described, "no trial is written twice"
        described[tags.get(TRIAL)] = {
            "status": run.info.status,
            "times": (run.info.start_time, run.info.end_time),
            "params": run.data.params,
            "metrics": {n: sorted((m.step, m.value) for m in of) for n, of in history.items()},
            "tags": {n: v for n, v in tags.items() if n != PARENT},
            "parent": tags.get(PARENT),
        }
    (parent,) = parents
    children = {number: child for number, child in described.items() if number is not None}
    assert {child.pop("parent") for child in children.values()} <= {parent}
    return {n: v for n, v in described[None].items() if n != "parent"}, children


def test_a_search_has_a_parent_and_a_child_for_each_trial(uri: str, search: Make):
    result = search(trials=TRIALS, cost="gflops")
    SearchTracker(result).close(result)
    parent, children = tracked(uri)
    assert parent["status"] == "FINISHED"
    assert parent["params"]["space.train.lr"] == "0.0001 to 0.01, logarithmic"
    assert {n: v for n, ((_, v),) in parent["metrics"].items()} == {
        "spent/trials": 4,
        "spent/epochs": 7,
        "spent/device_seconds": 14,
        "best/validation/PCK_0.2": 0.6,
        "best/trial": 3,
    }
    assert {n: child["status"] for n, child in children.items()} == {
        "0": "FINISHED", "1": "KILLED", "2": "FAILED", "3": "FINISHED"
    }  # fmt: skip
    first = children["0"]
    assert first["params"] == {"train.lr": "0.001", "model.backbone": "resnet18"}
    assert first["metrics"]["validation/PCK_0.2"] == [(m.epoch, m.validation) for m in result.trials[0].curve]
    assert first["metrics"]["device_seconds"] == [(1, 2.0), (2, 4.0), (3, 6.0)]
    assert first["metrics"]["gflops"] == [(0, 7.5)]
    assert first["times"][1] - first["times"][0] == 6000
    assert children["2"]["tags"]["failed"] == "out of memory"
    assert children["2"]["tags"]["notes"] == "it was lost once"


def test_a_search_that_goes_on_finds_its_runs_again(uri: str, search: Make):
    whole = search(trials=TRIALS, cost="gflops")
    SearchTracker(whole.model_copy(update={"trials": whole.trials[:2]})).log(whole.trials[:2])
    half_way, children = tracked(uri)
    assert half_way["status"] == "RUNNING" and len(children) == 2
    SearchTracker(whole).close(whole)
    assert tracked(uri)[0]["status"] == "FINISHED"
    assert tracked(uri)[1].keys() == {"0", "1", "2", "3"}
    larger = {"budget": {"trials": 5, "epochs": None, "device_seconds": None}, "epochs": 3}
    further = search(trials=[*TRIALS, 0.7], cost="gflops", settings=larger)
    SearchTracker(further).close(further)
    parent, children = tracked(uri)
    assert len(children) == 5 and parent["tags"]["budget.trials"] == "5"
    assert parent["metrics"]["best/trial"][-1][1] == 4


def test_writing_again_changes_nothing(uri: str, search: Make):
    result = search(trials=TRIALS, cost="gflops")
    SearchTracker(result).close(result)
    once = tracked(uri)
    SearchTracker(result).close(result)
    assert tracked(uri) == once


def test_a_child_that_was_cut_short_is_completed(uri: str, search: Make, monkeypatch: pytest.MonkeyPatch):
    result = search(trials=TRIALS, cost="gflops")

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", cut)
        with pytest.raises(KeyboardInterrupt):
            SearchTracker(result).log(result.trials[:1])
    assert tracked(uri)[1]["0"]["status"] == "RUNNING"
    SearchTracker(result).close(result)
    _, children = tracked(uri)
    assert children["0"]["status"] == "FINISHED"
    assert [step for step, _ in children["0"]["metrics"]["validation/PCK_0.2"]] == [1, 2, 3]


def test_finished_searches_are_read_back_as_they_were(uri: str, search: Make):
    assert tracked_searches(uri) == []
    searches = [search("search@a", TRIALS, cost="gflops"), search("search@b", [0.1, 0.2])]
    for one in searches:
        SearchTracker(one).close(one)
    unfinished = search("search@c")
    SearchTracker(unfinished).log(unfinished.trials)
    found = sorted(tracked_searches(uri), key=lambda s: s.key)
    assert [one.model_copy(update={"files": {}}) for one in found] == searches


def test_a_line_that_a_kill_has_cut_ends_the_process_and_nothing_else_is_written(uri: str, search: Make):
    whole = search(trials=TRIALS)
    first, *others = whole.trials
    lines = [whole.model_copy(update={"trials": ()}), first, *others]
    text = "".join(one.model_dump_json() + "\n" for one in lines)[:-20]
    ended = subprocess.run(
        [sys.executable, "-m", MirrorProcess.__module__], input=text, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr


@pytest.mark.parametrize("made", [SearchMirror, MirrorProcess])
def test_the_mirror_writes_what_was_there_before_and_what_ends(uri: str, search: Make, made: Mirror):
    whole = search(trials=TRIALS, cost="gflops")
    with made(whole.model_copy(update={"trials": whole.trials[:1]})) as mirror:
        for trial in whole.trials[1:]:
            mirror.trial(trial)
    assert tracked(uri)[1].keys() == {"0", "1", "2", "3"}


@pytest.mark.parametrize("made", [SearchMirror, MirrorProcess])
def test_a_tracker_out_of_reach_stops_nothing_and_is_filled_later(
    uri: str, search: Make, monkeypatch: pytest.MonkeyPatch, made: Mirror
):
    whole, warnings = search(trials=TRIALS, cost="gflops"), list[str]()
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with made(whole.model_copy(update={"trials": ()}), warnings.append) as mirror:
            for trial in whole.trials[:3]:
                mirror.trial(trial)
    assert len(warnings) == 1 and "could not be tracked" in warnings[0]
    SearchTracker(whole).close(whole)
    assert len(tracked(uri)[1]) == 4


def test_a_tracker_that_comes_back_is_given_what_waited(uri: str, search: Make, monkeypatch: pytest.MonkeyPatch):
    whole = search(trials=TRIALS, cost="gflops")
    reachable: list[bool] = []

    class Away(SearchTracker):
        def __init__(self, of: SearchResult) -> None:
            if not reachable:
                raise TrackerError("away")
            super().__init__(of)

    monkeypatch.setattr(search_tracking, "SearchTracker", Away)
    with SearchMirror(whole.model_copy(update={"trials": ()})) as mirror:
        for trial in whole.trials[:3]:
            mirror.trial(trial)
        reachable.append(True)
        mirror.trial(whole.trials[3])
    assert tracked(uri)[1].keys() == {"0", "1", "2", "3"}


def test_the_process_of_a_mirror_that_is_killed_stops_nothing_and_is_told(uri: str, search: Make):
    whole, warnings = search(trials=TRIALS, cost="gflops"), list[str]()
    before = {*psutil.Process().children()}
    with MirrorProcess(whole.model_copy(update={"trials": ()}), warnings.append) as mirror:
        (process,) = {*psutil.Process().children()} - before
        process.kill()
        for trial in whole.trials:
            mirror.trial(trial)
    assert warnings == ["trials could not all be tracked and are written later: the tracker's process ended early"]


def test_the_process_of_a_mirror_ends_with_a_search_that_is_killed(uri: str, search: Make):
    """Before it has written anything: a successor would write the same."""
    words = [sys.executable, "-m", "posebed.reporting.search_mirror"]
    text = search(trials=TRIALS, cost="gflops").model_dump_json() + "\n"
    cut = subprocess.run(words, input=text, text=True, capture_output=True, timeout=300)
    assert cut.returncode == 1
    whole = subprocess.run(words, input=text + END, text=True, capture_output=True, timeout=300)
    assert (whole.returncode, whole.stdout) == (0, "")
    assert tracked(uri)[1].keys() == {"0", "1", "2", "3"}
