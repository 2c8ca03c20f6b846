"""What a training step, or an answer, of each model costs as a multiple of SimpleBaseline's with ResNet-50.

256 x 256, float32, one thread; all ratios are of one run. A training step is forward, losses and backward of a batch of
4, episodes having one shot. An answer is forward and decoding of one picture, without flip test, or of one query
together with its support. Multiply-adds are those of the forward pass, per picture or query. Peak memory is the
resident memory that building the model and two of its steps add to a process of their own.

Usage: python benchmarks/models.py [--quick | --record] [--inference | --switches | --parts] [--rounds N] [NAME ...]
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
from typing import Any

import timm
import torch
from cases import BASE, CASES, QUICK_SIDE, SIDE, Step, answer, counted, interleaved, ratio, some_batch, training_step
from figures import arguments, recording
from step import as_a_worker
from torch import Tensor, nn
from torch.nn import functional

from posebed.pose import Batch
from posezoo.blocks.normalise import Normalise

BATCH, BARE = 4, "torch-r50"
HEADER = (
    ("million", "multiply-", "peak", "ms", "times our", "times bare", "at most"),
    ("parameters", "adds, G", "MiB", "", "ResNet-50", "torch", "wanted"),
)


class Bare(nn.Module):
    """timm's ResNet-50 and three transposed convolutions as anyone would write them, against which ours is held."""

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.backbone = timm.create_model("resnet50", num_classes=0, global_pool="")
        layers: list[nn.Module] = []
        for channels in (2048, 256, 256):
            layers += [nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(True)]
        self.head = nn.Sequential(*layers, nn.Conv2d(256, keypoints, 1))

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.backbone(batch.image / 255))

    def losses(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"heatmap": functional.mse_loss(prediction, torch.zeros_like(prediction))}

    def decode(self, prediction: Tensor, batch: Batch) -> Tensor:
        return prediction.flatten(2).argmax(2)


def built(name: str, count: int = BATCH, side: int = SIDE) -> tuple[Any, Batch]:
    """A model and a batch for it."""
    case = CASES[BASE if name == BARE else name]
    setting = case.setting(side)
    model = Bare(setting.keypoints) if name == BARE else case.built(setting)
    return model, some_batch(setting, count, shots=1 if case.episodic else 0)


def peak(name: str, inference: bool, side: int) -> int:
    """KiB, in this process."""
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = answer(*built(name, 1, side)) if inference else training_step(*built(name, BATCH, side))
    step()
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def wanted(name: str, inference: bool) -> float | str:
    """The highest multiple; of answers only where a query comes with its supports."""
    case = CASES.get(name)
    return case.wanted or "" if case and (case.episodic or not inference) else ""


def compare(names: list[str], rounds: int, inference: bool, side: int, figure: Callable[[str, str], None]) -> None:
    # A new process starts with the peak of the one that starts it, and so before there are any models.
    # The reduced form, whose peaks say nothing, starts one for all.
    tasks = None if side == QUICK_SIDE else 1
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=tasks) as alone:
        measure = partial(peak, inference=inference, side=side)
        peaks = dict(zip(names, alone.map(measure, names, chunksize=1), strict=True))
    cases = {name: built(name, 1 if inference else BATCH, side) for name in names}
    make = answer if inference else training_step
    took = interleaved({name: make(*case) for name, case in cases.items()}, rounds)
    for line in HEADER:
        print(f"{'':20}{line[0]:>11}{line[1]:>11}{line[2]:>8}{line[3]:>8}{line[4]:>11}{line[5]:>12}{line[6]:>9}")
    rows: dict[str, str] = {}
    for name, (model, batch) in cases.items():
        parameters = sum(p.numel() for p in model.parameters()) / 1e6
        forward = make(model, batch) if inference else partial(model, batch)
        operations = counted(forward).get_total_flops() / 2 / len(batch) / 1e9
        memory, multiple = peaks[name] / 1024, ratio(took, name, BASE)
        rows[name] = f"{parameters:.1f} | {operations:.1f} | {memory:.0f} | {multiple:.2f}"
        print(
            f"{name:20}{parameters:11.1f}{operations:11.2f}"
            f"{memory:8.0f}{statistics.median(took[name]) * 1000:8.0f}{multiple:11.2f}"
            f"{ratio(took, name, BARE):12.2f}{wanted(name, inference):>9}"
        )
    what = "answer" if inference else "step"
    for name, row in rows.items():
        figure(f"models/{name.lower()}/{what}", row)
    figure(f"models/bare/{what}", f"{ratio(took, BASE, BARE):.2f}")


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
        counter = counted(partial(model, batch))
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
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--inference", action="store_true", help="answers instead of training steps")
    what.add_argument("--switches", action="store_true", help="contiguous memory, bfloat16 and torch.compile instead")
    what.add_argument("--parts", action="store_true", help="the parts of each model instead")
    options = arguments(parser, names=["proto_net"], rounds=1)
    unknown = [name for name in options.names if name not in CASES]
    if unknown:
        parser.error(f"NAME must be one of {', '.join(CASES)}, but is {', '.join(unknown)}")
    torch.set_num_threads(1)
    chosen, side = options.names or list(CASES), QUICK_SIDE if options.quick else SIDE
    if options.switches:
        switches(chosen, options.rounds, side)
    elif options.parts:
        parts(chosen, options.rounds, side)
    else:
        names = [BARE, BASE, *(name for name in chosen if name != BASE)]
        with recording(options.record) as figure:
            compare(names, options.rounds, options.inference, side, figure)


if __name__ == "__main__":
    as_a_worker()
    main()
