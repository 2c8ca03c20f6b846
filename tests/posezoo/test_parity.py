"""Do our models compute what the published implementations compute? Numbers come from ``--parity DIR``.

The folders of reference numbers are joined to the zoo by the modules of ``parity_adapters``. Weights and inputs are
drawn as float32, and our models compute with them in float64: rounding, which differs between processors and numbers of
threads, then decides nothing.
"""

from __future__ import annotations

import ctypes
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import parity_adapters
from parity_adapters import vitpose_head
from parity_adapters.case import (
    Functions,
    allowed_in_double,
    cases,
    differences,
    different,
    different_as_a_whole,
    function_differences,
    generator,
)
from posezoo.blocks.deconv import heatmap_head

CHECKED_ELSEWHERE = {"codecs", "codecs_legacy", "warps_flip", "metrics"}
"""Folders without a model, which the tests of the data and of the metrics read."""
WITHOUT_A_MODEL: set[str] = set()
"""Folders of models that the zoo does not have."""
SHARED = {"case", "episodes", "heatmap_models", "two_stage"}
WITH_FUNCTIONS = ["edgecape"]
"""Folders whose adapters have ``functions``; those of others are tested beside our code of the same."""
ADAPTED = sorted({module.name for module in pkgutil.iter_modules(parity_adapters.__path__)} - SHARED)


def adapter_of(folder: str) -> Any:
    return importlib.import_module(f"{parity_adapters.__name__}.{folder}")


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    ctypes.CDLL(None).malloc_trim(0)  # what was freed, several GB, which the next test may need in another process


@pytest.mark.services
@pytest.mark.slow(minutes=7)
@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("folder", ADAPTED)
def test_every_reference_number_is_met(folder: str, parity: Callable[[str], Path]) -> None:
    numbers = parity(folder)
    adapter = adapter_of(folder)
    wrong: list[str] = []
    uncovered: set[str] = set()
    for case in cases(numbers):
        ours = adapter.outputs(case)
        assert not any(number.is_floating_point() and number.dtype != torch.float64 for number in ours.values())
        off, left = differences(case, ours, numbers)
        wrong += off
        uncovered |= left
    assert not wrong, "\n".join(wrong)
    assert uncovered == adapter.UNCOVERED


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("folder", WITH_FUNCTIONS)
def test_every_reference_number_of_a_function_is_met(folder: str, parity: Callable[[str], Path]) -> None:
    numbers = parity(folder)
    functions = Functions.read(numbers)
    ours = adapter_of(folder).functions(functions)
    assert function_differences(functions, ours, numbers) == ([], set())


@given(
    stored=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=5),
    place=st.integers(0, 4),
    share=st.floats(1.01e-6, 1),
    sign=st.sampled_from([-1, 1]),
)
def test_one_number_that_is_off_by_a_millionth_of_the_largest_is_noticed(
    stored: list[float], place: int, share: float, sign: int
) -> None:
    reference = np.array([1.0, *stored])
    ours = reference.copy()
    ours[place % len(ours)] += sign * share
    limit = allowed_in_double("case/heatmaps", 0.0, 1.0)
    assert different("case/heatmaps", ours, reference, limit)
    assert different("case/heatmaps", np.full_like(ours, np.nan), reference, limit)
    assert different("case/heatmaps", ours[1:], reference, limit)
    assert not different("case/heatmaps", reference, reference, limit)


def test_a_gradient_that_is_off_as_a_whole_is_noticed_and_one_cell_of_many_is_not() -> None:
    stored = np.random.default_rng(0).normal(size=10_000)
    flipped = stored.copy()
    flipped[3] += 0.1
    assert not different_as_a_whole("case/train/grad/weight", flipped, stored)
    assert different_as_a_whole("case/train/grad/weight", 1.003 * stored, stored)
    assert different_as_a_whole("case/train/grad/weight", np.full_like(stored, np.nan), stored)


def larger_weight(head: nn.Module) -> None:
    next(m for m in head.modules() if isinstance(m, nn.ConvTranspose2d)).weight.data *= 1.01


def transposed_kernel(head: nn.Module) -> None:
    weight = next(m for m in head.modules() if isinstance(m, nn.ConvTranspose2d)).weight
    weight.data = weight.data.mT.contiguous()


def dropped_bias(head: nn.Module) -> None:
    next(m for m in head.modules() if isinstance(m, nn.BatchNorm2d)).bias.data.zero_()


def other_epsilon(head: nn.Module) -> None:
    next(m for m in head.modules() if isinstance(m, nn.BatchNorm2d)).eps = 1e-3


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("fault", [larger_weight, transposed_kernel, dropped_bias, other_epsilon])
def test_a_head_that_is_slightly_wrong_is_noticed(
    fault: Callable[[nn.Module], None], parity: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*settings: int) -> nn.Module:
        head = heatmap_head(*settings)
        head.register_load_state_dict_post_hook(lambda loaded, _: fault(loaded))
        return head

    folder = parity("vitpose_head")
    case = next(c for c in cases(folder) if c.constructor["style"] == "classic")
    assert differences(case, vitpose_head.outputs(case), folder) == ([], set())
    monkeypatch.setattr(vitpose_head, "heatmap_head", faulty)
    assert differences(case, vitpose_head.outputs(case), folder)[0]


def test_no_folder_of_reference_numbers_is_forgotten(parity_folders: list[Path]) -> None:
    folders = {spec.parent.name for folder in parity_folders for spec in folder.glob("*/spec.json")}
    assert folders <= {*ADAPTED, *CHECKED_ELSEWHERE, *WITHOUT_A_MODEL}


def test_generated_numbers_have_the_reference_s_anchors() -> None:
    weights, picture, points = generator("conv1.weight"), generator("input:img"), generator("input:kp")
    np.testing.assert_allclose(weights.standard_normal(3), [0.126900529, 0.543823942, -1.782461302], rtol=1e-8)
    np.testing.assert_allclose(picture.standard_normal(2), [0.685801533, -0.300577780], rtol=1e-8)
    np.testing.assert_allclose(points.random(2), [0.673850775, 0.211579055], rtol=1e-8)
