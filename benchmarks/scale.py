"""Clusters of up to a thousand accelerators, simulated: the scheduler's own decisions (``posebed.jobs.offers``) on
nodes that are lost and come back, with every preset of the zoo, three seeds each, and ten searches.

Nothing is trained: how long a task takes follows from its preset and a step time. Ray is not there either, so what its
calls cost the driver is left out.

Usage: python benchmarks/scale.py [--quick | --record] [--gpus N ...] [--trials N] [--copies N] [--seed N]
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
import resource
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from figures import arguments, recording
from simulation import PER_NODE, Simulation, Work

from posebed.catalog import installed
from posebed.config import TrainConfig
from posebed.identity import Identity
from posebed.jobs.graph import Task, name_of

T = TypeVar("T")

STEP = {
    "simple_baseline": 0.017,
    "cape_former": 0.073,
    "hrnet": 0.094,
    "kitpose": 0.113,
    "fmmp": 0.113,
    "sdpnet": 0.168,
    "pomnet": 0.176,
    "graph_cape": 0.185,
}
"""Seconds of a training step of 16 pictures or episodes on an H200."""
NEAREST = {
    "fine_tune": "simple_baseline",
    "cape_x": "graph_cape",
    "edge_cape": "graph_cape",
    "maml": "cape_former",
    "proto_net": "cape_former",
    "prompt_pose": "cape_former",
    "proto_pose": "pomnet",
    "vit_pose": "pomnet",
}
"""Models that were not measured, and the measured one whose step costs most nearly as much."""
BATCH = 16
SAMPLES = {
    "coco_keypoints": (149_813, 6_352),
    "ap10k": (9_120, 2_606),
    "animal_kingdom": (26_480, 6_620),
    "animal_pose": (4_000, 1_000),
    "mp100": (70 * 232, 60_000),
}
"""Of each source how many an epoch draws and a test asks. MP-100: as many of each of 70 categories as the largest of
those counted has."""
FEW_SHOT = 1_400
"""Instances on 20 pictures of each species of AP-10K."""
SEEDS, SEARCHES = 3, 10
CHECKPOINT = TrainConfig().checkpoint_every
"""Epochs between checkpoints."""
SECONDS = TrainConfig().checkpoint_seconds or math.inf
"""After which one is kept in any case."""
RUNGS = ((10, 1 / 3), (30, 1 / 3), (90, 1 / 3))
"""Epochs at which asha looks, and the share of trials that go on."""
ANSWER = 1 / 3
"""An answer takes this much of a training step."""
LOADING, SCORING = 30.0, 8e-4
"""Seconds before the first answer, and per scored prediction."""
SPREAD = 0.05
"""Standard deviation of what a task takes, as a share of what it took when it was recorded."""


@dataclass(frozen=True)
class Training:
    """As much of a preset as decides how long it takes."""

    key: str
    model: str
    epochs: int
    source: str
    few_shot: bool
    start: str | None
    """The preset whose weights it starts from."""

    @property
    def step(self) -> float:
        return STEP[NEAREST.get(self.model, self.model)]

    @property
    def epoch(self) -> float:
        return (FEW_SHOT if self.few_shot else SAMPLES[self.source][0]) / BATCH * self.step

    @property
    def seconds(self) -> float:
        return self.epochs * self.epoch

    def interval(self, between: float) -> float:
        """Seconds between two checkpoints, of which one is kept after so many in any case."""
        return min(CHECKPOINT * self.epoch, between)

    @property
    def asked(self) -> int:
        return SAMPLES[self.source][1]


def published() -> list[Training]:
    """Every preset; whatever one starts from stands before it."""
    catalog = installed()
    trainings = [
        Training(
            key=key,
            model=preset.model,
            epochs={**catalog.model(preset.model).train, **preset.train}["epochs"],
            source=preset.data["source"],
            few_shot="few_shot" in preset.split,
            start=preset.init_from,
        )
        for key, preset in catalog.published().presets.items()
    ]
    return sorted(trainings, key=lambda training: training.start is not None)


def add_run(work: Work, training: Training, copy: int, between: float, rng: random.Random) -> None:
    key = f"{training.key}-{copy}"

    def add(kind: str, seed: int | None, needs: Sequence[str], seconds: float, interval: float = 0.0) -> str:
        task = Task(kind, key, seed, Identity(), tuple(needs), training.model)
        work.add(task, seconds, [varied(seconds, rng)], interval)
        return task.name

    predictions: list[str] = []
    for seed in range(SEEDS):
        start = [name_of("train", f"{training.start}-{copy}", seed)] if training.start else []
        train = add("train", seed, start, training.seconds, training.interval(between))
        answers = LOADING + training.asked / BATCH * training.step * ANSWER
        predictions.append(add("predict", seed, [train], answers))
    add("score", None, predictions, SEEDS * training.asked * SCORING)


def add_search(work: Work, training: Training, trials: int, at_once: int, between: float, rng: random.Random) -> None:
    """The first trial, with the run's own setting, is seen to its end."""
    epochs = [training.epochs, *(trial_epochs(training.epochs, rng) for _ in range(trials - 1))]
    recorded = max(max(epochs), sum(epochs) / at_once) * training.epoch
    seconds = [varied(count * training.epoch, rng) for count in epochs]
    task = Task("search", training.model, None, Identity(), (), training.model)
    work.add(task, recorded, seconds, training.interval(between))


def trial_epochs(most: int, rng: random.Random) -> int:
    return next((min(rung, most) for rung, share in RUNGS if rng.random() > share), most)


def varied(seconds: float, rng: random.Random) -> float:
    return seconds * min(max(rng.gauss(1, SPREAD), 0.5), 1.5)


