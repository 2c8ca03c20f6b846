"""How many queries a second `match` answers with EfficientNet-Lite0 at 224 x 224, and what the supports cost of it.

Four episodes of 15 queries, which a test asks at once, on as many threads as there are cores, or --threads. On two
cores at least 20 a second are wanted with one support. `rate` is by the clock, `processor` the processor time of a
query. `naive` says how many times as long it takes to look at the supports again for each query, `supports` how many
times as long as with known supports it takes to look once: both are ratios of processor time within one run.

Usage: python benchmarks/match.py [--quick | --record] [--rounds N] [--threads N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

import torch
from cases import QUICK_SIDE, Case, Step, interleaved, ratio, some_batch
from figures import arguments, recording
from step import as_a_worker

from posebed.inference.freezing import frozen
from posebed.inference.shared_supports import predicted

CASE = Case("match", {"backbone": "tf_efficientnet_lite0", "stride": 16, "resolution": None})
SIDE, EPISODES, QUERIES = 224, 4, 15
WANTED = 20
"""Queries a second on two cores, with one support."""


@torch.no_grad()
def steps_of(shots: int, side: int) -> dict[str, Step]:
    """The same queries with supports looked at once, again for each query, and not at all."""
    episodes = [episode for episode in range(EPISODES) for _ in range(QUERIES)]
    setting = CASE.setting(side)
    model: Any = frozen(CASE.built(setting).eval(), some_batch(setting, 1, shots))
    batch = some_batch(setting, len(episodes), shots)
    known = model.encode_support(batch)

    @torch.no_grad()
    def naive() -> None:
        model.decode(model(batch), batch)

    @torch.no_grad()
    def once() -> None:
        model.decode(predicted(model, batch, episodes), batch)

    @torch.no_grad()
    def alone() -> None:
        model.decode(model.locate(batch, known), batch)

    return {"naive": naive, "once": once, "alone": alone}


def rate(step: Step, rounds: int) -> float:
    """Queries a second, by the clock."""
    took: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        step()
        took.append(time.perf_counter() - started)
    return EPISODES * QUERIES / statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = arguments(parser, rounds=1)
    torch.set_num_threads(options.threads)
    side = QUICK_SIDE if options.quick else SIDE
    with recording(options.record) as figure:
        print(f"{options.threads} threads; at least {WANTED} a second are wanted on two cores")
        for shots in (1, 5):
            steps = steps_of(shots, side)
            took = interleaved(steps, options.rounds)
            processor = statistics.median(took["once"]) * 1000 / (EPISODES * QUERIES)
            figure(f"match/{shots}-shot/rate", f"{rate(steps['once'], options.rounds):.0f} a second")
            figure(f"match/{shots}-shot/processor", f"{processor:.0f} ms")
            figure(f"match/{shots}-shot/naive", f"{ratio(took, 'naive', 'once'):.2f}")
            figure(f"match/{shots}-shot/supports", f"{ratio(took, 'once', 'alone'):.2f}")


if __name__ == "__main__":
    as_a_worker()
    main()
