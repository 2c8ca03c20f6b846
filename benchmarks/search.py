"""What a search costs beside the training it contains, and beside plain Ray Tune: ratios within one run.

Usage: python benchmarks/search.py [--quick | --record] [--trials N] [--lines N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from figures import arguments, recording

from posebed.catalog import installed
from posebed.experiment import decide
from posebed.jobs.cluster import connect
from posebed.jobs.room import Share
from posebed.jobs.search import Search, open_search, result_of, run_search
from posebed.jobs.workplace import SharedProject
from posebed.params import read_params
from posebed.reporting.search_mirror import MirrorProcess
from posebed.scoring.search_result import Trial
from posestages.stage import PACKAGES

import optuna  # isort: skip
import ray  # isort: skip
from ray import tune  # isort: skip
from ray.tune.search.optuna import OptunaSearch  # isort: skip

CATALOG = installed()
PARAMS = """
menagerie: {quads: {set: quadrupeds, images: 120, side: 80, categories: [tiger, horse]}}
data: {quads: {source: coco_folder, path: data/menagerie/quads}}
splits: {quads: {data: quads, val: 0.2, test: 0.1}}
packs: {quads: {data: quads, crop_size: [64, 64]}}
models: {simple_baseline: {config: {backbone: test_resnet, weights: none, channels: 8, flip_test: "off"}}}
searches:
  warm: &search
    model: simple_baseline
    split: quads
    pack: quads
    budget: {trials: %(trials)d}
    train: {epochs: 4, batch_size: 16, warmup_steps: 0, checkpoint_every: 2}
    only: [train.lr, train.weight_decay, train.augment.scale, train.augment.rotation]
    scheduler: none
  lines: {<<: *search, budget: {trials: %(lines)d}}
