"""How a model keeps an accelerator busy: its steps never wait for what the device has computed.

Whatever the host must know of a tensor's values, be it for a branch, ``item`` or ``nonzero``, makes it wait until the
device has caught up, breaks a compiled step in two and keeps it out of CUDA graphs. So does copying numbers to the
device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def numbers(values: Sequence[float], like: Tensor) -> Tensor:
    """(n,), of the type and on the device of ``like``, filled there instead of copied from the host."""
    return torch.cat([like.new_full((1,), value) for value in values])


def may_follow_data(tensor: Tensor) -> bool:
    """Whether shapes and branches may depend on what a tensor holds, which saves work: only in eager mode on a CPU. A
    compiled or exported program has fixed shapes, and an accelerator would be waited for."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
