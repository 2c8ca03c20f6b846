"""What workers gain that share every batch: two of them on two cores against one on one core, measured here with gloo
in one run, and what communication costs on 8 and on 64 accelerators, by calculation.

A worker's batch is the same in both cases, so that two workers do twice the work. 256 x 256 pixels, float32, one
thread, batch statistics shared. The calculation takes the gradients of a model in float32, reduced in a ring inside a
machine and between machines, and two exchanges for each batch normalisation; its speeds and delays are constants below.

Usage: python benchmarks/workers.py [--quick | --record] [--rounds N] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from cases import CASES, QUICK_SIDE, SIDE, some_batch
from figures import arguments, recording
from step import as_a_worker
from torch.multiprocessing.spawn import spawn

from posebed.config import TrainConfig
from posebed.training.batchnorm import BATCH_NORMS
from posebed.training.engine import Engine, open_engine
from posebed.training.process_group import ProcessGroup
from posebed.training.training_step import total_loss

BATCH, STEPS = 8, 3
NAMES = ("simple_baseline-r50", "hrnet-w32", "cape_former")
WANTED = 1.8
INSIDE, BETWEEN = 450e9, 50e9
"""Bytes per second of one accelerator: NVLink of an H100 or H200, and one of eight 400 Gbit/s links of a machine."""
DELAY_INSIDE, DELAY_BETWEEN = 15e-6, 40e-6
"""Seconds of a small exchange inside a machine and between machines."""
MACHINE = 8
"""Accelerators."""


def engine_of(name: str, side: int, group: ProcessGroup) -> Engine:
    setting = CASES[name].setting(side)
    train = TrainConfig.model_validate({"batch_size": BATCH * group.size, "workers": group.size, "engine": "torch"})
    return open_engine(CASES[name].built(setting), train, {}, group, "float32")


def seconds_per_step(engine: Engine, name: str, side: int, steps: int) -> float:
    batch = some_batch(CASES[name].setting(side), BATCH, shots=1 if CASES[name].episodic else 0)
    engine.step_module.train()
    started = time.perf_counter()
    for _ in range(steps):
        _, losses = engine(batch)
        engine.backward(total_loss(losses))
        engine.step()
    return (time.perf_counter() - started) / steps


def worker(rank: int, name: str, side: int, rounds: int, folder: str) -> None:
    """One of two: the first works alone while the second waits, then both work, in turns."""
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    cpu = torch.device("cpu")
    together, alone = engine_of(name, side, ProcessGroup(rank, 2, cpu)), engine_of(name, side, ProcessGroup(0, 1, cpu))
    gains: list[float] = []
    for _ in range(rounds + 1):
        dist.barrier()
        single = seconds_per_step(alone, name, side, STEPS) if rank == 0 else 0.0
        dist.barrier()
        double = seconds_per_step(together, name, side, STEPS)
        gains.append(2 * single / double)
    if rank == 0:  # the first round warms up
        Path(folder, "gain").write_text(str(statistics.median(gains[1:])), encoding="utf-8")
    dist.destroy_process_group()


def gain(name: str, side: int, rounds: int) -> float:
    """How many times the pictures per second two workers reach."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(worker, args=(name, side, rounds, folder), nprocs=2)
        return float(Path(folder, "gain").read_text(encoding="utf-8"))


def communication(name: str, side: int, accelerators: int) -> tuple[float, float]:
    """Milliseconds per step that a worker sends gradients, and that it waits for batch statistics."""
    model = CASES[name].built(CASES[name].setting(side))
    sent = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    norms = sum(isinstance(module, BATCH_NORMS) for module in model.modules())
    machines, inside = -(-accelerators // MACHINE), min(accelerators, MACHINE)
    ring = 2 * (inside - 1) / inside * sent / INSIDE
    ring += 2 * (machines - 1) / machines * sent / inside / BETWEEN
    delay = DELAY_BETWEEN if machines > 1 else DELAY_INSIDE
    return 1e3 * ring, 1e3 * 2 * norms * delay


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}; by default {', '.join(NAMES)}"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = arguments(parser, names=[NAMES[0]], rounds=1)
    if unknown := [name for name in options.names if name not in CASES]:
        parser.error(f"NAME must be one of {', '.join(CASES)}, but is {', '.join(unknown)}")
    side = QUICK_SIDE if options.quick else SIDE
    with recording(options.record) as figure:
        for name in options.names or NAMES:
            times = gain(name, side, options.rounds)
            print(f"{name}: two workers reach {times:.2f} times the pictures per second (at least {WANTED} is wanted)")
            figure(f"workers/{name}/gain", f"{times:.2f}")
            for accelerators in (8, 64):
                gradients, statistics_ = communication(name, side, accelerators)
                print(
                    f"    {accelerators:2} accelerators: gradients {gradients:.2f} ms, statistics {statistics_:.2f} ms"
                )
                figure(f"workers/{name}/{accelerators}", f"{gradients:.1f} + {statistics_:.1f} ms")


if __name__ == "__main__":
    as_a_worker()
    main()
