from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from posebed.metrics.by_index import METRICS, SPEC
from posebed.metrics.distances import SPEC as PER_QUERY
from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.testing import MetricSuite
from posebed.testing.metrics import values_of


def table(
    keypoints: list[int], truth: np.ndarray, predicted: np.ndarray, shown: np.ndarray, sides: np.ndarray
) -> Predictions:
    """A query of each of so many categories, in a square box of that side by MP-100's way of measuring."""
    categories = [Category(f"c{n}", f"c{n}", tuple(f"k{k}" for k in range(count))) for n, count in enumerate(keypoints)]
    records = [
        Record(
            *(str(n), str(n), 10**6, 10**6, f"c{n}", (0.0, 0.0, sides[n] + 1, sides[n] + 1), 1.0),
            np.column_stack([truth[n], shown[n]])[:count],
        )
        for n, count in enumerate(keypoints)
    ]
    return Predictions.from_records(categories, records, predicted, np.ones(truth.shape[:2]))


def right_or_far(right: list[list[int]]) -> Predictions:
    """Queries with as many keypoints as numbers: 1 where they are met and 0 where they are missed."""
    most = max(map(len, right))
    missed = np.array([[not hit for hit in [*hits, *[0] * (most - len(hits))]] for hits in right])
    truth = np.full((*missed.shape, 2), 20.0)
    return table(
        [len(hits) for hits in right],
        truth,
        truth + 90 * missed[..., None],
        np.full(missed.shape, 2.0),
        np.full(len(right), 100.0),
    )


class TestByIndex(MetricSuite):
    module = "posebed.metrics.by_index"

    @classmethod
    def worked_cases(cls) -> dict[str, list[tuple[Predictions, float]]]:
        # Index 0: 1 of 3. Index 1: 1 of 2. Index 2: 1 of 1.
        cases = [(right_or_far([[1], [0, 1], [0, 0, 1]]), (1 / 3 + 1 / 2 + 1) / 3), (right_or_far([[1, 1]]), 1.0)]
        return {metric.name: cases for metric in METRICS}


def test_it_has_the_numbers_of_the_released_code(parity: Callable[[str], Path]):
    folder = parity("protopose")
    spec, stored = json.loads((folder / "functions.json").read_text())["metric"], np.load(folder / "functions.npz")
    numbers = {name: stored[f"{spec['case']}/metric_{name}"] for name in ("gt", "pred", "mask", "box")}
    answers = table(spec["keypoints"], numbers["gt"], numbers["pred"], 2 * numbers["mask"], numbers["box"])
    *shares, mean = values_of(SPEC, answers)
    np.testing.assert_allclose(shares, stored[f"{spec['case']}/metric_pck"], atol=1e-6)
    assert mean == pytest.approx(float(stored[f"{spec['case']}/metric_mpck"]), abs=1e-6)
    usual = dict(zip((metric.name for metric in PER_QUERY.metrics), values_of(PER_QUERY, answers), strict=True))
    by_query = stored[f"{spec['case']}/metric_pck_per_query"]
    assert [usual[f"PCK@{t}"] for t in spec["thresholds"]] == pytest.approx(by_query.tolist(), abs=1e-6)
