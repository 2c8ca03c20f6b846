"""Searches on real Ray clusters, disturbed on purpose: what ended is kept once, what was under way goes on, and every
trial ends as one that nobody disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch

from clusters import add_node, cluster_of
from experiments import searched_experiment
from posebed.jobs.room import Share
from posebed.jobs.search import Search, open_search, run_search
from posebed.jobs.study import Note, note, open_storage, suggest
from posebed.jobs.workplace import SharedProject
from posebed.scoring.search_result import Measured, SearchResult, Trial, read_search
from posebed.training.log import FolderLog
from posebed.training.loop import epochs
from processes import family, gone, titled, without_agents
from servers import free_port, tracking_server

import ray  # isort: skip
from ray import tune  # isort: skip

pytestmark = [pytest.mark.slow(minutes=5), pytest.mark.faults, pytest.mark.timeout(3000)]

PATIENCE = 600
OWN = {"train.lr": 0.002, "model.deconvs": 2}
SETTINGS = [
    OWN,
    *({"train.lr": rate, "model.deconvs": n} for rate, n in ((0.02, 1), (0.0005, 2), (0.01, 2), (0.005, 3))),
]


def written(project: Path, settings: Sequence[Mapping[str, Any]] = SETTINGS, **more: Any) -> Search:
    """A search of the project, whose study already knows all settings that are to be tried after the run's own. It
    shows what other processes write."""
    entry: dict[str, Any] = {
        "model": "simple_baseline",
        "split": "quads",
        "pack": "small",
        "budget": {"trials": len(SETTINGS)},
        "sampler": "random",
        "scheduler": "none",
        "only": ["train.lr"],
        "space": {"train.lr": {"low": 0.0001, "high": 0.1, "log": True}, "model.deconvs": [1, 2, 3]},
        "config": {"deconvs": 2},
        "train": {"epochs": 6, "checkpoint_every": 1, "draws": 96, "engine": "torch", "lr": 0.002},
    }
    place = project / "params.yaml"
    place.write_text(place.read_text().replace("searches: {}", f"searches:\n  faulty: {json.dumps(entry | more)}"))
    search = open_search(*searched_experiment("faulty"))
    for setting in settings[1:]:
        search.study.enqueue_trial(dict(setting))
    return replace(search, study=optuna.load_study(study_name=search.study.study_name, storage=open_storage()))


def start(log: Path, **environment: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        words = [sys.executable, "-c", "from posestages.cli import main; main()", "search", "faulty"]
        return subprocess.Popen(words, env={**os.environ, **environment}, stdout=file, stderr=subprocess.STDOUT)


def finish(driver: subprocess.Popen[bytes], log: Path) -> SearchResult:
    assert driver.wait(PATIENCE) == 0, log.read_text()
    return read_search(Path("runs/search@faulty"))


def waited_for(condition: Callable[[], bool], what: str, log: Path | None = None) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}: {log and log.read_text()}"
        time.sleep(0.2)


def actors(driver: int) -> list[psutil.Process]:
    """The warm actors that are training."""
    return titled(family(driver), "ResourceTrainable.train", "WarmTrial.train")


def under_way(search: Search) -> list[int]:
    """Numbers of trials that have reported and not ended."""
    running = search.study.get_trials(deepcopy=False)
    return [t.number for t in running if t.state.name == "RUNNING" and t.intermediate_values]


CURVES: dict[str, dict[int, list[float]]] = {}
"""By names of studies, which tests share: they take as long as a search."""


def undisturbed(search: Search) -> dict[int, list[float]]:
    """The best validation by every epoch of each setting, trained in this process."""
    name = search.study.study_name
    if name not in CURVES:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        CURVES[name] = {number: _undisturbed(search, number) for number in range(len(SETTINGS))}
        torch.set_num_threads(threads)
    return CURVES[name]


def _undisturbed(search: Search, number: int) -> list[float]:
    varied = search.experiment.with_overrides(SETTINGS[number])
    log = FolderLog(Path("undisturbed") / str(number), str(number))
    measured = [line.validation or 0.0 for line in epochs(varied, log)]
    return [max(measured[: i + 1]) for i in range(len(measured))]


def by_number(result: SearchResult) -> list[Trial]:
    return sorted(result.trials, key=lambda trial: trial.number)


def assert_each_once(result: SearchResult, expected: Mapping[int, list[float]]) -> None:
    assert [t.number for t in by_number(result)] == list(range(len(SETTINGS)))
    for trial in result.trials:
        assert trial.state == "complete", trial.failed
        assert trial.params == SETTINGS[trial.number]
        assert [m.validation for m in trial.curve] == expected[trial.number], trial.number
    best = max(expected, key=lambda number: expected[number][-1])
    assert result.best.validation == expected[best][-1]


def tracked(uri: str) -> tuple[list[Any], dict[str, Any]]:
    """Parents, and children by the number of their trial; no number twice."""
    from mlflow import MlflowClient

    from posebed.reporting.search_tracking import EXPERIMENT, PARENT, TRIAL

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if PARENT in run.data.tags]
    by_number = {run.data.tags[TRIAL]: run for run in children}
    assert len(by_number) == len(children)
    return [run for run in runs if PARENT not in run.data.tags], by_number


def test_a_search_whose_actor_tracker_process_and_driver_are_killed_ends_as_an_undisturbed_one(project: Path):
    search = written(project)
    expected = undisturbed(search)
    first, second = project / "first.log", project / "second.log"
    port = free_port()
    quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
    with tracking_server(project, port) as uri:
        driver = start(first, MLFLOW_TRACKING_URI=uri, **quick)
        waited_for(lambda: bool(under_way(search)), "a trial under way", first)
    actor = actors(driver.pid)[0]
    actor.send_signal(signal.SIGKILL)
    waited_for(lambda: len(search.trials()) >= 2 and bool(under_way(search)), "a trial after two that ended", first)
    assert gone([actor])

    (own,) = titled(family(driver.pid), "Worker.do")
    before = [*family(own.pid), *actors(driver.pid)]
    own.send_signal(signal.SIGKILL)
    waited_for(lambda: gone([own, *before]) and bool(under_way(search)), "a search that starts again", first)
    waited_for(lambda: bool(actors(driver.pid)), "actors of the search's successor", first)

    house = without_agents(family(driver.pid))
    driver.kill()
    driver.wait()
    waited_for(lambda: gone(house), "an empty house")
    ended = {t.number: t.ended for t in search.trials()}
    assert not Path("runs/search@faulty").exists()

    with tracking_server(project, port) as uri:
        driver = start(second, MLFLOW_TRACKING_URI=uri, **quick)
        waited_for(lambda: len(search.trials()) > len(ended), "another trial", second)
        house = family(driver.pid)
        result = finish(driver, second)
        parents, children = tracked(uri)
    waited_for(lambda: gone(house), "an empty house")

    assert_each_once(result, expected)
    assert {t.number: t.ended for t in result.trials if t.number in ended} == ended, "kept as it was"
    assert "could not be tracked" in first.read_text()
    assert f"goes on after {len(ended)} trials" in second.read_text()
    assert any("its process was lost" in note for trial in result.trials for note in trial.notes)
    assert "its process was lost" in first.read_text() + second.read_text()
    assert "search faulty: lost its process and starts again" in first.read_text()
    assert len(parents) == 1 and parents[0].info.status == "FINISHED"
    assert sorted(children) == [str(number) for number in range(len(SETTINGS))]
    for trial in result.trials:
        run = children[str(trial.number)]
        assert run.info.status == "FINISHED" and run.data.params["train.lr"] == str(trial.params["train.lr"])
        assert run.data.metrics["validation/PCK_0.2"] == pytest.approx(trial.validation)
        assert run.data.metrics["device_seconds"] == pytest.approx(trial.device_seconds, rel=1e-3)
    assert not list(Path(".posebed/ray").rglob("trial-*"))
    assert not list(Path(".posebed/ray/tune").glob("search@faulty-*")), "nor what Tune wrote for those that were killed"


def test_a_search_that_is_interrupted_is_no_finished_one_and_goes_on(project: Path):
    search, log = written(project), project / "first.log"
    driver = start(log)
    waited_for(lambda: bool(search.trials()) and bool(under_way(search)), "a trial under way after one that ended", log)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(PATIENCE) == 1, log.read_text()
    assert "search faulty: stopped" in log.read_text() and "the same command tries" in log.read_text()
    assert "Traceback" not in log.read_text() and not Path("runs/search@faulty").exists()
    second = project / "second.log"
    assert_each_once(finish(start(second), second), undisturbed(search))


def test_a_search_that_loses_a_node_ends_as_an_undisturbed_one(project: Path):
    search, log = written(project), project / "driver.log"
    with cluster_of({"num_cpus": 1}) as cluster:
        node = add_node(cluster, {"num_cpus": 1})
        driver = start(log, RAY_ADDRESS=str(cluster.address), POSEBED_STORAGE=str(project / "storage"))
        waited_for(lambda: len(under_way(search)) == 2, "a trial on each node", log)
        cluster.remove_node(node, allow_graceful=False)
        result = finish(driver, log)
    assert_each_once(result, undisturbed(search))
    # The search's own process may have been on that machine: then no trial was lost to it, but all went on.
    lost = [trial for trial in result.trials if trial.notes]
    assert lost or "search faulty: lost its process and starts again" in log.read_text()
    assert all("its process was lost" in note or "the search ended" in note for trial in lost for note in trial.notes)
    assert not list((project / "storage").rglob("trial-*"))


def test_trials_with_several_workers_are_stopped_early_and_free_them(project: Path):
    """The first trial was so good that the scheduler stops whoever it hears of before the last epoch: the second, but
    not the third, which is silent until then."""
    train = {"epochs": 9, "checkpoint_every": 1, "engine": "torch", "workers": 2, "optimizer": "sgd", "lr": 0.002}
    space = {"train.lr": None, "train.checkpoint_every": [1, 9], "model.deconvs": None}
    settings = [{"train.checkpoint_every": epochs} for epochs in (1, 1, 9)]
    search = written(
        project, settings, train=train, space=space, budget={"trials": 3}, scheduler="asha", cost="parameters"
    )
    first = search.study.ask()
    assert suggest(first, search.space) == settings[0]
    curve = tuple(Measured(epoch=epoch, validation=0.99, device_seconds=epoch) for epoch in range(1, 10))
    note(first, Note(curve=curve, epochs=9, device_seconds=9.0, cost=1e9))
    search.study.tell(first, [0.99, 1e9])
    log = project / "driver.log"
    driver = start(log)
    waited_for(lambda: bool(titled(family(driver.pid), "RayTrainWorker")), "workers", log)
    workers = titled(family(driver.pid), "RayTrainWorker")
    waited_for(lambda: len(search.trials()) == 2, "a trial that ended", log)
    house = family(driver.pid)
    result = finish(driver, log)
    assert gone(workers)
    waited_for(lambda: gone(house), "an empty house")
    _, stopped, whole = by_number(result)
    assert (stopped.state, stopped.params, [m.epoch for m in stopped.curve]) == (
        "pruned",
        {"train.checkpoint_every": 1},
        [1],
    )
    assert whole.state == "complete", whole.failed
    assert [m.epoch for m in whole.curve] == [9]
    assert stopped.cost and stopped.cost == whole.cost
    assert whole.device_seconds > 0
    assert not list(Path(".posebed/ray").rglob("trial-*"))


def test_trials_shorter_than_the_start_of_a_process_are_trained_by_all_of_them(project: Path):
    class Short(tune.Trainable):
        """The second process takes as long to start as the first takes for many trials."""

        def setup(self, config: dict[str, Any]) -> None:
            first = not list(project.glob("started-*"))
            (project / f"started-{os.getpid()}").touch()
            time.sleep(0 if first else 6)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def step(self) -> dict[str, Any]:
            time.sleep(0.3)
            (project / f"trained-{os.getpid()}").touch()
            return {"epoch": 6, "validation": 0.5, "seconds": 0.1, "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None: ...

    written(project, budget={"trials": 40})
    search = open_search(*searched_experiment("faulty"))
    with cluster_of({"num_cpus": 2}) as cluster:
        ray.init(address=cluster.address)
        try:
            run_search(replace(search, trainable=Short), SharedProject(project), Share(1, False), 2, [])
        finally:
            ray.shutdown()
    assert [trial.state for trial in search.trials()] == ["complete"] * 40
    assert len(list(project.glob("started-*"))) == 2, "no process is ended as soon as it has started"
    assert len(list(project.glob("trained-*"))) == 2
