"""Compiled steps, and such that are recorded as CUDA graphs, against steps that run as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from card.proof_steps import without_tf32
from card.steps import Trainer
from card.world import World
from posebed.contracts import Compile
from posebed.training.modes import Mode
from posebed.training.training_step import total_loss

COUNT = 4
STEPS, LOSSES, WEIGHTS = 3, 1e-3, 1e-2
"""Steps after which trainings are compared; the largest relative difference of their losses, and of their weights in
multiples of how far these have moved."""


def compiled_as_written(world: World, name: str, compiled: Compile) -> Mapping[str, Any]:
    """How far a few compiled steps in float32 end from those that are not.

    Raises:
        ValueError: further than another order of additions explains.
    """
    from torch._inductor import config  # imports the compiler, which takes seconds

    ends: list[tuple[float, Tensor]] = []
    with without_tf32(), config.patch(fallback_random=True):
        for mode in (Mode("eager", "float32"), Mode(compiled, "float32")):
            trainer = Trainer.opened(world, name, mode, COUNT, unmoved=True, optimizer="sgd", lr=1e-3, momentum=0.0)
            before = _weights(trainer)
            torch.manual_seed(0)
            loss = [float(total_loss(trainer.step()).detach()) for _ in range(STEPS)][-1]
            ends.append((loss, _weights(trainer) - before))
    (loss, way), (other_loss, other_way) = ends
    found = {"loss": abs(other_loss - loss) / abs(loss), "weights": float((other_way - way).norm() / way.norm())}
    for (what, difference), most in zip(found.items(), (LOSSES, WEIGHTS), strict=True):
        if not difference <= most:
            raise ValueError(f"the {what} must differ by at most {most:g} of it, but differs by {difference:.2g}")
    return found


def _weights(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().double().cpu().flatten() for p in trainer.engine.module.parameters()])
