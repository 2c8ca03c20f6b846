"""The device's own speeds, of which steps are measured as shares: products of square matrices, and copies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

REPEATS = 10


def finished(device: torch.device) -> None:
    """Wait for all kernels that were started."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fastest(action: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """Seconds, after two that do not count."""
    times = list[float]()
    for _ in range(repeats + 2):
        finished(device)
        started = time.perf_counter()
        action()
        finished(device)
        times.append(time.perf_counter() - started)
    return min(times[2:])


def own_speeds(device: torch.device, reduced: bool) -> Mapping[str, Any]:
    """TFLOP/s of products in bfloat16 and in float32 (without TF32), GB/s of a copy, reading and writing."""
    rows = 256 if reduced else 8192 if device.type == "cuda" else 2048
    speeds: dict[str, Any] = {"rows": rows}
    for kind, key in ((torch.bfloat16, "bfloat16"), (torch.float32, "float32")):
        one, other = (torch.randn(rows, rows, device=device, dtype=kind) for _ in range(2))
        out = torch.empty_like(one)
        seconds = fastest(lambda one=one, other=other, out=out: torch.mm(one, other, out=out), device)
        speeds[f"{key} TFLOP/s"] = 2 * rows**3 / seconds / 1e12
    count = 2**20 if reduced else 2**31 if device.type == "cuda" else 2**28
    source = torch.zeros(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    speeds["copy GB/s"] = 2 * count / fastest(lambda: target.copy_(source), device) / 1e9
    return speeds
