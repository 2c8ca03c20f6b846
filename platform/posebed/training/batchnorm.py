"""Batch statistics shared between workers, so that two workers see what one with the doubled batch sees.

torch's own SyncBatchNorm serves accelerators; it refuses CPUs, for which the few lines below stand in.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

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
    """An affine BatchNorm whose mean and variance are over the batches of all workers, of any backend. All have batches
    of the same size."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        output, mean, variance = _Shared.apply(input, self.weight, self.bias, self.eps)
        count = input.numel() // input.shape[1] * dist.get_world_size()
        self._remember(mean, variance * count / (count - 1))
        return output

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)


class _Shared(torch.autograd.Function):
    """Normalisation by the statistics of all workers, which exchange twice: statistics, and sums of gradients.

    The passes over whole maps are torch's own, which knows its batch norm for fixed statistics; what statistics that
    depend on the input add to its gradient is linear in the input (Ioffe and Szegedy 2015, section 3).
    """

    # torch has no type for the context.

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        # The pass of torch's own batch norm that measures; it takes its precision, float32, from running statistics.
        running = torch.zeros_like(bias), torch.ones_like(bias)
        mine = torch.stack(torch.ops.aten.batch_norm_update_stats(input, *running, 0.0))
        of_all = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(of_all, mine)
        means, variances = torch.stack(of_all).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        ctx.save_for_backward(input, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return functional.batch_norm(input, mean, variance, weight, bias, training=False, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        input, weight, mean, variance = ctx.saved_tensors
        # Of the input as if statistics were fixed, of the weight and of the bias.
        fixed, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], input, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([of_weight, of_bias])
        dist.all_reduce(sums)
        mean_weight, mean_bias = sums / (input.numel() // input.shape[1] * dist.get_world_size())
        deviation = torch.rsqrt(variance + ctx.eps)
        slope = -weight * deviation.square() * mean_weight
        offset = -weight * deviation * mean_bias - slope * mean
        # Slope and offset nearly cancel where maps are far from zero, so both are added in float32.
        whole = fixed.float().addcmul_(input, slope[:, None, None]).add_(offset[:, None, None]).to(fixed.dtype)
        return whole, of_weight, of_bias, None
