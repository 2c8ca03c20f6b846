"""The project that every round works on: four runs of three tasks each, and a search, on one set of pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from experiments import searched_experiment
from posebed.files import writing_folder

RUNS = ("alone", "episodes", "found", "spread")
SEARCH = "rates"
ONE_WORKER = ("alone", "episodes", "found")
"""Runs whose weights are the same to the last bit, however often they were disturbed."""
PARAMS = """
menagerie:
  quads: {set: quadrupeds, images: 48, side: 80, categories: [tiger, horse, cow, fox]}
data:
  quads: {source: coco_folder, path: data/menagerie/quads}
splits:
  quads: {data: quads, val: 0.2, test: 0.2}
  held-out:
    data: quads
    by: category
    val: [cow]
    test: [fox]
    episodes: {shots: 1, queries: 3, episodes: 4, val_episodes: 2}
packs:
  small: {data: quads, crop_size: [64, 64]}
models:
  simple_baseline:
    config: {backbone: test_resnet, weights: none, channels: 8, flip_test: "off"}
    train: {epochs: 14, batch_size: 8, draws: 160, checkpoint_every: 2, precision: float32}
  proto_net:
    config: {backbone: test_resnet, weights: none}
    train: {epochs: 8, batch_size: 4, draws: 48, checkpoint_every: 2}
scoring: {resamples: 100}
searches:
  rates:
    model: simple_baseline
    split: quads
    pack: small
    budget: {trials: 6}
    sampler: random
    scheduler: none
    only: [train.lr]
    space: {train.lr: {low: 0.0001, high: 0.1, log: true}}
    train: {epochs: 8, checkpoint_every: 2, draws: 96, engine: torch, lr: 0.002}
runs:
  alone: {model: simple_baseline, split: quads, pack: small}
  episodes: {model: proto_net, split: held-out, pack: small}
  found: {model: simple_baseline, split: quads, pack: small, params_from: rates, seeds: [1], train: {engine: torch}}
  spread: {model: simple_baseline, split: quads, pack: small, train: {workers: 2, epochs: 4, optimizer: sgd, lr: 0.01}}
"""
TRIED = (0.02, 0.0005, 0.01, 0.05, 0.005)
"""Learning rates of the search after the run's own. A study knows them beforehand, since what a sampler proposes
depends on which trials had ended when it was asked."""
TRIALS = len(TRIED) + 1


def prepare(folder: Path) -> None:
    """Draw, split and pack its data, unless that was done before."""
    if folder.is_dir():
        return
    with writing_folder(folder) as unfinished:
        (unfinished / "params.yaml").write_text(PARAMS)
        stages = [("draw", "quads"), ("prepare", "quads"), ("split", "quads"), ("split", "held-out"), ("pack", "small")]
        for stage, key in stages:
            command = [sys.executable, "-m", f"posestages.{stage}", key]
            subprocess.run(command, cwd=unfinished, check=True, capture_output=True)


def enqueue_trials(project: Path) -> None:
    """Open the study of its search, in the database that the environment names, and say what is to be tried."""
    from posebed.jobs.search import open_search

    with chdir(project):
        search = open_search(*searched_experiment(SEARCH))
        for rate in TRIED:
            search.study.enqueue_trial({"train.lr": rate})


def ended_trials(project: Path) -> dict[int, str]:
    """Of every trial that has ended, when that was."""
    from posebed.jobs.search import open_search

    with chdir(project):
        return {trial.number: trial.ended for trial in open_search(*searched_experiment(SEARCH)).trials()}


@contextmanager
def variables(values: Mapping[str, Any]) -> Iterator[None]:
    """Variables of the environment that are set meanwhile."""
    former = {name: os.environ.get(name) for name in values}
    os.environ |= {name: str(value) for name, value in values.items()}
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
