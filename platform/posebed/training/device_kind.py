"""Kinds of device, which decide what ``auto`` means in ``TrainConfig``."""

from __future__ import annotations

from typing import Literal

import torch

DeviceKind = Literal["cpu", "cpu-avx512-bf16", "cpu-amx", "cuda", "cuda-bf16"]


def device_kind(device: torch.device) -> DeviceKind:
    """By the instructions for bfloat16: a processor's AMX tiles, AVX512-BF16 or neither; an accelerator of compute
    capability 8.0 or more (or AMD's) has them."""
    if device.type == "cuda":
        return "cuda-bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "cuda"
    # torch has no public names for these.
    if torch.cpu._is_amx_tile_supported():  # pyright: ignore[reportPrivateUsage]
        return "cpu-amx"
    return "cpu-avx512-bf16" if torch.cpu._is_avx512_bf16_supported() else "cpu"  # pyright: ignore[reportPrivateUsage]
