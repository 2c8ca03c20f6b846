"""What a training step, or an answer, of each model costs beside what it cannot do without.

256 x 256, float32, one thread; all ratios are of one run. A training step is forward, losses and backward of a batch of
4, episodes having one shot. An answer is forward and decoding of one picture by the frozen model, without flip test, or
of one query together with its support. Multiply-adds are those of the forward pass, per picture or query. Peak memory
is the resident memory that building the model and two of its steps add to a process of their own.

"times the trunk" is the time over that of timm's own network for the trunk alone, over the same pictures and in the
better memory format. "share of speed" is the share of the machine's matrix speed, of a product of 2048 x 2048, that is
reached at the counted operations of forward and backward.

--against measures another checkout instead, in processes that take turns: how many times as fast this one is.

Usage: python benchmarks/models.py [--quick | --record] [--inference] [--against FOLDER | --switches | --parts]
    [--rounds N] [NAME ...]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from cases import CASES, QUICK_SIDE, SIDE, Step, answer, counted, interleaved, ratio, some_batch, training_step
from figures import ROOT, arguments, recording
from step import as_a_worker
from trunks import FORMATS, SQUARE, bare_trunk, product
from turns import alternating

from posebed.pose import Batch
from posezoo.blocks.normalise import Normalise

BATCH = 4
COLUMNS = (
    ("million", "parameters"),
    ("multiply-", "adds, G"),
    ("peak", "MiB"),
    ("", "ms"),
    ("times the", "trunk"),
    ("share of", "speed"),
    ("at least", "wanted"),
)


def built(name: str, count: int = BATCH, side: int = SIDE) -> tuple[Any, Batch]:
    """A model and a batch for it."""
    case = CASES[name]
    setting = case.setting(side)
    return case.built(setting), some_batch(setting, count, shots=1 if case.episodic else 0)


def peak(name: str, inference: bool, side: int) -> int:
    """KiB, in this process."""
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = answer(*built(name, 1, side)) if inference else training_step(*built(name, BATCH, side))
    step()
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def compare(names: list[str], rounds: int, inference: bool, side: int, figure: Callable[[str, str], None]) -> None:
    # A new process starts with the peak of the one that starts it, and so before there are any models.
    # The reduced form, whose peaks say nothing, starts one for all.
    tasks = None if side == QUICK_SIDE else 1
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=tasks) as alone:
        measure = partial(peak, inference=inference, side=side)
        peaks = dict(zip(names, alone.map(measure, names, chunksize=1), strict=True))
    for line in zip(*COLUMNS, strict=True):
        print(f"{'':20}" + "".join(f"{word:>12}" for word in line))
    for name in names:
        size, operations, *ratios = costs(name, rounds, inference, side)
        values = (size / 1e6, operations / 1e9, peaks[name] / 1024, *ratios)
        shown = [f"{value:.{digits}f}" for value, digits in zip(values, (1, 1, 0, 0, 2, 2), strict=True)]
        wanted = CASES[name].wanted if not inference else None
        print(f"{name:20}" + "".join(f"{word:>12}" for word in (*shown, wanted or "")), flush=True)
        figure(f"models/{name}/{'answer' if inference else 'step'}", " | ".join([*shown[:3], *shown[4:]]))


def costs(name: str, rounds: int, inference: bool, side: int) -> tuple[float, ...]:
    """Parameters, multiply-adds for a picture, milliseconds, times the trunk's time, and share of matrix speed."""
    model, batch = built(name, 1 if inference else BATCH, side)
    step = (answer if inference else training_step)(model, batch)
    with torch.no_grad():
        forward = counted(lambda: model(batch)).get_total_flops()
    counts = forward if inference else counted(step).get_total_flops()
    trunks = bare_trunk(CASES[name], batch, inference)
    took = interleaved({"whole": step, **trunks, "product": product()}, rounds)
    return (
        sum(p.numel() for p in model.parameters()),
        forward / 2 / len(batch),
        statistics.median(took["whole"]) * 1000,
        max(ratio(took, "whole", kind) for kind in FORMATS),
        counts / (2 * SQUARE**3) * ratio(took, "product", "whole"),
    )


