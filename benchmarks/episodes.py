"""How many times the queries per second a model answers when it looks at an episode's supports once for all queries.

Four episodes of 15 queries, which a test asks at once, 256 x 256, float32, one thread; the naive way looks at the
supports again for each query. MAML and Fine-tune have no such way: they never fit weights twice to the same supports.

Usage: python benchmarks/episodes.py [--rounds N] [NAME ...]
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from cases import CASES, Step, answer, in_turns, ratio, some_batch
from step import as_a_worker

from posebed.training.episodes import predicted

EPISODES = [episode for episode in range(4) for _ in range(15)]
"""That each query belongs to."""
WANTED = {1: 1.7, 5: 4.0}
"""Lowest gain by the number of shots."""


def gain(name: str, shots: int, rounds: int) -> float:
    """Naive time over that of looking once."""
    setting = CASES[name].setting()
    model: Any = CASES[name].built(setting)
    batch = some_batch(setting, len(EPISODES), shots)

    @torch.no_grad()
    def once() -> None:
        model.decode(predicted(model, batch, EPISODES), batch)

    steps: dict[str, Step] = {"naive": answer(model, batch), "once": once}
    return ratio(in_turns(steps, rounds), "naive", "once")


def main() -> None:
    names = [name for name, case in CASES.items() if hasattr(case.spec.model, "encode_support")]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; by default all")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in names]:
        parser.error(f"NAME must be one of {', '.join(names)}, but is {', '.join(unknown)}")
    torch.set_num_threads(1)
    for shots, wanted in WANTED.items():
        print(f"shots: {shots}, at least {wanted} is wanted")
        for name in options.names or names:
            print(f"    {name:14}{gain(name, shots, options.rounds):6.2f}", flush=True)


if __name__ == "__main__":
    as_a_worker()
    main()
