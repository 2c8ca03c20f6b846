"""Batch norm over workers: each sees of a batch a part, and normalises it as the whole would be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from posebed.training.batchnorm import SharedBatchNorm

CHANNELS, WORKERS, EACH = 6, 2, 3


def of(norm: nn.BatchNorm2d, batch: Tensor, slope: Tensor) -> list[Tensor]:
    """Output, gradients of input, weight and bias, and running statistics after a batch whose outputs have slopes."""
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, CHANNELS))
        norm.bias.copy_(torch.linspace(-1, 1, CHANNELS))
    batch = batch.clone().requires_grad_()
    output = norm(batch)
    output.backward(slope)
    changed = (batch.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var)
    return [output.detach(), *(tensor for tensor in changed if tensor is not None)]


def drawn(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Maps far from zero, where a variance by squares would lose digits, and slopes."""
    draw = torch.Generator().manual_seed(0)
    shape = WORKERS * EACH, CHANNELS, 5, 4
    batch, slope = torch.randn(shape, generator=draw), torch.randn(shape, generator=draw)
    return (3 * batch + 300).to(dtype), slope.to(dtype)


def work(rank: int, folder: str, dtype: torch.dtype) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORKERS)
    part = slice(rank * EACH, (rank + 1) * EACH)
    batch, slope = drawn(dtype)
    output, of_input, of_weight, of_bias, mean, variance = of(SharedBatchNorm(CHANNELS), batch[part], slope[part])
    for gradient in (of_weight, of_bias):
        dist.all_reduce(gradient)
    torch.save([output, of_input, of_weight, of_bias, mean, variance], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 2e-2)])
def test_workers_normalise_their_parts_as_one_does_the_whole(tmp_path: Path, dtype: torch.dtype, tolerance: float):
    name = str(dtype).removeprefix("torch.")
    workers = [subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path), name]) for rank in range(WORKERS)]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * WORKERS
    batch, slope = drawn(dtype)
    whole = of(nn.BatchNorm2d(CHANNELS), batch.float(), slope.float())
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(WORKERS)]
    for index, expected in enumerate(whole):
        found = torch.cat([part[index] for part in parts]) if index < 2 else parts[0][index]
        scale = float(expected.abs().max())
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=tolerance * scale)
    assert all(torch.equal(parts[0][index], parts[1][index]) for index in range(2, len(whole)))


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2], getattr(torch, sys.argv[3]))
