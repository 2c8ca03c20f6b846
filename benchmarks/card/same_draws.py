"""The same random draws on every device and in every precision, so that what differs is arithmetic alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DRAWS = {
    *("rand", "rand_like", "randn", "randn_like", "randint", "randperm", "bernoulli", "bernoulli_", "multinomial"),
    *("uniform_", "normal_", "exponential_", "native_dropout", "_standard_gamma", "_sample_dirichlet"),
}
"""Operators that draw."""


class SameDraws(TorchDispatchMode):
    """Draws on the CPU, in float32, from the state that a seed gives torch's global generator there."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        if name not in DRAWS:
            return func(*args, **kwargs)
        like = next((a for a in args if isinstance(a, Tensor)), None)
        device = kwargs.get("device") or (like.device if like is not None else "cpu")
        kind = kwargs.get("dtype") or (like.dtype if like is not None else torch.get_default_dtype())
        if "device" in kwargs or like is None:
            kwargs["device"] = torch.device("cpu")
        if kwargs.pop("pin_memory", None):
            kwargs["pin_memory"] = False
        if (
            name not in ("randperm", "randint")
            and (kwargs.get("dtype") is not None or like is None)
            and kind.is_floating_point
        ):
            kwargs["dtype"] = torch.float32
        drawn = func(*tree_map(_plain, args), **kwargs)
        if name.endswith("_") and like is not None:
            return like.copy_(drawn)
        return tree_map(lambda value: _as(value, device, kind), drawn)


def _plain(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.detach().to("cpu", torch.float32 if value.is_floating_point() else value.dtype, copy=True)


def _as(value: Any, device: Any, kind: torch.dtype) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(device, kind if value.is_floating_point() else value.dtype)


def still(model: nn.Module) -> None:
    """Leave out dropout, whose kernels draw by themselves on accelerators."""
    for module in model.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout1d, nn.Dropout2d)):
            module.p = 0.0
        for name in ("dropout", "drop_prob"):  # of attention, of whole paths
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
