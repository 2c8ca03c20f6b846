"""Buffers that follow the data instead of gradients: new values after a step, the same on every worker."""

from __future__ import annotations

from typing import Any

import torch

from posebed.contracts import MovingAverages
from posebed.pose import Batch
from posebed.training.pose_module import PoseModule
from posebed.training.process_group import ProcessGroup, summed


@torch.no_grad()
def move_averages(model: PoseModule, prediction: Any, batch: Batch, group: ProcessGroup) -> None:
    """Give the buffers of a model that has such their new values after a micro batch: the mean over the workers, of
    which each has seen a batch of its own. All workers must call it alike."""
    if isinstance(model, MovingAverages):
        for name, value in model.moved_buffers(prediction, batch).items():
            model.get_buffer(name).copy_(summed(value, group) / group.size)
