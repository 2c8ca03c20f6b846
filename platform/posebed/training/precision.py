"""Mixed precision, and what stays in float32 in it because it is faster there."""

from __future__ import annotations

import functools
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from posebed.contracts import Precision


@contextmanager
def computing(precision: Precision, device: torch.device) -> Generator[None]:
    """Within it, a forward pass computes in this precision, the parameters being of float32. It holds switches that a
    compiler cannot follow: enter it outside of what is compiled."""
    if precision == "float32":
        yield
    elif device.type == "cuda":
        with torch.autocast("cuda", torch.bfloat16):
            yield
    else:
        with torch.autocast("cpu", torch.bfloat16), _plain_attention():
            yield


@contextmanager
def _plain_attention() -> Generator[None]:
    """Attention as two products and a softmax. torch's fused attention is no faster in bfloat16 than in float32 on
    processors; this is, by half. Like any product under autocast, the first one's outcome is rounded to bfloat16."""
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # of processors too, despite its place
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


def keep_float32(model: nn.Module, device: torch.device) -> None:
    """Let those layers compute in float32 under autocast that are slower in bfloat16, whatever model they are in. Names
    in the model's state stay the same. For processors; it must come before a model is wrapped or compiled.

    These are grouped convolutions with strides or kernels above 3 x 3: oneDNN has no gradients of theirs in bfloat16
    and falls back to reference code, which is up to twenty times slower. All others gain from bfloat16.
    """
    if device.type != "cpu":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, _InFloat32) and _is_slow(module):
            module.__class__ = _in_float32(type(module))


def _is_slow(layer: nn.Conv2d) -> bool:
    return layer.groups > 1 and (max(layer.stride) > 1 or max(layer.kernel_size) > 3)


class _InFloat32(nn.Conv2d):
    """Laid over a layer's class, it computes in the precision of the weights. Its output is as its input was."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype)).to(input.dtype)


@functools.cache
def _in_float32(layer: type[nn.Conv2d]) -> type[nn.Conv2d]:
    return cast("type[nn.Conv2d]", type(layer.__name__, (_InFloat32, layer), {}))
