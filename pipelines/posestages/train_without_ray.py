"""One member of a run, trained without Ray in this process; under torchrun every worker is such a process.

Usage: python -m posestages.train_without_ray KEY [SEED]
"""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path

from posebed.experiment import Experiment
from posebed.files import locked
from posebed.jobs.graph import name_of
from posebed.jobs.outcomes import write_record
from posebed.places import LOCAL_JOBS
from posestages.benchmark import read_project
from posestages.ending import run
from posestages.experiments import check, member_experiment
from posestages.stage import entry
from posestages.tasks import write_untrained


def train_without_ray(key: str, seed: int | None = None) -> None:
    """Train and write ``runs/KEY/seed-SEED/train``, by default of the run's first seed; goes on from its newest
    checkpoint.

    Raises:
        LookupError: there is no such run or member, or what it starts from is not there.
        ValueError: settings or data that do not fit, or another process trains the same.
    """
    started, project = time.perf_counter(), read_project()
    seeds = entry("runs", project.params.runs, key).seeds
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise LookupError(f"SEED must be one of {', '.join(map(str, seeds))} for {key}, but is {seed}")
    task = project.graph.tasks[name_of("train", key, seed)]
    experiment = member_experiment(project.params, project.catalog, key, seed, task.identity)
    leads = os.environ.get("RANK", "0") == "0"
    transferred, short = check(experiment)
    for line in (*transferred, *short) if leads else ():
        print(f"{key}: {line}", flush=True)
    if experiment.train.epochs:
        _train(experiment, task.folder, short)
    elif leads:
        write_untrained(experiment)
    if leads:
        write_record(task, time.perf_counter() - started)


def _train(experiment: Experiment, out: Path, short: list[str]) -> None:
    from posebed.training.log import FolderLog
    from posebed.training.loop import train
    from posebed.training.run_folder import write_trained

    checkpoints = LOCAL_JOBS / experiment.job
    log = FolderLog(checkpoints, experiment.name)
    with locked(checkpoints, wait=False) if log.leads else nullcontext():
        with log.bar:
            train(experiment, log)
        with log.latest() as checkpoint:
            if log.leads and checkpoint:
                write_trained(out, checkpoint, experiment, short)


def main(arguments: list[str]) -> None:
    if not 1 <= len(arguments) <= 2 or not all(seed.isdigit() for seed in arguments[1:]):
        raise ValueError(f"a training must be given KEY and at most a SEED, but got {' '.join(arguments) or 'nothing'}")
    train_without_ray(arguments[0], *map(int, arguments[1:]))


if __name__ == "__main__":
    run(main)
