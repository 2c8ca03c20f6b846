"""Do our models compute what the published implementations compute? Numbers come from ``--parity DIR``.

The folders of reference numbers are joined to the zoo by the modules of ``parity_adapters``.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import parity_adapters
from parity_adapters.case import cases, differences, generator
from posebed import catalog

CHECKED_ELSEWHERE = {"codecs", "codecs_legacy", "warps_flip", "metrics"}
"""Folders without a model, which the tests of the data and of the metrics read."""
WITHOUT_A_MODEL = {"graphcape"}
"""Folders of models that the zoo does not have."""
ADAPTED = [n for n in catalog.names("parity_adapters") if n not in ("case", "episodes", "heatmap_models", "two_stage")]


@pytest.mark.parametrize("folder", ADAPTED)
def test_every_reference_number_is_met(folder: str, parity: Path) -> None:
    if not (parity / folder / "spec.json").is_file():
        pytest.skip(f"no numbers of {folder}")
    adapter = importlib.import_module(f"{parity_adapters.__name__}.{folder}")
    wrong: list[str] = []
    uncovered: set[str] = set()
    for case in cases(parity / folder):
        off, left = differences(case, adapter.outputs(case), parity / folder)
        wrong += off
        uncovered |= left
    assert not wrong, "\n".join(wrong)
    assert uncovered == adapter.UNCOVERED


def test_no_folder_of_reference_numbers_is_forgotten(parity: Path) -> None:
    found = {spec.parent.name for spec in parity.glob("*/spec.json")}
    assert found <= {*ADAPTED, *CHECKED_ELSEWHERE, *WITHOUT_A_MODEL}


def test_generated_numbers_have_the_reference_s_anchors() -> None:
    weights, picture, points = generator("conv1.weight"), generator("input:img"), generator("input:kp")
    np.testing.assert_allclose(weights.standard_normal(3), [0.126900529, 0.543823942, -1.782461302], rtol=1e-8)
    np.testing.assert_allclose(picture.standard_normal(2), [0.685801533, -0.300577780], rtol=1e-8)
    np.testing.assert_allclose(points.random(2), [0.673850775, 0.211579055], rtol=1e-8)
