"""Batch statistics shared between workers, so that two workers see what one with the doubled batch sees.

torch's own SyncBatchNorm serves accelerators; it refuses CPUs, for which the few lines below stand in.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from posebed.training.process_group import ProcessGroup

ModuleT = TypeVar("ModuleT", bound=nn.Module)

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def synchronised(model: ModuleT, group: ProcessGroup) -> ModuleT:
    """The model with every BatchNorm replaced by one over all workers; names in its state stay the same."""
    if group.device.type == "cuda":
        return cast(ModuleT, nn.SyncBatchNorm.convert_sync_batchnorm(model))  # pyright: ignore[reportUnknownMemberType]
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _shared(child))
    return model


def _shared(local: nn.BatchNorm2d) -> SharedBatchNorm:
    shared = SharedBatchNorm(local.num_features, local.eps, local.momentum)
    shared.load_state_dict(local.state_dict())
    return shared.train(local.training)


class SharedBatchNorm(nn.BatchNorm2d):
    """An affine BatchNorm whose mean and variance are over the batches of all workers, of any backend."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        count = input.numel() // input.shape[1] * dist.get_world_size()
        sums = torch.stack([input.sum((0, 2, 3)), input.square().sum((0, 2, 3))])
        mean, square = _Summed.apply(sums) / count
        variance = (square - mean.square()).clamp(min=0)
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return input * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)


class _Summed(torch.autograd.Function):
    """The sum over workers; its gradient is the sum of their gradients."""

    # torch has no type for the context.

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
