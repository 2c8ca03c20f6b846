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
from posebed.inference.freezing import frozen
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
    trunk: str = "resnet50"
    """timm's own network that pictures pass."""
    trains_trunk: bool = True
    sees_supports: bool = True
    """Whether supports' pictures pass the trunk."""
    wanted: float | None = None
    """Lowest share of the machine's matrix speed that a training step is to reach, as seen or above."""
    multiple: int = 1
    """The crop's sides are multiples of it."""
    quick: Mapping[str, Any] = field(default_factory=lambda: {"backbone": "test_resnet"})
    """Config of the reduced form, where the model has a backbone."""

    @property
    def spec(self) -> ModelSpec:
        return CATALOG.model(self.model)

    @property
    def episodic(self) -> bool:
        return self.spec.tasks[0] == Task.CATEGORY_AGNOSTIC

    def setting(self, side: int = SIDE) -> Setting:
        side -= side % self.multiple
        if self.episodic:
            return Setting((side, side), 68, categories("mixed"))
        return Setting((side, side), 17, categories("quadrupeds")[:1])

    def built(self, setting: Setting, **config: Any) -> Any:
        torch.manual_seed(0)
        always = {"weights": "none"}
        if "flip_test" in self.spec.config.model_fields:
            always["flip_test"] = "off"
        if min(setting.size) <= QUICK_SIDE and "backbone" in self.spec.config.model_fields:
            config |= self.quick
        return self.spec.model(self.spec.config(**{**always, **self.config, **config}), setting)


_CLIP = {"text_weights": "none"}
_VIT, _SWIN = "vit_base_patch16_224", "swinv2_tiny_window16_256"
_SMALL_VIT = {"backbone": "test_vit", "width": 64, "depth": 2, "heads": 2}
CASES: Mapping[str, Case] = {
    BASE: Case("simple_baseline", {"backbone": "resnet50"}, wanted=0.87),
    "hrnet-w32": Case("hrnet", {"width": 32}, "hrnet_w32", wanted=0.88),
    "hrnet-w48": Case("hrnet", {"width": 48}, "hrnet_w48"),
    "kitpose-w32": Case("kitpose", {"width": 32}, "hrnet_w32", wanted=0.88),
    "prompt_pose-r50": Case("prompt_pose", {"backbone": "clip_resnet50", **_CLIP}, "resnet50_clip"),
    "prompt_pose-vit-b": Case("prompt_pose", {"backbone": "clip_vit_b16", **_CLIP}, _VIT),
    "vit_pose-b": Case("vit_pose", trunk=_VIT, wanted=0.96),
    "cape_former": Case("cape_former", wanted=0.88),
    "fmmp": Case("fmmp", wanted=0.82),
    "graph_cape": Case("graph_cape", trunk=_SWIN, wanted=0.75),
    "cape_x": Case("cape_x", {"text_encoder": "minilm", "text_weights": "none"}, trunk=_SWIN, sees_supports=False),
    "edge_cape": Case(
        "edge_cape",
        {"backbone": "vit_small_patch14_dinov2"},
        "vit_small_patch14_dinov2",
        trains_trunk=False,
        multiple=14,
        quick={"backbone": "test_resnet", "stride": 8},
    ),
    "pomnet": Case("pomnet", wanted=0.93),
    "sdpnet-r50": Case("sdpnet", {"backbone": "resnet50"}),
    "sdpnet-w32": Case("sdpnet", trunk="hrnet_w32", wanted=0.88),
    "proto_net": Case("proto_net", wanted=0.87),
    "proto_pose": Case("proto_pose", {"backbone": _VIT, "prompts": "support", "flip": 0.0}, _VIT, quick=_SMALL_VIT),
    "match": Case(
        "match",
        {"backbone": "tf_efficientnet_lite0", "stride": 16, "resolution": None},
        "tf_efficientnet_lite0",
        trains_trunk=False,
    ),
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
    """Forward and decoding by the frozen model, of an episode that it has not seen before."""
    ready: Any = frozen(model.eval(), batch)

    @torch.no_grad()
    def step() -> None:
        ready.eval()  # forgets what was fitted to the episode before
        ready.decode(ready(batch), batch)

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


class _Undivided:
    """In the place of what follows modules, which refuses some whose inputs are parameters."""

    parents = ("Global",)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def counted(step: Step, by_part: bool = False) -> FlopCounterMode:
    """What it counts in a step, a multiply-add being two. It knows no laid-out layers.

    Args:
        by_part: of a model's modules too, for a step without gradients.
    """

    def linear(rows: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
        return 2 * prod(rows) * weight[0]

    def backward(rows: Sequence[int], gradient: Sequence[int], weight: Sequence[int], *mask: Any, **_: object) -> int:
        return 2 * prod(gradient) * weight[1] * sum(mask[0][:2])

    aten = torch.ops.aten
    known = {aten.mkldnn_linear: linear, aten.mkldnn_linear_backward: backward}
    torch.backends.mha.set_fastpath_enabled(False)  # of which it knows nothing
    counter: Any = FlopCounterMode(display=False, custom_mapping=known)
    if not by_part:
        counter.mod_tracker = _Undivided()
    with counter:
        step()
    torch.backends.mha.set_fastpath_enabled(True)
    return counter
