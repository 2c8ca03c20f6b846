"""The layer that is named where a loss is not finite."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from posebed.training.finite import first_not_finite
from posebed.training.precision import computing


@dataclass
class Answer:
    maps: torch.Tensor


class Doubling(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Net(nn.Module):
    """Its second block overflows where the factor is large."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.blocks = nn.Sequential(nn.ReLU(), Doubling(factor), Doubling(factor))

    def forward(self, x: torch.Tensor) -> Answer:
        return Answer(self.blocks(self.first(x).abs() + 1))


BATCH: Any = torch.ones(3, 2)  # such a network takes tensors


@pytest.mark.parametrize(("factor", "name"), [(2.0, None), (1e30, "blocks.2"), (float("inf"), "blocks.1")])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_innermost_layer_whose_output_is_not_finite_is_named(factor, name, precision):
    model = Net(factor)
    assert first_not_finite(model, BATCH, computing(precision, torch.device("cpu"))) == name


def test_what_is_wrong_outside_of_layers_is_of_the_model_itself():
    class Outside(Net):
        def forward(self, x: torch.Tensor) -> Answer:
            return Answer(super().forward(x).maps / 0)

    assert first_not_finite(Outside(2.0), BATCH, nullcontext()) == "Outside"


def test_no_layer_is_named_once_weights_are_not_finite():
    model = Net(2.0)
    with torch.no_grad():
        model.first.bias[0] = float("nan")
    assert first_not_finite(model, BATCH, nullcontext()) is None


def test_looking_leaves_no_hooks():
    model = Net(1e30)
    first_not_finite(model, BATCH, nullcontext())
    assert not any(module._forward_hooks for module in model.modules())