def against(
    other: Path, names: list[str], rounds: int, inference: bool, side: int, figure: Callable[[str, str], None]
) -> None:
    """How many times as fast this checkout is as another one."""
    what = "answer" if inference else "step"
    for name in names:
        case = CASES[name]
        config = {**case.config, **(case.quick if side == QUICK_SIDE and "backbone" in case.config else {})}
        task = {
            "model": case.model,
            "config": config,
            "side": side,
            "size": case.setting(side).size,
            "count": 1 if inference else BATCH,
            "inference": inference,
        }
        took = alternating({"this": ROOT, "other": other}, task, rounds)
        faster = statistics.median(took["other"]) / statistics.median(took["this"])
        figure(f"models/{name}/{what}-against", f"{faster:.2f} times as fast")


def contiguous(model: Any) -> Any:
    """The same with channels outermost in memory."""
    for part in model.modules():
        if isinstance(part, Normalise):
            part.register_forward_hook(lambda module, inputs, output: output.contiguous())
    return model.to(memory_format=torch.contiguous_format)


def in_bfloat16(model: Any) -> Callable[[Batch], Any]:
    def forward(batch: Batch) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return model(batch)

    return forward


def switches(names: list[str], rounds: int, side: int) -> None:
    """Each model against itself, with one setting changed."""
    compiles = shutil.which("g++") is not None
    if not compiles:
        print("torch.compile is left out: it needs the compiler g++, and there is none.")
    for name in names:
        model, batch = built(name, side=side)
        steps: dict[str, Step] = {
            "as it is": training_step(model, batch),
            "contiguous": training_step(contiguous(built(name, side=side)[0]), batch),
            "bfloat16": training_step(model, batch, in_bfloat16(model)),
        }
        if compiles:
            steps["compiled"] = training_step(model, batch, torch.compile(model))
        took = interleaved(steps, rounds)
        changed = ", ".join(
            f"{switch} {ratio(took, switch, 'as it is'):.2f}" for switch in steps if switch != "as it is"
        )
        print(f"{name:20} {changed}")


def parts(names: list[str], rounds: int, side: int) -> None:
    """What each part of a model takes of the forward pass's time, and what of its multiply-adds."""
    for name in names:
        model, batch = built(name, side=side)
        counter = counted(partial(model, batch), by_part=True)
        counts, took = counter.get_flop_counts(), _timed(model, batch, rounds)
        whole, operations = took.pop(""), counter.get_total_flops()
        took["outside of parts"] = whole - sum(took.values())
        print(f"{name}: {whole / rounds * 1000:.0f} ms forward")
        for part, seconds in sorted(took.items(), key=lambda entry: -entry[1]):
            share = sum(counts.get(f"{type(model).__name__}.{part}", {}).values()) / operations
            print(f"    {part:24}{seconds / whole:7.1%} of the time, {share:6.1%} of the multiply-adds")


def _timed(model: Any, batch: Batch, rounds: int) -> dict[str, float]:
    """Seconds of all rounds by the name of a child; the whole under no name."""
    took: dict[str, float] = {}

    def clock(name: str, sign: int) -> Callable[..., None]:
        def hook(*_: object) -> None:
            took[name] = took.get(name, 0.0) + sign * time.process_time()

        return hook

    model(batch)
    for name, child in (*model.named_children(), ("", model)):
        child.register_forward_pre_hook(clock(name, -1))
        child.register_forward_hook(clock(name, 1))
    for _ in range(rounds):
        model(batch)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}; by default all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--inference", action="store_true", help="answers instead of training steps")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout, to compare this one with")
    what.add_argument("--switches", action="store_true", help="contiguous memory, bfloat16 and torch.compile instead")
    what.add_argument("--parts", action="store_true", help="the parts of each model instead")
    options = arguments(parser, names=["proto_net"], rounds=1)
    unknown = [name for name in options.names if name not in CASES]
    if unknown:
        parser.error(f"NAME must be one of {', '.join(CASES)}, but is {', '.join(unknown)}")
    torch.set_num_threads(1)
    side = QUICK_SIDE if options.quick else SIDE
    chosen = options.names or [name for name, case in CASES.items() if options.inference or case.spec.trained]
    if options.switches:
        switches(chosen, options.rounds, side)
    elif options.parts:
        parts(chosen, options.rounds, side)
    else:
        measure = partial(against, options.against) if options.against else compare
        with recording(options.record) as figure:
            measure(chosen, options.rounds, options.inference, side, figure)


if __name__ == "__main__":
    as_a_worker()
    main()
