"""A step's losses, gradients and answers on the device, against the CPU's in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from cases import CASES, QUICK_SIDE, some_batch
from torch import Tensor

from card.same_draws import SameDraws, still
from card.world import World
from posebed.contracts import Precision
from posebed.pose import Batch
from posebed.training.training_step import TrainingStep, total_loss

SIDE, COUNT = 128, 4
TIMES = {"float32": 4.0, "bfloat16": 2.0}
"""How many times the error of the CPU's same precision is allowed on the device."""
FLOOR = {"float32": (1e-5, 1e-3), "bfloat16": (0.02, 0.1)}
"""Errors of losses and of gradients that are allowed in any case."""
MOST = {"float32": (1e-3, 0.2), "bfloat16": (0.1, 2.0)}
"""Errors that are not allowed on any device. In bfloat16 the gradient of a network with many batch norms and random
weights can be as short as its error."""
NEAR, FEWER = 0.5, 0.02
"""Answers may lie this many pixels from those in float64. Twice as many keypoints as on a CPU, and this share of all,
may lie further: random weights make heatmaps of which two cells are all but equal."""


@dataclass(frozen=True)
class Computed:
    losses: dict[str, float]
    gradients: list[Tensor]
    """In float64, on the CPU."""

    def errors(self, exact: Computed) -> tuple[float, float]:
        """Largest error of a loss, in multiples of their sum, and the length of the error of the gradient, in multiples
        of the gradient's."""
        whole = sum(abs(loss) for loss in exact.losses.values())
        losses = max(abs(self.losses[name] - loss) for name, loss in exact.losses.items()) / whole
        pairs = [*zip(self.gradients, exact.gradients, strict=True)]
        error = sum(float((own - other).square().sum()) for own, other in pairs)
        length = sum(float(other.square().sum()) for _, other in pairs)
        return losses, (error / length) ** 0.5


def step_against_float64(world: World, name: str, precision: Precision) -> Mapping[str, Any]:
    """Errors of one training step.

    Raises:
        ValueError: they are larger than those of the CPU in the same precision explain.
    """
    model, batch = _given(world, name)
    with in_float64():
        exact = computed(copy.deepcopy(model).double(), doubled(batch), "float32")
    on_cpu = computed(copy.deepcopy(model), batch, precision)
    with without_tf32():
        here = computed(model.to(world.device), batch.to(world.device), precision)
    found: dict[str, float] = {}
    errors = zip(("loss error", "gradient error"), here.errors(exact), on_cpu.errors(exact), strict=True)
    for index, (what, error, of_cpu) in enumerate(errors):
        allowed = min(MOST[precision][index], max(FLOOR[precision][index], TIMES[precision] * of_cpu))
        if not error <= allowed:
            raise ValueError(
                f"the {what} must be at most {allowed:.2g}, but is {error:.2g}; on a CPU it is {of_cpu:.2g}"
            )
        found |= {what: error, f"{what} on a CPU": of_cpu}
    return found


def answers_against_float64(world: World, name: str) -> Mapping[str, Any]:
    """Share of the keypoints that lie where float64 finds them.

    Raises:
        ValueError: more lie elsewhere than on a CPU in float32 explains.
    """
    model, batch = _given(world, name)
    with in_float64():
        exact = _points(copy.deepcopy(model).double(), doubled(batch))
    on_cpu = _share_near(exact, _points(copy.deepcopy(model), batch))
    with without_tf32():
        here = _share_near(exact, _points(model.to(world.device), batch.to(world.device)))
    least = 1 - 2 * (1 - on_cpu) - FEWER
    if here < least:
        raise ValueError(f"{least:.1%} of the keypoints must lie within {NEAR} pixels, but {here:.1%} do")
    return {"near": here, "near on a CPU": on_cpu}


@torch.no_grad()
def _points(model: Any, batch: Batch) -> Tensor:
    model.eval()
    with SameDraws(seed=0):
        return model.decode(model(batch), batch).xy.double().cpu()


def _share_near(one: Tensor, other: Tensor) -> float:
    return float(((one - other).norm(dim=-1) < NEAR).double().mean())


def _given(world: World, name: str) -> tuple[Any, Batch]:
    """A case's model without dropout, and random crops or episodes."""
    case = CASES[name]
    setting = case.setting(QUICK_SIDE if world.side == QUICK_SIDE else SIDE)
    model, batch = case.built(setting), some_batch(setting, COUNT, 1 if case.episodic else 0)
    still(model)
    return model, batch


def computed(model: Any, batch: Batch, precision: Precision) -> Computed:
    """Of one step of training."""
    step = TrainingStep(model, precision).train()
    with SameDraws(seed=0):
        _, losses = step(batch)
        parameters = [p for p in model.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(total_loss(losses), parameters, allow_unused=True, materialize_grads=True)
    return Computed({n: float(v.detach()) for n, v in losses.items()}, [g.detach().double().cpu() for g in gradients])


def doubled(thing: Any) -> Any:
    """A batch in float64."""
    if isinstance(thing, Tensor):
        return thing.double() if thing.is_floating_point() or thing.dtype == torch.uint8 else thing
    if thing is None:
        return None
    return replace(thing, **{field.name: doubled(getattr(thing, field.name)) for field in fields(thing)})


@contextmanager
def in_float64() -> Iterator[None]:
    """Tensors that a model makes by itself are in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Products in float32 keep all of its digits."""
    former = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = former
