"""Stage ``train``: one run, trained on the cluster, its weights and learning curve brought home. A run that trains
nothing starts no cluster.

Usage: python -m posestages.train KEY [--without-ray]

``--without-ray`` trains in this process, or in those that torchrun starts; the weights are the same.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from posebed.config import FinetuneConfig, TunedConfig, read_params
from posebed.contracts import Task
from posebed.data.pack import Pack
from posebed.data.splits import Split, read_split
from posebed.data.training_episodes import must_supply
from posebed.experiment import Experiment, decide
from posebed.files import locked
from posebed.scoring.result import Epoch
from posebed.scoring.search_result import read_best
from posestages.stage import PARAMS, entry, only_key, pack_folder, run, run_folder, split_folder

PACKAGES = ("posebed", "posezoo", "posestages")
ZOO = "posezoo"


def experiment_of(key: str) -> Experiment:
    """The experiment that ``params.yaml`` describes under this key, checked against its data."""
    experiment = decided(key)
    check(experiment)
    return experiment


def decided(key: str) -> Experiment:
    """The experiment that ``params.yaml`` describes under this key; imports the model's module and reads no data."""
    params = read_params(PARAMS)
    chosen = entry("runs", params.all_runs, key)
    start = run_folder(chosen.init_from) / "train" if isinstance(chosen, FinetuneConfig) else None
    best_params = read_best(run_folder(chosen.params_from)) if isinstance(chosen, TunedConfig) else None
    return decide(params, key, ZOO, split_folder(chosen.split), pack_folder(chosen.pack), start, best_params)


def check(experiment: Experiment) -> list[str]:
    """Refuse data that the experiment cannot take, and return what it is too short for, in sentences.

    Its model is built once for nothing, so that settings that it refuses, and missing weights, raise an error
    before any worker starts.
    """
    from posebed.data.queries import queries_of
    from posebed.training.training_stream import training_rows
    from posebed.training.transfer import initial_model

    pack = Pack.open(experiment.pack_folder)
    setting = pack.setting()
    experiment.check_fits(setting.categories)
    split = read_split(experiment.split_folder)
    queries_of(experiment.task, pack, split, "test", experiment.boxes)
    if experiment.task is Task.CATEGORY_AGNOSTIC:
        must_supply(pack, training_rows(pack, split), experiment.training_shots)
    model, transferred = initial_model(experiment, setting)
    if transferred and _leads():
        print(transferred, file=sys.stderr)
    return print_shortfalls(experiment, model, pack, split)


def print_shortfalls(experiment: Experiment, model: Any, pack: Pack, split: Split) -> list[str]:
    """Print and return what the experiment, if it trains, is too short for."""
    from posebed.training.schedule import shortfalls
    from posebed.training.training_stream import steps_per_epoch

    if not experiment.train.epochs:
        return []
    steps = steps_per_epoch(experiment, pack, split) * experiment.train.epochs
    short = [*shortfalls(model, steps, experiment.train)]
    for line in short if _leads() else ():
        print(f"{experiment.key}: {line}", file=sys.stderr)
    return short


def train(key: str) -> None:
    """Train as a Ray Train job and write ``runs/KEY/train``."""
    experiment = decided(key)
    if not experiment.train.epochs:
        return write_without_training(experiment)
    from posebed.jobs.cluster import connect

    # Building the model takes seconds, and so does starting a cluster, whose processes end with their own thread.
    with ThreadPoolExecutor(1) as background:
        checking = background.submit(check, experiment)
        connect(PACKAGES)
        short = checking.result()

    from posebed.jobs.launch import forget, launch
    from posebed.training.run_folder import write_trained

    storage = os.environ.get("POSEBED_STORAGE")
    outcome = launch(experiment, PACKAGES, storage, Mirror(experiment).epoch)
    write_trained(run_folder(experiment.key) / "train", outcome, experiment, short)
    shutil.rmtree(outcome)
    forget(experiment, storage)


def train_without_ray(key: str) -> None:
    """Train in this process and write ``runs/KEY/train``; under torchrun every worker calls it."""
    experiment = decided(key)
    if not experiment.train.epochs:
        return write_without_training(experiment)
    short = check(experiment)
    from posebed.training.log import FolderLog
    from posebed.training.loop import train as loop
    from posebed.training.run_folder import write_trained

    checkpoints = Path(".posebed/local") / f"{experiment.key}-{experiment.fingerprint[:16]}"
    log = FolderLog(checkpoints, experiment.key)
    with locked(checkpoints, wait=False) if log.leads else nullcontext():
        with log.bar:
            loop(experiment, log)
        with log.latest() as checkpoint:
            if log.leads and checkpoint:
                write_trained(run_folder(experiment.key) / "train", checkpoint, experiment, short)


def _leads() -> bool:
    """Whether this is the only process, or the first of those that torchrun starts."""
    return os.environ.get("RANK", "0") == "0"


def write_without_training(experiment: Experiment) -> None:
    """Write ``runs/KEY/train`` of a run without epochs."""
    check(experiment)
    if not _leads():
        return
    from posebed.training.run_folder import about_of, write_untrained
    from posebed.training.untrained import untrained_model

    state = untrained_model(experiment).state_dict()
    write_untrained(run_folder(experiment.key) / "train", state, about_of(experiment))


class Mirror:
    """Sends finished epochs to the tracker while a job runs. A tracker that fails stops no training; it is tried again
    after a while, since the job's progress waits for its answer."""

    PAUSE_SECONDS = 60.0

    def __init__(self, experiment: Experiment) -> None:
        self._key, self._fingerprint = experiment.key, experiment.fingerprint
        self._waiting: list[Epoch] = []
        self._warned = False
        self._next_try = 0.0

    def epoch(self, epoch: Epoch) -> None:
        from posebed.reporting.mlflow_client import TrackerError
        from posebed.reporting.tracking import Tracker

        self._waiting.append(epoch)
        if time.monotonic() < self._next_try:
            return
        try:
            tracker = Tracker()
            tracker.log_curve(tracker.open(self._key, self._fingerprint), self._waiting)
            self._waiting.clear()
        except TrackerError as error:
            self._next_try = time.monotonic() + self.PAUSE_SECONDS
            if not self._warned:
                print(f"epochs could not be tracked and are written by the stage score: {error}", file=sys.stderr)
            self._warned = True


def main(arguments: list[str]) -> None:
    without = "--without-ray" in arguments
    key = only_key([word for word in arguments if word != "--without-ray"])
    (train_without_ray if without else train)(key)


if __name__ == "__main__":
    run(main)
