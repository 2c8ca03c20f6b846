"""What a training step of each model costs as a multiple of one of SimpleBaseline with ResNet-50: ratios of one run.

Forward, losses and backward; 256 x 256, batch 4, float32, one thread. The models take turns, so that a machine that
slows down slows all of them, and processor time is taken, which other processes disturb least. Multiply-adds are those
of the forward pass in training, per picture. Peak memory is the resident memory that building the model and two steps
add to a process of their own.

Usage: python benchmarks/models.py [--rounds N] [--switches] [--parts] [NAME ...]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import timm
import torch
from step import as_a_worker
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from posebed import catalog
from posebed.contracts import Setting
from posebed.menagerie import categories
from posebed.pose import Batch, Keypoints

BATCH, SIDE, KEYPOINTS = 4, 256, 17
BASE, BARE = "simple_baseline-r50", "torch-r50"
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    BASE: ("simple_baseline", {"backbone": "resnet50"}),
    "hrnet-w32": ("hrnet", {"width": 32}),
    "hrnet-w48": ("hrnet", {"width": 48}),
    "kitpose-w32": ("kitpose", {"width": 32}),
    "prompt_pose-r50": ("prompt_pose", {"backbone": "clip_resnet50", "text_weights": "none"}),
    "prompt_pose-vit-b": ("prompt_pose", {"backbone": "clip_vit_b16", "text_weights": "none"}),
    "vit_pose-b": ("vit_pose", {}),
}
WANTED = {"hrnet-w32": 1.05, "hrnet-w48": 1.9, "kitpose-w32": 1.2, "prompt_pose-r50": 1.7, "prompt_pose-vit-b": 4.3}
"""Highest multiples of the base's step; of ``BARE`` the lowest is 1."""
HEADER = (
    ("million", "multiply-", "peak", "ms a", "times our", "times bare", "at most"),
    ("parameters", "adds, G", "MiB", "step", "ResNet-50", "torch", "wanted"),
)

Step = Callable[[], object]


class Bare(nn.Module):
    """timm's ResNet-50 and three transposed convolutions as anyone would write them, against which ours is held."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = timm.create_model("resnet50", num_classes=0, global_pool="")
        layers: list[nn.Module] = []
        for channels in (2048, 256, 256):
            layers += [nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(True)]
        self.head = nn.Sequential(*layers, nn.Conv2d(256, KEYPOINTS, 1))

    def forward(self, batch: Batch) -> Tensor:
        return self.head(self.backbone(batch.image / 255))

    def losses(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"heatmap": functional.mse_loss(prediction, torch.zeros_like(prediction))}


def built(name: str) -> Any:
    torch.manual_seed(0)
    if name == BARE:
        return Bare()
    model, config = CASES[name]
    spec = catalog.load("posezoo", model)
    setting = Setting((SIDE, SIDE), KEYPOINTS, categories("quadrupeds")[:1])
    return spec.model(spec.config(weights="none", **config), setting)


def some_batch() -> Batch:
    draw = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), generator=draw, dtype=torch.uint8)
    xy = torch.rand(BATCH, KEYPOINTS, 2, generator=draw) * SIDE
    zeros = torch.zeros(BATCH, dtype=torch.int64)
    return Batch(image, Keypoints(xy, torch.ones(BATCH, KEYPOINTS)), zeros, zeros)


def step_of(model: Any, forward: Callable[[Batch], Any] | None = None) -> Step:
    batch, run = some_batch(), model if forward is None else forward

    def step() -> None:
        model.zero_grad()
        losses = model.losses(run(batch), batch)
        sum(losses.values(), torch.zeros(())).backward()

    return step


def in_turns(steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds of every step, after one that does not count."""
    took: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(rounds + 1):
        for name, step in steps.items():
            started = time.process_time()
            step()
            if index:
                took[name].append(time.process_time() - started)
    return took


def ratio(took: Mapping[str, list[float]], name: str, base: str) -> float:
    return statistics.median(a / b for a, b in zip(took[name], took[base], strict=True))


def counted(model: Any) -> FlopCounterMode:
    """Of one forward pass in training."""

    def linear(rows: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
        return 2 * prod(rows) * weight[0]

    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_linear: linear}) as counter:
        model(some_batch())
    return counter


