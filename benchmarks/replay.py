"""How much sooner ASHA with TPE finds what random search finds: on a table of trials that were all seen to their end.

Every combination of a grid is trained once, epoch by epoch, on built-in data; searches are then replayed on the table,
by the very code that runs real ones, with the device-seconds that each epoch really took.

With --quick the learning curves are computed from the settings, and no model is trained.

Usage: python benchmarks/replay.py [--quick | --record] [--table FILE] [--seeds N] [--trials N]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from figures import arguments, recording
from rich.progress import track

from posebed.catalog import installed
from posebed.config import BudgetConfig, SearchConfig
from posebed.experiment import Experiment, decide
from posebed.jobs.schedulers import scheduler_of
from posebed.jobs.suggest import StudySearch
from posebed.params import read_params
from posebed.space import Choice, Space

from ray.tune.schedulers import TrialScheduler  # isort: skip
from ray.tune.search import Searcher  # isort: skip

CATALOG = installed()
GRID: dict[str, tuple[Any, ...]] = {
    "train.lr": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "train.weight_decay": (0.0, 1e-2, 0.1),
    "train.augment.rotation": (0.0, 20.0, 60.0),
    "train.augment.scale": (0.0, 0.3),
    "model.target": ("msra", "udp", "dark"),
}
EPOCHS = 9
PARAMS = f"""
menagerie: {{quads: {{set: quadrupeds, images: %(images)d, side: 80}}}}
data: {{quads: {{source: coco_folder, path: data/menagerie/quads}}}}
splits: {{quads: {{data: quads, val: 0.5, test: 0.1}}}}
packs: {{quads: {{data: quads, crop_size: [64, 64]}}}}
models:
  simple_baseline:
    config: {{backbone: tf_efficientnet_lite0, weights: builtin, stride: 16, deconvs: 2, channels: 16,
      statistics: weights, flip_test: "off"}}
    train: {{epochs: {EPOCHS}, batch_size: 16, draws: 320, warmup_steps: 10, checkpoint_every: 1, optimizer: adamw,
      engine: torch}}
