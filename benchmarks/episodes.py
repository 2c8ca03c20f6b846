"""How many times the queries per second a model answers when it looks at an episode's supports once for all queries.

Four episodes of 15 queries, which a test asks at once, 256 x 256, float32, one thread; the naive way looks at the
supports again for each query. MAML and Fine-tune have no such way: they never fit weights twice to the same supports.

Usage: python benchmarks/episodes.py [--quick | --record] [--rounds N] [NAME ...]
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from cases import CASES, QUICK_SIDE, SIDE, Step, interleaved, ratio, some_batch
from figures import arguments, recording
from step import as_a_worker

from posebed.inference.freezing import frozen
from posebed.inference.shared_supports import predicted

EPISODES, QUERIES = 4, 15
WANTED = {1: 1.7, 5: 4.0}
"""Lowest gain by the number of shots."""


def gain(name: str, shots: int, rounds: int, side: int) -> float:
    """Naive time over that of looking once."""
    episodes = [episode for episode in range(EPISODES) for _ in range(QUERIES)]
    setting = CASES[name].setting(side)
    model: Any = CASES[name].built(setting).eval()
    batch = some_batch(setting, len(episodes), shots)
    ready: Any = frozen(model, some_batch(setting, 1, shots))

    @torch.no_grad()
    def once() -> None:
        ready.decode(predicted(ready, batch, episodes), batch)

    @torch.no_grad()
    def naive() -> None:
        ready.decode(ready(batch), batch)

    steps: dict[str, Step] = {"naive": naive, "once": once}
    return ratio(interleaved(steps, rounds), "naive", "once")


def main() -> None:
    names = [name for name, case in CASES.items() if hasattr(case.spec.model, "encode_support")]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; by default all")
    parser.add_argument("--rounds", type=int, default=2)
    options = arguments(parser, names=["proto_net"], rounds=1)
    if unknown := [name for name in options.names if name not in names]:
        parser.error(f"NAME must be one of {', '.join(names)}, but is {', '.join(unknown)}")
    torch.set_num_threads(1)
    side = QUICK_SIDE if options.quick else SIDE
    with recording(options.record) as figure:
        for shots, wanted in WANTED.items():
            print(f"shots: {shots}, at least {wanted} is wanted")
            for name in options.names or names:
                figure(f"episodes/{name}/{shots}-shot", f"{gain(name, shots, options.rounds, side):.2f}")


if __name__ == "__main__":
    as_a_worker()
    main()
