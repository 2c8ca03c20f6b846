"""One training step of a model as a single module: forward pass and losses, by itself or compiled.

DistributedDataParallel and DeepSpeed wrap it, so that a compiled graph holds all that a step computes before its
backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from posebed.contracts import Compile, Precision
from posebed.pose import Batch
from posebed.training.pose_module import PoseModule, losses_of
from posebed.training.precision import computing

Computed = tuple[Any, dict[str, Tensor]]
"""The prediction, and the losses by name; none in evaluation."""


class TrainingStep(nn.Module):
    """Predicts and, in training, measures the losses.

    Args:
        precision: in which the model predicts; losses are computed outside of mixed precision.
    """

    def __init__(self, model: PoseModule, precision: Precision) -> None:
        super().__init__()
        self.model = model
        self._precision: Precision = precision
        self._in_training: Callable[[Batch], Computed] = self._computed

    def forward(self, batch: Batch) -> Computed:
        with computing(self._precision, batch.image.device):
            return self._in_training(batch) if self.training else self._computed(batch)

    def _computed(self, batch: Batch) -> Computed:
        prediction = self.model(batch)
        if not self.training:
            return prediction, {}
        with torch.autocast(batch.image.device.type, enabled=False):
            return prediction, losses_of(self.model, prediction, batch)

    def compile_training(self, mode: Compile) -> None:
        """Compile it as a whole. With ``reduce-overhead`` an accelerator's kernels are recorded once, as CUDA graphs of
        the forward and of the backward pass, and started together from then on."""
        # torch keeps a few forms of a step alone: those of trainings before in this process had other models.
        torch.compiler.reset()
        if mode == "eager":
            self._in_training = self._computed
        else:
            self._in_training = torch.compile(self._computed, fullgraph=True, dynamic=False, mode=mode)


def compiler_fault(device: torch.device) -> str:
    """Why nothing compiles for a device, in a line; empty where something does."""
    try:
        torch.compile(torch.add, fullgraph=True)(torch.ones(2, device=device), 1)
    except Exception as error:  # whatever a compiler may raise
        return _line(error)
    return ""


def reason_against(step: TrainingStep, batch: Batch) -> str:
    """Why a compiled step cannot be taken, in a line; empty where it can.

    It is taken three times, forward and backward: CUDA graphs are recorded in the second and played in the third. It
    leaves weights, gradients, buffers and generators as they were.

    Raises:
        torch.OutOfMemoryError: the device's memory does not hold it, which would not be better uncompiled.
    """
    buffers = {name: buffer.clone() for name, buffer in step.named_buffers()}
    step.train()
    devices = [batch.image.device] if batch.image.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):  # pyright: ignore[reportUnknownMemberType]
            for _ in range(3):
                gradients(step, batch)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler may raise; the model's own faults come again without it
        return _line(error)
    finally:
        with torch.no_grad():
            for name, buffer in step.named_buffers():
                buffer.copy_(buffers[name])
    return ""


def _line(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first[:200]}"


def gradients(step: TrainingStep, batch: Batch) -> tuple[Tensor | None, ...]:
    """Of the loss of a batch, by every parameter that is trained; none is added to what parameters hold."""
    _, losses = step(batch)
    parameters = [p for p in step.parameters() if p.requires_grad]
    return torch.autograd.grad(total_loss(losses), parameters, allow_unused=True)


def total_loss(losses: Mapping[str, Tensor]) -> Tensor:
    """Their sum, which is minimised."""
    first, *others = losses.values()
    return sum(others, first)
