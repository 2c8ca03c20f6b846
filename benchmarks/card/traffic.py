"""Bytes that the operators of a program read and write, and the products that it computes.

Every operator reads its tensors and writes its results once, as if nothing stayed in a cache; views move nothing. What
a compiler fuses moves fewer bytes, so that a share of memory speed above what copies reach is possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from cases import Step, counted
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "set_"}
"""They write nothing."""
OVERWRITING = {"copy_", "fill_", "zero_", "uniform_", "normal_", "bernoulli_"}
"""They do not read their first argument."""


class Traffic(TorchDispatchMode):
    """Counts bytes while it is active, of backward passes too."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        written = [*_written(func, args, kwargs or {}, result)]
        name = func.overloadpacket.__name__
        if written and name not in ALLOCATIONS:
            read = _tensors((args[1:] if name in OVERWRITING else args, kwargs))
            self.bytes += sum(map(_bytes, (*read, *written)))
        return result


def _written(func: Any, args: Any, kwargs: Any, result: Any) -> Iterator[Tensor]:
    """The arguments that an operator changes, and its other results; none of a view, which has no memory of its own."""
    changed = list[Tensor]()
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            changed += _tensors(args[place] if place < len(args) else kwargs.get(argument.name))
    given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
    yield from changed
    yield from (tensor for tensor in _tensors(result) if tensor.untyped_storage()._cdata not in given)


def _tensors(thing: Any) -> Iterable[Tensor]:
    if isinstance(thing, Tensor):
        return [thing]
    if isinstance(thing, dict):
        thing = thing.values()
    elif not isinstance(thing, (list, tuple)):
        return []
    return [tensor for each in thing for tensor in _tensors(each)]


def _bytes(tensor: Tensor) -> int:
    """Of a tensor that is expanded, what there is of it."""
    own = tensor.numel() * tensor.element_size()
    return min(own, tensor.untyped_storage().nbytes()) if tensor.layout == torch.strided else own


def bytes_of(step: Step) -> int:
    with Traffic() as traffic:
        step()
    return traffic.bytes


def operations_of(step: Step) -> int:
    """Additions and multiplications of the matrix products and convolutions, attention written out as products."""
    with sdpa_kernel(SDPBackend.MATH):
        return counted(step).get_total_flops()


def affine(small: tuple[int, float], large: tuple[int, float], count: int) -> float:
    """What two batches need, (samples, amount) each, continued to another number of samples: a part of it is the same
    for every batch, as that of the optimizer."""
    (few, less), (many, more) = small, large
    return less + (more - less) / (many - few) * (count - few)