"""
RANGES = {"lr": (1e-5, 1e-2), "scale": (0.0, 0.5), "rotation": (0.0, 60.0)}


def quality(lr: float, scale: float) -> float:
    """Any smooth function will do."""
    return 1 / (1 + abs(lr - 1e-3) * 100 + scale)


class OneLine(tune.Trainable):
    """A trial that costs nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        import torch  # noqa: F401  # as every trial must

        self._config = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._config = new_config
        return True

    def step(self) -> dict[str, Any]:
        train = self._config["experiment"].train
        validation = quality(train.lr, train.augment.scale)
        return {"epoch": 4, "validation": validation, "seconds": 0.0, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None: ...

    def load_checkpoint(self, checkpoint: Any) -> None: ...


class PlainLine(OneLine):
    """The same without our machinery."""

    def step(self) -> dict[str, Any]:
        return {"validation": quality(self._config["lr"], self._config["scale"]), "done": True}


class Memory:
    """Watches the memory of the driver and of the trials' actors."""

    def __init__(self) -> None:
        self.driver: list[float] = []
        self.actors: list[float] = []
        self._next = 0.0

    def trial(self, trial: Trial) -> None:
        if time.monotonic() < self._next:  # looking at all processes takes longer than a trial of one line
            return
        self._next = time.monotonic() + 2
        mine = psutil.Process()
        actors = [p for p in mine.children(recursive=True) if _first(p).startswith(("ray::WarmTrial", "ray::OneLine"))]
        self.driver.append(mine.memory_info().rss / 2**20)
        self.actors.append(sum(p.memory_info().rss for p in actors) / 2**20)

    def running(self, trials: Sequence[Any]) -> None: ...


def _first(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""


def opened(key: str) -> Search:
    params = read_params(Path("params.yaml"))
    experiment = decide(
        params,
        f"search@{key}",
        params.searches[key].seed,
        CATALOG,
        Path("data/splits/quads"),
        Path("data/packs/quads"),
    )
    settings = params.searches[key]
    return open_search(experiment, settings, CATALOG.sampler(settings.sampler))


def seconds_of(search: Search, memory: Memory) -> float:
    """The wall time of a search, with its mirror in MLflow, once the cluster is there."""
    started = time.perf_counter()
    with MirrorProcess(result_of(search, {})) as mirror:
        share = Share(cpus=1, accelerator=ray.cluster_resources().get("GPU", 0) > 0)
        run_search(search, SharedProject(Path.cwd()), share, os.cpu_count() or 1, [mirror, memory])
    return time.perf_counter() - started


def warm(trials: int, figure: Callable[[str, str], None]) -> None:
    search, memory = opened("warm"), Memory()
    wall = seconds_of(search, memory)
    own = [t for t in search.trials() if t.state == "complete"]
    places = os.cpu_count() or 1
    training = sum(t.device_seconds for t in own)
    busy = training / places
    print(f"{len(own)} warm trials on {places} cores: {wall:.1f} s, of which each core trained {busy:.1f} s")
    print("  overhead per trial: under 0.5 s is wanted; search to training: at most 1.15 times")
    figure("search/overhead", f"{(wall - busy) / trials:.2f} s")
    figure("search/ratio", f"{wall / busy:.2f} times")
    figure("search/training", f"{training / len(own):.1f} s")
    level(memory)


def level(memory: Memory) -> None:
    quarter = max(1, len(memory.driver) // 4)
    for name, values in (("driver", memory.driver), ("actors", memory.actors)):
        early, late = statistics.median(values[quarter : 2 * quarter] or values), statistics.median(values[-quarter:])
        print(f"  memory of the {name}: {early:.0f} MB in the second quarter, {late:.0f} MB in the last")


def lines(number: int, figure: Callable[[str, str], None]) -> None:
    search, memory = replace(opened("lines"), trainable=OneLine), Memory()
    begun = time.process_time()
    ours = seconds_of(search, memory)
    between = time.process_time()
    plain = plain_tune(number)
    ended = time.process_time()
    print(f"{number} trials of one line: ours {ours:.1f} s, plain Ray Tune {plain:.1f} s")
    print("  at most 1.5 times is wanted")
    figure("search/bookkeeping", f"{ours / plain:.1f} times")
    figure("search/bookkeeping-per-trial", f"{(ours - plain) / number:.2f} s")
    figure("search/processor", f"{(between - begun) / number:.2f} s")
    figure("search/processor-plain", f"{(ended - between) / number:.2f} s")
    level(memory)


def plain_tune(number: int) -> float:
    """Ray Tune with its own OptunaSearch in memory, the same sampler and warm actors, and no tracker."""
    space = {
        "lr": tune.loguniform(*RANGES["lr"]),
        "decay": tune.choice([0.0, 1e-4, 1e-2, 0.1]),
        "scale": tune.uniform(*RANGES["scale"]),
        "rotation": tune.uniform(*RANGES["rotation"]),
    }
    sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=0)
    for name in ("TUNE_FORCE_TRIAL_CLEANUP_S", "TUNE_GLOBAL_CHECKPOINT_S"):
        os.environ.pop(name, None)  # as Tune has them of itself
    started = time.perf_counter()
    tune.Tuner(
        tune.with_resources(PlainLine, {"CPU": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(metric="validation", mode="max", sampler=sampler),
            num_samples=number,
            max_concurrent_trials=os.cpu_count() or 1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="plain", storage_path=str(Path("plain").absolute()), verbose=0),
    ).fit()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--lines", type=int, default=300)
    options = arguments(parser, trials=2, lines=8)
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("params.yaml").write_text(PARAMS % {"trials": options.trials or 1, "lines": options.lines or 1})
        for stage in ("draw", "prepare", "split", "pack"):
            subprocess.run([sys.executable, "-m", f"posestages.{stage}", "quads"], check=True, capture_output=True)
        connect([*PACKAGES, *CATALOG.packages])
        if options.trials:
            warm(options.trials, figure)
        if options.lines:
            lines(options.lines, figure)


if __name__ == "__main__":
    main()