@dataclass(frozen=True)
class Outcome:
    hours: float
    bound: float
    """Hours of the lower bound."""
    ratio: float
    """Makespan to the lower bound."""
    own: float
    """Makespan to the lower bound of what was really done, work that was lost and done again included."""
    idle: float
    repeated: float
    """Share of the accelerators' work that was lost and done again."""
    failed: int
    skipped: int
    lost: int
    starts: int
    tasks: int
    deciding: float
    memory: int
    """Bytes at the peak."""


@dataclass(frozen=True)
class Case:
    trainings: Sequence[Training] = field(repr=False)
    gpus: int
    losses: bool = False
    announced: bool = True
    between: float = SECONDS
    """Seconds after which a checkpoint is kept in any case."""
    copies: int = 1
    trials: int = 256
    seed: int = 0

    def work(self, rng: random.Random) -> Work:
        """Every preset so many times, and a search of each of the models with most presets: of the one whose cost is
        their median."""
        work = Work()
        for copy in range(self.copies):
            for training in self.trainings:
                add_run(work, training, copy, self.between, rng)
        for model, _ in Counter(training.model for training in self.trainings).most_common(SEARCHES):
            own = sorted((t for t in self.trainings if t.model == model), key=lambda training: training.seconds)
            at_once = max(1, self.gpus // SEARCHES)
            add_search(work, own[len(own) // 2], self.trials, at_once, self.between, rng)
        return work

    def outcome(self) -> Outcome:
        rng = random.Random(self.seed)
        work = self.work(rng)
        bound = work.bound(self.gpus, lambda piece: piece.seconds)
        simulation = Simulation(work, self.gpus, self.losses, self.announced, rng)
        makespan = simulation.run()
        pieces = [piece for each in work.pieces.values() for piece in each if piece.gpus]
        spent, kept = sum(piece.spent for piece in pieces), sum(piece.kept for piece in pieces)
        return Outcome(
            hours=makespan / 3600,
            bound=bound / 3600,
            ratio=makespan / bound,
            own=makespan / work.bound(self.gpus, lambda piece: piece.spent),
            idle=1 - spent / makespan / self.gpus,
            repeated=1 - kept / spent,
            failed=len(simulation.offers.failed),
            skipped=len(simulation.offers.skipped),
            lost=simulation.lost,
            starts=simulation.starts,
            tasks=len(work.tasks),
            deciding=simulation.deciding,
            memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


def apart(function: Callable[[], T]) -> T:
    """Its value, made in a process of its own: this one imports no models, whose memory a child would be said to have
    had, and a simulation's memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function).result()


def simulated(case: Case) -> Outcome:
    outcome = apart(case.outcome)
    print(f"{case}\n  {outcome}")
    return outcome


def cells(lossy: Outcome) -> str:
    if lossy.failed:
        return f"{lossy.failed + lossy.skipped:,} of {lossy.tasks:,} tasks not done | – | – | – | –"
    ratios = f"{lossy.ratio:.2f} | {lossy.own:.2f}"
    return f"{lossy.hours:,.0f} | {ratios} | {lossy.idle:.0%} | {lossy.repeated:.0%}"


def costs(trainings: Sequence[Training], figure: Callable[[str, str], None]) -> None:
    """Estimated hours on one accelerator that all presets cost, three seeds each, by model."""
    hours = defaultdict[str, float](float)
    for training in trainings:
        hours[training.model] += SEEDS * training.seconds / 3600
    count = Counter(training.model for training in trainings)
    for model, each in sorted(hours.items(), key=lambda item: -item[1]):
        step = f"{STEP[NEAREST.get(model, model)] * 1000:.0f} ms"
        taken = f"{step}, as `{NEAREST[model]}`" if model in NEAREST else step
        figure(f"scale/{model}/hours", f"{taken} | {count[model]} | {each:,.0f}")
    figure("scale/hours", f"{sum(hours.values()):,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 64, 512, 1024], help="multiples of 8")
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--copies", type=int, default=7, help="of every preset, where decisions are counted")
    parser.add_argument("--seed", type=int, default=0)
    options = arguments(parser, gpus=[64], trials=16, copies=1)
    if wrong := [gpus for gpus in options.gpus if gpus < PER_NODE or gpus % PER_NODE]:
        parser.error(f"--gpus must be multiples of {PER_NODE}, found {wrong[0]}")
    trainings = apart(published)
    shared: dict[str, Any] = {"trials": options.trials, "seed": options.seed}
    with recording(options.record) as figure:
        costs(trainings, figure)
        for gpus in options.gpus:
            calm = simulated(Case(trainings, gpus, **shared))
            figure(f"scale/{gpus}/calm", f"{calm.hours:,.0f} | {calm.ratio:.2f} | {calm.idle:.0%}")
            for name, between in (("lossy", SECONDS), ("by-epochs", math.inf)):
                lossy = simulated(Case(trainings, gpus, losses=True, between=between, **shared))
                figure(f"scale/{gpus}/{name}", cells(lossy))
            silent = simulated(Case(trainings, gpus, losses=True, announced=False, **shared))
            figure(f"scale/{gpus}/silent", f"{silent.failed:,} | {silent.skipped:,}")
        many = simulated(Case(trainings, max(options.gpus), losses=True, copies=options.copies, **shared))
        figure("scale/tasks", f"{many.tasks:,}")
        figure("scale/starts", f"{many.starts:,}")
        figure("scale/deciding", f"{many.deciding:.1f} s")
        figure("scale/decisions", f"{many.starts / many.deciding:,.0f}")
        figure("scale/memory", f"{many.memory / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
