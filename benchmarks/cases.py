"""The models that benchmarks compare, what they are given, and steps that take turns.

A model of one skeleton is given batches of a quadruped's 17 keypoints, a category-agnostic one episodes of the same
animal among the built-in mixed set, whose largest category has 68.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from menagerie import categories
from posebed.catalog import installed
from posebed.contracts import ModelSpec, Setting, Task
from posebed.pose import Batch, EpisodeBatch, Keypoints

CATALOG = installed()
SIDE = 256
QUICK_SIDE = 64
"""Of the reduced form, which also takes a tiny backbone."""
BASE = "simple_baseline-r50"


@dataclass(frozen=True)
class Case:
    model: str
    """Of the zoo."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    wanted: float | None = None
    """Highest multiple of the base's step."""

    @property
    def spec(self) -> ModelSpec:
        return CATALOG.model(self.model)

    @property
    def episodic(self) -> bool:
        return self.spec.tasks[0] == Task.CATEGORY_AGNOSTIC

    def setting(self, side: int = SIDE) -> Setting:
        if self.episodic:
            return Setting((side, side), 68, categories("mixed"))
        return Setting((side, side), 17, categories("quadrupeds")[:1])

    def built(self, setting: Setting, **config: Any) -> Any:
        torch.manual_seed(0)
        always = {"weights": "none"} if self.episodic else {"weights": "none", "flip_test": "off"}
        if min(setting.size) == QUICK_SIDE and "backbone" in self.spec.config.model_fields:
            config["backbone"] = "test_resnet"
        return self.spec.model(self.spec.config(**{**always, **self.config, **config}), setting)


CASES: Mapping[str, Case] = {
    BASE: Case("simple_baseline", {"backbone": "resnet50"}),
    "hrnet-w32": Case("hrnet", {"width": 32}, wanted=1.05),
    "hrnet-w48": Case("hrnet", {"width": 48}, wanted=1.9),
    "kitpose-w32": Case("kitpose", {"width": 32}, wanted=1.2),
    "prompt_pose-r50": Case("prompt_pose", {"backbone": "clip_resnet50", "text_weights": "none"}, wanted=1.7),
    "prompt_pose-vit-b": Case("prompt_pose", {"backbone": "clip_vit_b16", "text_weights": "none"}, wanted=4.3),
    "vit_pose-b": Case("vit_pose"),
    "cape_former": Case("cape_former", wanted=2.0),
    "fmmp": Case("fmmp", wanted=2.3),
    "graph_cape": Case("graph_cape", wanted=3.5),
    "pomnet": Case("pomnet", wanted=5.0),
    "sdpnet-r50": Case("sdpnet", {"backbone": "resnet50"}),
    "sdpnet-w32": Case("sdpnet"),
    "proto_net": Case("proto_net"),
    "maml": Case("maml"),
    "fine_tune": Case("fine_tune"),
}

Step = Callable[[], object]


def some_batch(setting: Setting, count: int, shots: int) -> Batch:
    """Random pictures and points of the first category, all visible; an episode where there are shots."""
    draw = torch.Generator().manual_seed(0)
    shown = torch.arange(setting.keypoints) < len(setting.categories[0].keypoints)

    def crops(*shape: int) -> tuple[Tensor, Keypoints]:
        image = torch.randint(0, 256, (*shape, 3, *setting.size), generator=draw, dtype=torch.uint8)
        xy = torch.rand(*shape, setting.keypoints, 2, generator=draw) * min(setting.size)
        return image, Keypoints(xy, shown.float().expand(*shape, -1))

    zeros = torch.zeros(count, dtype=torch.int64)
    query = (*crops(count), zeros, zeros)
    return EpisodeBatch(*query, *crops(count, shots)) if shots else Batch(*query)


def training_step(model: Any, batch: Batch, forward: Callable[[Batch], Any] | None = None) -> Step:
    """Forward, losses and backward."""
    run = model if forward is None else forward

    def step() -> None:
        model.train()
        model.zero_grad()
        losses = model.losses(run(batch), batch)
        sum(losses.values(), torch.zeros(())).backward()

    return step


def answer(model: Any, batch: Batch) -> Step:
    """Forward and decoding in evaluation, of an episode that the model has not seen before."""

    @torch.no_grad()
    def step() -> None:
        model.eval()  # forgets what was fitted to the episode before
        model.decode(model(batch), batch)

    return step


def interleaved(steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds of every step, after one that does not count. Processor time, which other processes disturb least;
    interleaved, so that a machine that slows down slows all of them."""
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


def counted(step: Step) -> FlopCounterMode:
    """What it counts in a step, a multiply-add being two."""

    def linear(rows: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
        return 2 * prod(rows) * weight[0]

    torch.backends.mha.set_fastpath_enabled(False)  # of which it knows nothing
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_linear: linear}) as counter:
        step()
    torch.backends.mha.set_fastpath_enabled(True)
    return counter
