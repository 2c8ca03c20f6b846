"""Layers with constant weights, which a CPU's kernels find laid out as they read them, instead of turning them around
in every call. Of one picture at a time that takes a fifth of ResNet-50's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

ops: Any = torch.ops.mkldnn  # whose functions are known at run time alone


MOST = 3
"""Layouts of one layer that are kept: sizes of batches, and queries and supports, may alternate."""


class _Layouts:
    """A weight as kernels read it, by the shape of the input that they are for.

    Another weight, as ``torch.func.functional_call`` puts in its place, or one that was changed, is laid out anew.
    """

    def __init__(self) -> None:
        self._made: dict[torch.Size, tuple[Tensor, int, Tensor]] = {}

    def of(self, weight: Tensor, shape: torch.Size, lay_out: Callable[[], Tensor]) -> Tensor:
        made = self._made.get(shape)
        if made is None or made[0] is not weight or made[1] != weight._version:
            while len(self._made) >= MOST:
                del self._made[next(iter(self._made))]
            made = self._made[shape] = weight, weight._version, lay_out()
        return made[2]


class PackedLinear(nn.Linear):
    """Made by ``packed``, as those below; a layer like any other where oneDNN does not serve."""

    layouts: _Layouts

    def forward(self, input: Tensor) -> Tensor:
        if not _serves(input, self.weight):
            return super().forward(input)
        laid_out = self.layouts.of(self.weight, torch.Size(), lambda: ops._reorder_linear_weight(self.weight, None))
        return ops._linear_pointwise(input, laid_out, self.bias, "none", [], "")


class PackedConv2d(nn.Conv2d):
    layouts: _Layouts

    def forward(self, input: Tensor) -> Tensor:
        if not _serves(input, self.weight):
            return super().forward(input)
        x = input.contiguous(memory_format=torch.channels_last)
        how = (list(cast("tuple[int, ...]", self.padding)), list(self.stride), list(self.dilation), self.groups)
        lay_out = ops._reorder_convolution_weight
        laid_out = self.layouts.of(self.weight, x.shape, lambda: lay_out(self.weight, *how, list(x.shape)))
        return ops._convolution_pointwise(x, laid_out, self.bias, *how, "none", [], "")


class PackedConvTranspose2d(nn.ConvTranspose2d):
    layouts: _Layouts

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None or not _serves(input, self.weight):
            return super().forward(input, output_size)
        x = input.contiguous(memory_format=torch.channels_last)
        padding = list(cast("tuple[int, ...]", self.padding))
        how = (padding, list(self.output_padding), list(self.stride), list(self.dilation), self.groups)
        lay_out = ops._reorder_convolution_transpose_weight
        laid_out = self.layouts.of(self.weight, x.shape, lambda: lay_out(self.weight, *how, list(x.shape)))
        return ops._convolution_transpose_pointwise(x, laid_out, self.bias, *how, "none", [], "")


KINDS = {nn.Linear: PackedLinear, nn.Conv2d: PackedConv2d, nn.ConvTranspose2d: PackedConvTranspose2d}


def packed(layer: nn.Module) -> nn.Module:
    """The layer with such a layout, which shares its weights; itself where there is none. What a subclass does besides
    in its ``forward`` is lost."""
    kind = next((new for base, new in KINDS.items() if isinstance(layer, base)), None)
    plain = getattr(layer, "padding_mode", "zeros") == "zeros" and not isinstance(getattr(layer, "padding", 0), str)
    if kind is None or not plain:
        return layer
    return renewed(layer, kind, layouts=_Layouts())


def renewed(module: nn.Module, kind: type[nn.Module], **changes: Any) -> nn.Module:
    """A module of another class with the attributes of this one, but for the changed ones."""
    new = kind.__new__(kind)
    new.__dict__ |= module.__dict__ | changes
    return new


def _serves(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is there and takes what it is given: float32, and no gradient."""
    single = x.dtype == weight.dtype == torch.float32 and x.device.type == weight.device.type == "cpu"
    mixed = torch.is_autocast_enabled("cpu") or torch.is_grad_enabled()
    return single and torch.backends.mkldnn.is_available() and not mixed
