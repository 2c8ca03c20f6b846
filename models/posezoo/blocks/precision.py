"""The precision in which a model goes on where mixed precision has lowered it."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """Return ``x`` in float32 where its precision is lower or its numbers are integers; float64 stays as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
