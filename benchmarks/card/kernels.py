"""Which part of a step the device computes: kernels and copies, by torch's profiler."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

STEPS = 3
ON_THE_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")
"""Categories of a trace. Others that it shows on the device, such as ``gpu_user_annotation``, span what they name."""

Intervals = list[tuple[float, float]]
"""Starts and ends, in microseconds."""


def kernels_of(step: Callable[[], object], device: torch.device) -> tuple[float | None, float | None]:
    """Kernels of a step, and seconds in which at least one of them, or a copy, is at work; None on a CPU.

    Raises:
        RuntimeError: the profiler sees none.
    """
    if device.type != "cuda":
        return None, None
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(STEPS):
            step()
        torch.cuda.synchronize()
    count, seconds = in_trace(trace_of(profiler))
    if not count:
        raise RuntimeError("torch's profiler must see kernels, but sees none; it may need the right to use CUPTI")
    return count / STEPS, seconds / STEPS


def trace_of(profiler: profile) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        return json.loads(file.read_text(encoding="utf-8", errors="replace"))


def in_trace(trace: Mapping[str, Any], categories: Iterable[str] = ON_THE_DEVICE) -> tuple[int, float]:
    """Kernels of a trace, and seconds of the union of all intervals of the categories."""
    wanted = {*categories}
    events = [event for event in trace["traceEvents"] if event.get("ph") == "X" and event.get("cat") in wanted]
    intervals = [(float(event["ts"]), float(event["ts"]) + float(event["dur"])) for event in events]
    kernels = sum(not event["cat"].startswith("gpu_mem") for event in events)
    return kernels, union(intervals) / 1e6


def union(intervals: Intervals) -> float:
    """Length of what at least one of the intervals covers."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered
