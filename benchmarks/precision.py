"""How many training steps in bfloat16 a model makes in the time of one in float32, on this machine's processor.

256 x 256, one thread, batches of 4, episodes having one shot. A step is forward, losses and backward; both take turns
within one run. What stays in float32 because it is faster there is left in it, as in a training. The ``fastest`` of a
model's SPEC, which ``train.precision: auto`` goes by, follows from this table.

Usage: python benchmarks/precision.py [--quick | --record] [--rounds N] [NAME ...]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from typing import Any

import torch
from cases import CASES, QUICK_SIDE, SIDE, Case, interleaved, ratio, some_batch, training_step
from figures import arguments, recording
from step import as_a_worker

from posebed.pose import Batch
from posebed.training.device_kind import device_kind
from posebed.training.precision import computing, keep_float32

BATCH, CPU = 4, torch.device("cpu")
LITE = {"backbone": "tf_efficientnet_lite0", "stride": 16}
COMPARED: Mapping[str, Case] = {
    **{name: case for name, case in CASES.items() if case.spec.trained},
    "simple_baseline-lite0": Case("simple_baseline", {**LITE, "deconvs": 2, "channels": 64}),
    "proto_net-lite0": Case("proto_net", {**LITE, "deconvs": 1, "channels": 64}),
}
"""Those of the other benchmarks that are trained, and the demo's trunk."""
HEADER = (("float32", "bfloat16", "steps in the"), ("ms", "ms", "time of one"))


def steps_of(name: str, rounds: int, side: int) -> dict[str, list[float]]:
    """Seconds of a case's steps in both precisions."""
    case = COMPARED[name]
    setting = case.setting(side)
    batch = some_batch(setting, BATCH, shots=1 if case.episodic else 0)
    lower: Any = case.built(setting)
    keep_float32(lower, CPU)

    def forward(batch: Batch) -> Any:
        with computing("bfloat16", CPU):
            return lower(batch)

    steps = {
        "float32": training_step(case.built(setting), batch),
        "bfloat16": training_step(lower, batch, forward),
    }
    return interleaved(steps, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMPARED)}; by default all")
    parser.add_argument("--rounds", type=int, default=7)
    options = arguments(parser, names=["proto_net"], rounds=1)
    if unknown := [name for name in options.names if name not in COMPARED]:
        parser.error(f"NAME must be one of {', '.join(COMPARED)}, but is {', '.join(unknown)}")
    torch.set_num_threads(1)
    with recording(options.record) as figure:
        figure("precision/kind", f"{device_kind(CPU)}, 1 thread")
        for line in HEADER:
            print(f"{'':24}{line[0]:>10}{line[1]:>10}{line[2]:>14}")
        for name in options.names or COMPARED:
            took = steps_of(name, options.rounds, QUICK_SIDE if options.quick else SIDE)
            milliseconds = [statistics.median(seconds) * 1000 for seconds in took.values()]
            gain = ratio(took, "float32", "bfloat16")
            print(f"{name:24}{milliseconds[0]:10.0f}{milliseconds[1]:10.0f}{gain:14.2f}", flush=True)
            figure(f"precision/{name}/step", f"{gain:.2f}")


if __name__ == "__main__":
    as_a_worker()
    main()
