"""The quicker window attention against timm's."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor

from posezoo.blocks.window_attention import QuickWindowAttention, quicken


def run(trunk: Any, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    trunk.zero_grad()
    features = trunk.forward_features(image)
    features.square().mean().backward()
    return features.detach(), {n: p.grad.clone() for n, p in trunk.named_parameters() if p.grad is not None}


def test_features_and_gradients_are_timm_s_with_shifted_windows_and_without() -> None:
    torch.manual_seed(0)
    trunk: Any = timm.create_model("swinv2_tiny_window8_256", img_size=64, depths=(2, 1, 1, 1), num_classes=0)
    for name, parameter in trunk.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter)
    trunk.eval()
    image = torch.randn(2, 3, 64, 64)
    features, gradients = run(trunk, image)
    quicken(trunk)
    assert sum(isinstance(module, QuickWindowAttention) for module in trunk.modules()) == 5
    quick, others = run(trunk, image)
    torch.testing.assert_close(quick, features, rtol=1e-4, atol=1e-4)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-3, atol=1e-4)