runs: {{base: {{model: simple_baseline, split: quads, pack: quads}}}}
"""

Curve = list[tuple[int, float, float]]
"""Epoch, validation, device-seconds of the epoch."""


def experiment() -> Experiment:
    params = read_params(Path("params.yaml"))
    return decide(params, "base", 0, CATALOG, Path("data/splits/quads"), Path("data/packs/quads"))


def recorded(values: tuple[Any, ...]) -> Curve:
    """The learning curve of one combination."""
    import torch

    from posebed.jobs.trial_log import TrialLog
    from posebed.training.loop import epochs

    torch.set_num_threads(1)
    varied = experiment().with_overrides(dict(zip(GRID, values, strict=True)))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        log = TrialLog(Path(folder), "trial", float("inf"))
        return [(line.epoch, line.validation or 0.0, line.seconds) for line in epochs(varied, log)]


def computed(values: tuple[Any, ...]) -> Curve:
    """A curve that rises to a quality between 0.6 and 0.9, which depends on the place of every value in the grid."""
    places = [choices.index(value) / (len(choices) - 1) for value, choices in zip(values, GRID.values(), strict=True)]
    best = 0.9 - 0.6 * statistics.mean(abs(place - 0.5) for place in places)
    return [(epoch, best * (1 - 0.5**epoch), 1.0) for epoch in range(1, EPOCHS + 1)]


def record(path: Path, train: bool) -> None:
    """Write the table of the whole grid, trained or computed."""
    grid = list(itertools.product(*GRID.values()))
    if train:
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            curves = list(track(pool.map(recorded, grid), "recording trials", total=len(grid)))
    else:
        curves = [computed(values) for values in grid]
    path.write_text(json.dumps([[values, curve] for values, curve in zip(grid, curves, strict=True)]))


@dataclass(frozen=True)
class Former:
    """As much of a Tune trial as schedulers look at."""

    trial_id: str


class Replay:
    """Plays Tune's part with one place for trials, taking every result from the table."""

    def __init__(self, table: dict[tuple[Any, ...], Curve], base: Experiment, sampler: str, scheduler: str, seed: int):
        space: Space = {name: Choice(*values) for name, values in GRID.items()}
        budget = BudgetConfig(trials=10**6)
        settings = SearchConfig(
            model="simple_baseline", split="quads", pack="quads", budget=budget, sampler=sampler, scheduler=scheduler,
            seed=seed,
        )  # fmt: skip
        study = optuna.create_study(direction="maximize")
        self._table = table
        self._scheduler: Any = scheduler_of(settings, EPOCHS, [])
        chosen = CATALOG.sampler(sampler).make(seed, space)
        self._algorithm = StudySearch(base, space, settings, study, chosen, lambda e, number: {}, lambda number: None)
        self.seconds, self.best, self.trials = 0.0, 0.0, 0

    def trial(self, enough: float = float("inf")) -> None:
        """One trial; ends in its middle once a validation is enough."""
        trial = Former(str(self.trials))
        if self._algorithm.suggest(trial.trial_id) == Searcher.FINISHED:
            raise RuntimeError("a replay must never be finished, but is")
        params = self._algorithm.running[trial.trial_id].params
        self._scheduler.on_trial_add(None, trial)
        result: dict[str, Any] = {}
        for epoch, validation, seconds in self._table[tuple(params[name] for name in GRID)]:
            self.seconds += seconds
            self.best = max(self.best, validation)
            result = {"epoch": epoch, "validation": validation, "seconds": seconds}
            last = epoch == EPOCHS or self.best >= enough
            if last or self._scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                break
            self._algorithm.on_trial_result(trial.trial_id, result)
        self._scheduler.on_trial_complete(None, trial, result)
        self._algorithm.on_trial_complete(trial.trial_id, result)
        self.trials += 1


def replayed(table: dict[tuple[Any, ...], Curve], base: Experiment, trials: int, seed: int) -> tuple[float, float]:
    """Share of the device-seconds of random search after which the other is as good, and that quality."""
    random = Replay(table, base, "random", "none", seed)
    while random.trials < trials:
        random.trial()
    other = Replay(table, base, "tpe", "asha", seed)
    while other.best < random.best and other.seconds < 4 * random.seconds:
        other.trial(enough=random.best)
    return other.seconds / random.seconds, random.best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, help="Where the recorded trials lie, or are to lie.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=64)
    options = arguments(parser, seeds=1, trials=8)
    if options.quick and options.table:
        parser.error("--quick makes its table up, and --table is for trained ones: give one of them")
    table = options.table and options.table.absolute()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with recording(options.record) as figure, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("params.yaml").write_text(PARAMS % {"images": 48 if options.quick else 240})
        for stage in ("draw", "prepare", "split", "pack"):
            subprocess.run([sys.executable, "-m", f"posestages.{stage}", "quads"], check=True, capture_output=True)
        table = table or Path("table.json")
        if not table.is_file():
            record(table, train=not options.quick)
        curves = {tuple(values): curve for values, curve in json.loads(table.read_text())}
        best = sorted(max(v for _, v, _ in curve) for curve in curves.values())
        print(f"{len(curves)} recorded trials, best validation of each: {best[0]:.3f} to {best[-1]:.3f}")
        outcomes = [
            replayed(curves, experiment(), options.trials, seed) for seed in track(range(options.seeds), "replaying")
        ]
        shares = [share for share, _ in outcomes]
        print(f"best of {options.trials} random trials: median {statistics.median(q for _, q in outcomes):.3f}")
        print("share of its device-seconds after which ASHA with TPE is as good: at most 0.25 is wanted")
        print(f"  of {options.seeds} seeds: {min(shares):.2f} to {max(shares):.2f}")
        figure("replay/share", f"{statistics.median(shares):.2f}")


if __name__ == "__main__":
    main()
