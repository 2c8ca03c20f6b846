"""Who this worker is among how many, and the device it trains on."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore


@dataclass(frozen=True)
class ProcessGroup:
    rank: int
    size: int
    device: torch.device


def join_process_group() -> ProcessGroup:
    """Join the process group that a launcher set up (Ray Train, torchrun), or be a world of one.

    Every launcher announces itself by torch's usual environment variables; without them this process is alone.
    """
    accelerator = torch.cuda.is_available()
    if not dist.is_initialized():
        alone = "WORLD_SIZE" not in os.environ
        os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed insists on it
        backend = "cuda:nccl,cpu:gloo" if accelerator else "gloo"
        if alone:
            dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
            atexit.register(leave_process_group)  # NCCL warns of groups that are left open
        else:
            dist.init_process_group(backend)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if accelerator else torch.device("cpu")
    if accelerator:
        torch.cuda.set_device(device)
    return ProcessGroup(dist.get_rank(), dist.get_world_size(), device)


def leave_process_group() -> None:
    """End this process's group, so that the next training can make another one. DeepSpeed, where it was imported, lets
    go of what it knows of the group."""
    if dist.is_initialized():
        deepspeed: Any = sys.modules.get("deepspeed")
        comm = deepspeed.comm if deepspeed is not None else None
        (comm if comm is not None and comm.is_initialized() else dist).destroy_process_group()


def summed(values: torch.Tensor, group: ProcessGroup) -> torch.Tensor:
    """The sum over all workers, on every worker."""
    if group.size > 1:
        dist.all_reduce(values)
    return values


def told_by_first(values: Sequence[int], group: ProcessGroup) -> list[int]:
    """What the first worker says, on every worker; those of the others count for nothing."""
    if group.size == 1:
        return [*values]
    told = torch.tensor(values, device=group.device)
    dist.broadcast(told, src=0)
    return [int(value) for value in told]


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
