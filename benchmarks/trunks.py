"""What a model cannot do without: timm's own network for its trunk, and the machine's products of matrices."""

from __future__ import annotations

from typing import Any

import timm
import torch
from cases import QUICK_SIDE, Case, Step
from torch import nn

from posebed.pose import Batch, EpisodeBatch

SQUARE = 2048
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def bare_trunk(case: Case, batch: Batch, inference: bool) -> dict[str, Step]:
    """By memory format, the passes of the trunk alone over a batch and the pictures of its supports: forward, and in
    training backward where the trunk is trained."""
    pictures = [batch.image]
    if isinstance(batch, EpisodeBatch) and case.sees_supports:
        pictures += [batch.support_image.flatten(0, 1)]
    side = batch.image.shape[-1]
    return {name: _passes(_network(case, side), pictures, kind, inference, case) for name, kind in FORMATS.items()}


def _network(case: Case, side: int) -> nn.Module:
    if side <= QUICK_SIDE:
        return timm.create_model("test_resnet", num_classes=0, global_pool="")
    if case.trunk.startswith("hrnet"):  # whose classifier's convolutions come before its pooling
        return timm.create_model(case.trunk, features_only=True, feature_location="")
    size: dict[str, Any] = {"img_size": side} if case.trunk.startswith(("vit", "swin")) else {}
    return timm.create_model(case.trunk, num_classes=0, global_pool="", **size)


def _passes(network: Any, pictures: list[Any], kind: torch.memory_format, inference: bool, case: Case) -> Step:
    network = network.to(memory_format=kind).train(not inference and case.trains_trunk)
    images = [(image / 127.5 - 1).contiguous(memory_format=kind) for image in pictures]

    def step() -> None:
        network.zero_grad()
        with torch.set_grad_enabled(network.training):
            outputs = [network(image) for image in images]
            maps = [of for output in outputs for of in (output if isinstance(output, list) else [output])]
        if network.training:
            torch.autograd.backward(maps, [torch.ones_like(of) for of in maps])

    return step


def product() -> Step:
    """Of two float32 matrices of ``SQUARE`` rows and columns."""
    a, b = torch.randn(SQUARE, SQUARE), torch.randn(SQUARE, SQUARE)
    return lambda: torch.mm(a, b)
