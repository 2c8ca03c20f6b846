from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.contracts import Metric
from posebed.metrics.animal_kingdom import BOX, CROP, DIAGONAL, SPEC, in_box, in_diagonal
from posebed.metrics.distances import keypoint_shares
from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.scoring.drawn import drawn_predictions
from posebed.testing import MetricSuite
from posebed.testing.metrics import values_of

BOX_OF_100 = (200.0, 200.0, 100.0, 40.0)


def value(metric: Metric, predictions: Predictions) -> float:
    return values_of(SPEC, predictions)[SPEC.metrics.index(metric)]


def single(truth: tuple[float, float], predicted: tuple[float, float]) -> Predictions:
    """One keypoint in a box of 100 x 40 pixels, in a crop of 128 pixels that shows each image pixel as two."""
    query = Record("a", "a", 640, 640, "c", BOX_OF_100, 1.0, np.array([[*truth, 2]], np.float32))
    crop = np.array([[186.0, 156.0, 128.0, 128.0]])
    xy, sure = np.array([[predicted]]), np.ones((1, 1))
    return Predictions.from_records([Category("c", "c", ("p",))], [query], xy, sure, crop=crop, size=(256, 256))


class TestAnimalKingdom(MetricSuite):
    module = "posebed.metrics.animal_kingdom"

    @classmethod
    def worked_cases(cls) -> dict[str, list[tuple[Predictions, float]]]:
        near, far = (single((250, 220), (x, 220)) for x in (254, 264))
        return {metric.name: [(near, 1.0), (far, 0.0)] for metric in SPEC.metrics}


@pytest.mark.parametrize(
    ("metric", "right", "wrong"),
    [
        (BOX, 4.9, 5.0),  # 0.05 of the box's 100 pixels
        (CROP, 6.4, 7.0),  # 0.05 of 64 cells, each of two image pixels: up to 3 cells
        (DIAGONAL, 13.1, 13.2),  # 0.1 of 141.42 pixels, a pixel added to x and y
    ],
    ids=lambda m: getattr(m, "name", ""),
)
def test_each_has_its_own_reach(metric: Metric, right: float, wrong: float) -> None:
    truth = (250.0, 220.0)
    assert value(metric, single(truth, (250 + right, 220))) == 1
    assert value(metric, single(truth, (250 + wrong, 220))) == 0


@pytest.mark.parametrize(("x", "counts"), [(190.9, True), (188.9, False), (314.0, False)])
def test_a_truth_at_the_edge_of_the_crop_or_outside_counts_in_no_crop(x: float, counts: bool) -> None:
    assert np.isfinite(value(CROP, single((x, 220), (x, 220)))) == counts
    assert value(BOX, single((x, 220), (x, 220))) == 1


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_keypoints_are_averaged_first_or_weigh_as_often_as_they_count(seed: int) -> None:
    p = drawn_predictions(seed, queries=9, categories=1)
    shares = keypoint_shares(p, *in_box(p))["key0"]
    assert value(BOX, p) == pytest.approx(np.mean(list(shares.values())))
    right, counts = in_diagonal(p)
    assert value(DIAGONAL, p) == pytest.approx((right & counts).sum() / counts.sum())


@pytest.mark.parametrize("case", ["m0", "m1"])
def test_the_box_has_the_number_of_the_toolbox(parity: Callable[[str], Path], case: str) -> None:
    numbers = np.load(parity("metrics") / "outputs.npz")
    truth, predicted, labelled, norm = (numbers[f"{case}/{name}"] for name in ("gt", "pred", "mask", "norm"))
    # Row 1 had a normaliser of 0, for which the toolbox left it out, and then overwrote it with 1e6.
    labelled[1] = False
    scale = 1000 / norm[:, None]
    category = Category("c", "c", tuple(map(str, range(17))))
    records = [
        Record(str(i), str(i), 10**6, 10**6, "c", (0, 0, 1000, 700), 1.0, np.column_stack([points, labels]))
        for i, (points, labels) in enumerate(zip(truth * scale, labelled, strict=True))
    ]
    predictions = Predictions.from_records([category], records, predicted * scale, np.ones(labelled.shape))
    assert value(BOX, predictions) == pytest.approx(numbers[f"{case}/pck@0.05/mean_and_count"][0], abs=1e-4)