def peak(name: str) -> int:
    """KiB, in this process."""
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = step_of(built(name))
    step()
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def compare(names: list[str], rounds: int) -> None:
    # A new process starts with the peak of the one that starts it, and so before there are any models.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as alone:
        peaks = dict(zip(names, alone.map(peak, names, chunksize=1), strict=True))
    models = {name: built(name) for name in names}
    took = in_turns({name: step_of(model) for name, model in models.items()}, rounds)
    for line in HEADER:
        print(f"{'':20}{line[0]:>11}{line[1]:>11}{line[2]:>8}{line[3]:>8}{line[4]:>11}{line[5]:>12}{line[6]:>9}")
    for name, model in models.items():
        parameters = sum(p.numel() for p in model.parameters())
        operations = counted(model).get_total_flops() / 2 / BATCH
        print(
            f"{name:20}{parameters / 1e6:11.1f}{operations / 1e9:11.2f}"
            f"{peaks[name] / 1024:8.0f}{statistics.median(took[name]) * 1000:8.0f}{ratio(took, name, BASE):11.2f}"
            f"{ratio(took, name, BARE):12.2f}{WANTED.get(name, ''):>9}"
        )


def contiguous(model: Any) -> Any:
    """The same with channels outermost in memory."""
    model.normalise.register_forward_hook(lambda module, inputs, output: output.contiguous())
    return model.to(memory_format=torch.contiguous_format)


def in_bfloat16(model: Any) -> Callable[[Batch], Any]:
    def forward(batch: Batch) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return model(batch)

    return forward


def switches(names: list[str], rounds: int) -> None:
    """Each model against itself, with one setting changed."""
    compiles = shutil.which("g++") is not None
    if not compiles:
        print("torch.compile is left out: it needs the compiler g++, and there is none.")
    for name in names:
        model = built(name)
        steps = {"as it is": step_of(model), "contiguous": step_of(contiguous(built(name)))}
        steps["bfloat16"] = step_of(model, in_bfloat16(model))
        if compiles:
            steps["compiled"] = step_of(model, torch.compile(model))
        took = in_turns(steps, rounds)
        changed = ", ".join(
            f"{switch} {ratio(took, switch, 'as it is'):.2f}" for switch in steps if switch != "as it is"
        )
        print(f"{name:20} {changed}")


def parts(names: list[str], rounds: int) -> None:
    """What each part of a model takes of the forward pass's time, and what of its multiply-adds."""
    for name in names:
        model = built(name)
        counter = counted(model)
        counts, took = counter.get_flop_counts(), _timed(model, rounds)
        whole, operations = took.pop(""), counter.get_total_flops()
        took["outside of parts"] = whole - sum(took.values())
        print(f"{name}: {whole / rounds * 1000:.0f} ms forward")
        for part, seconds in sorted(took.items(), key=lambda entry: -entry[1]):
            share = sum(counts.get(f"{type(model).__name__}.{part}", {}).values()) / operations
            print(f"    {part:24}{seconds / whole:7.1%} of the time, {share:6.1%} of the multiply-adds")


def _timed(model: Any, rounds: int) -> dict[str, float]:
    """Seconds of all rounds by the name of a child; the whole under no name."""
    took: dict[str, float] = {}

    def clock(name: str, sign: int) -> Callable[..., None]:
        def hook(*_: object) -> None:
            took[name] = took.get(name, 0.0) + sign * time.process_time()

        return hook

    batch = some_batch()
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
    parser.add_argument("--switches", action="store_true", help="contiguous memory, bfloat16 and torch.compile instead")
    parser.add_argument("--parts", action="store_true", help="the parts of each model instead")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in CASES]
    if unknown:
        parser.error(f"NAME must be one of {', '.join(CASES)}, but is {', '.join(unknown)}")
    torch.set_num_threads(1)
    chosen = options.names or list(CASES)
    if options.switches:
        switches(chosen, options.rounds)
    elif options.parts:
        parts(chosen, options.rounds)
    else:
        compare([BARE, BASE, *(name for name in chosen if name != BASE)], options.rounds)


if __name__ == "__main__":
    as_a_worker()
    main()
