"""What a DeepSpeed step costs beside a plain torch step of the same model, at one worker: ratios within one run.

The two engines take turns, so that a machine that slows down slows both.

Usage: python benchmarks/step.py [--quick | --record] [STEPS]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

import torch
from figures import arguments, recording

from menagerie import categories
from posebed.config import TrainConfig
from posebed.contracts import Setting
from posebed.jobs.cluster import worker_variables
from posebed.pose import Batch, Keypoints
from posebed.training.engine import Engine, open_engine
from posebed.training.process_group import join_process_group
from posebed.training.training_step import total_loss
from posezoo import simple_baseline

BATCH, SIZE, ROUND = 16, 128, 5


def some_batch(count: int, keypoints: int) -> Batch:
    draw = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (count, 3, SIZE, SIZE), generator=draw, dtype=torch.uint8)
    xy = torch.rand(count, keypoints, 2, generator=draw) * SIZE
    zeros = torch.zeros(count, dtype=torch.int64)
    return Batch(image, Keypoints(xy, torch.ones(count, keypoints)), zeros, zeros)


def seconds(engine: Engine, batch: Batch, steps: int) -> float:
    """Median time of a step."""
    took = []
    for _ in range(steps):
        started = time.perf_counter()
        _, losses = engine(batch)
        engine.backward(total_loss(losses))
        engine.step()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("steps", nargs="?", type=int, default=80, help="of each engine")
    options = arguments(parser, steps=ROUND)
    with recording(options.record) as figure:
        ratio = compare(max(1, options.steps // ROUND), 2 if options.quick else BATCH)
        figure("step/ratio", f"{ratio:.2f} times")


def compare(rounds: int, count: int) -> float:
    """Median over rounds of DeepSpeed's time over torch's."""
    group, kinds = join_process_group(), categories("quadrupeds")
    setting = Setting((SIZE, SIZE), 17, kinds)
    config = simple_baseline.Config(backbone="resnet18", weights="none", channels=64)
    batch = some_batch(count, 17).to(group.device)
    engines: dict[str, Engine] = {}
    for name in ("torch", "deepspeed"):
        torch.manual_seed(0)
        train = TrainConfig.model_validate({"batch_size": count, "engine": name})
        engines[name] = open_engine(simple_baseline.build(config, setting), train, {}, group, "float32")
        seconds(engines[name], batch, 3)
    took: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            took[name].append(seconds(engine, batch, ROUND))
    ratios = [deep / plain for deep, plain in zip(took["deepspeed"], took["torch"], strict=True)]
    for name, times in took.items():
        print(f"{name:>9}: {statistics.median(times) * 1000:6.1f} ms a step of {count} crops of {SIZE} px, ResNet-18")
    print(f"ratio: {statistics.median(ratios):.3f} (at most 1.10 is wanted), rounds {[round(r, 2) for r in ratios]}")
    return statistics.median(ratios)


def as_a_worker() -> None:
    """Start again with the environment of training workers, which takes effect when a process starts.

    The reduced form goes without: its times say nothing, and most of its own time is imports.
    """
    if "--quick" in sys.argv:
        return
    variables = worker_variables(accelerator=torch.cuda.is_available())
    if not variables.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | variables)  # noqa: S606


if __name__ == "__main__":
    as_a_worker()
    main()
