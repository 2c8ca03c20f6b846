"""Batch statistics shared between workers, so that two workers see what one with the doubled batch sees.

torch's own SyncBatchNorm serves accelerators; it refuses CPUs, for which the few lines below stand in.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from posebed.training.world import World


def synchronised(model: nn.Module, world: World) -> nn.Module:
    """The model with every BatchNorm replaced by one over all workers; names in its state stay the same."""
    if world.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _shared(child))
    return model


def _shared(local: nn.BatchNorm2d) -> SharedBatchNorm:
    shared = SharedBatchNorm(local.num_features, local.eps, local.momentum, local.affine, local.track_running_stats)
    shared.load_state_dict(local.state_dict())
    return shared.train(local.training)


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm whose mean and variance are over the batches of all workers, of any backend."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        workers = dist.get_world_size()
        count = input.numel() // input.shape[1] * workers
        sums = torch.stack([input.sum((0, 2, 3)), input.square().sum((0, 2, 3))])
        mean, square = all_reduce(sums) / count
        variance = square - mean.square()
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        shifted = input * scale[None, :, None, None] - (mean * scale)[None, :, None, None]
        return shifted + self.bias[None, :, None, None] if self.affine else shifted

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)
