"""What turns gradients into better weights: plain torch here, DeepSpeed in ``zero``, behind one interface.

Both are given the same torch optimizer, so that they differ in where its state lies and in nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from posebed.config import TrainConfig
from posebed.contracts import Precision
from posebed.pose import Batch
from posebed.training.batchnorm import BATCH_NORMS, synchronised
from posebed.training.pose_module import PoseModule
from posebed.training.precision import keep_float32
from posebed.training.process_group import ProcessGroup
from posebed.training.schedule import Rated
from posebed.training.training_step import Computed, TrainingStep


class Engine(Protocol):
    module: PoseModule
    """The bare model."""

    @property
    def optimizer(self) -> Rated: ...

    step_module: TrainingStep
    """What it wraps of the model: forward pass and losses."""

    def __call__(self, batch: Batch) -> Computed: ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of one micro batch; the engine divides by the accumulation."""

    def step(self) -> None:
        """Count one micro batch; with the last of an accumulation change the weights."""

    def save(self, folder: Path) -> None:
        """Write this rank's share of weights and optimizer state; every rank calls it."""

    def load(self, folder: Path) -> None: ...

    def weights(self) -> dict[str, Tensor] | None:
        """Whole weights on the CPU, on rank 0 alone; every rank calls it."""


def open_engine(
    model: PoseModule, train: TrainConfig, factors: Mapping[str, float], group: ProcessGroup, precision: Precision
) -> Engine:
    """The engine that ``train.engine`` names, on this worker's device.

    Args:
        factors: prefixes of parameter names to factors of the learning rate.
        precision: of the forward pass; weights and losses are in float32 in any.
    """
    model = model.to(group.device)
    if group.size > 1 and train.sync_batchnorm:
        model = synchronised(model, group)
    if precision == "bfloat16":
        keep_float32(model, group.device)
    optimizer = make_optimizer(model, train, factors)
    if train.engine == "torch":
        return TorchEngine(model, optimizer, train, group, precision)
    # DeepSpeed takes seconds to import: only those who train with it wait for it.
    from posebed.training.zero import DeepSpeedEngine

    return DeepSpeedEngine(model, optimizer, train, group, precision)


def make_optimizer(model: nn.Module, train: TrainConfig, factors: Mapping[str, float]) -> torch.optim.Optimizer:
    """One parameter group per learning-rate factor and weight decay; a parameter takes the factor of its longest
    matching prefix.

    Frozen parameters are left out. Each group keeps its full rate as ``base_lr``, which the schedule multiplies.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    spared = _spared(model, train.undecayed)
    for name, parameter in model.named_parameters():
        prefix = max((p for p in factors if name.startswith(p)), key=len, default="")
        factor = factors.get(prefix, 1.0)
        parameter.requires_grad_(parameter.requires_grad and factor > 0)
        if parameter.requires_grad:
            decay = 0.0 if name in spared else train.weight_decay
            groups.setdefault((factor, decay), []).append(parameter)
    described = [
        {"params": p, "lr": train.lr * factor, "base_lr": train.lr * factor, "weight_decay": decay}
        for (factor, decay), p in groups.items()
    ]
    if train.optimizer == "sgd":  # not fused, which refuses parameters whose first gradient comes later than others'
        return torch.optim.SGD(described, lr=train.lr, momentum=train.momentum)
    # Fused: all weights change in a few kernels instead of several for each.
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(described, lr=train.lr, fused=True)


def _spared(model: nn.Module, kinds: Collection[str]) -> set[str]:
    """Names of the parameters that take no weight decay."""
    normalisations = (nn.LayerNorm, nn.GroupNorm, *BATCH_NORMS)
    names = set[str]()
    for name, parameter in model.named_parameters():
        norm = isinstance(model.get_submodule(name.rpartition(".")[0]), normalisations)
        is_of = {
            "norm": norm,
            "bias": not norm and name.endswith("bias"),
            "vector": parameter.dim() == 1,
            "position": name.endswith("pos_embed"),
        }
        if any(is_of[kind] for kind in kinds):
            names.add(name)
    return names


class TorchEngine:
    """Plain torch, with DistributedDataParallel where there are several workers."""

    def __init__(
        self,
        model: PoseModule,
        optimizer: torch.optim.Optimizer,
        train: TrainConfig,
        group: ProcessGroup,
        precision: Precision,
    ) -> None:
        self.module, self.optimizer, self._group = model, optimizer, group
        self.step_module = TrainingStep(model, precision)
        self._forward = (
            DistributedDataParallel(self.step_module, gradient_as_bucket_view=True)
            if group.size > 1
            else self.step_module
        )
        self._accumulation, self._clip, self._counted = train.accumulation(group.size), train.clip, 0

    def __call__(self, batch: Batch) -> Computed:
        return self._forward(batch)

    def backward(self, loss: Tensor) -> None:
        torch.autograd.backward(loss / self._accumulation)

    def step(self) -> None:
        self._counted += 1
        if self._counted % self._accumulation:
            return
        if self._clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self._clip)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def save(self, folder: Path) -> None:
        if self._group.rank == 0:
            state = {"model": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}
            torch.save(state, folder / "engine.pt")

    def load(self, folder: Path) -> None:
        state = torch.load(folder / "engine.pt", map_location=self._group.device, weights_only=True)
        self.module.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def weights(self) -> dict[str, Tensor] | None:
        if self._group.rank:
            return None
        return {name: value.detach().cpu().clone() for name, value in self.module.state_dict().items()}
