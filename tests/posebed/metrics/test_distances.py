from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.metrics.distances import SPEC, box_side, keypoint_pck, pck, per_query
from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.scoring.drawn import drawn_predictions
from posebed.testing import MetricSuite

seeds = st.integers(0, 2**32 - 1)
NAMES = [metric.name for metric in SPEC.metrics]


def values(predictions: Predictions) -> dict[str, float]:
    return dict(zip(NAMES, per_query(predictions).mean(0), strict=True))


def single(
    truth: tuple[float, float], predicted: tuple[float, float], box: tuple[float, float, float, float]
) -> Predictions:
    """One keypoint in one image of 400 x 300 pixels."""
    query = Record("a", "a", 400, 300, "c", box, 1.0, np.array([[*truth, 2]], np.float32))
    category = Category("c", "c", ("point",))
    return Predictions.from_records([category], [query], np.array([[predicted]]), np.ones((1, 1)))


class TestDistances(MetricSuite):
    module = "posebed.metrics.distances"

    @classmethod
    def worked_cases(cls) -> dict[str, list[tuple[Predictions, float]]]:
        """A prediction 12 pixels off, in a box with a side of 100 pixels, and one that is right."""
        off, right = (single((100, 20), (x, 20), (0, 0, 101, 51)) for x in (112, 100))
        within = {"PCK@0.05": 0, "PCK@0.1": 0, "PCK@0.15": 1, "PCK@0.2": 1, "PCK@0.25": 1}
        # Of the twenty thresholds 17, from 0.15 to 0.95, are above 0.12, and all but 0 are above 0.
        means = {"mPCK@.05-.20": 2 / 4, "mPCK@.05-.25": 3 / 5, "AUC": 17 / 20, "NME": 0.12, "EPE": 12}
        best = dict.fromkeys(NAMES, 1.0) | {"AUC": 0.95, "NME": 0, "EPE": 0}
        return {name: [(off, value), (right, best[name])] for name, value in {**within, **means}.items()}


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.15, 0.2, 0.25])
def test_a_keypoint_at_exactly_the_threshold_is_wrong(threshold: float) -> None:
    box = (0.0, 0.0, 101.0, 51.0)
    assert values(single((100, 20), (100 + 100 * threshold, 20), box))[f"PCK@{threshold}"] == 0
    assert values(single((100, 20), (100 + 99 * threshold, 20), box))[f"PCK@{threshold}"] == 1


@pytest.mark.parametrize(
    ("box", "side"),
    [
        ((10, 20, 101, 51), 100),
        ((10, 20, 51, 101), 100),
        ((350, 0, 200, 40), 49),
        ((0, 250, 40, 200), 49),
        ((-30, 10, 101, 20), 100),
    ],
)
def test_the_normaliser_is_the_longer_side_of_the_box_inside_the_image(
    box: tuple[float, float, float, float], side: float
) -> None:
    assert box_side(single((0, 0), (0, 0), box)).tolist() == [side]


def test_a_box_outside_of_the_image_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"record 'a' has .* in 400 x 300"):
        box_side(single((0, 0), (0, 0), (500, 10, 20, 1)))


@given(side=st.integers(0, 3), beyond=st.floats(1, 1e300))
def test_no_box_can_make_the_normaliser_larger_than_its_picture(side: int, beyond: float) -> None:
    box = [10.0, 10.0, 50.0, 50.0]
    box[side % 2], box[side % 2 + 2] = (-beyond, beyond + 60) if side < 2 else (box[side % 2], beyond)
    try:
        predictions = single((0, 0), (0, 0), (box[0], box[1], box[2], box[3]))
    except ValueError as error:
        assert "box must lie within 3 sides of its image" in str(error) and beyond > 3 * 300 - 10
    else:
        assert box_side(predictions)[0] <= 400


def test_an_area_that_its_image_cannot_hold_is_refused() -> None:
    query = Record("a", "a", 400, 300, "c", (0, 0, 9, 9), 1e38, np.array([[1, 1, 2]], np.float32))
    with pytest.raises(ValueError, match=r"area must be at most that of its image, but is 1e\+38 in 400 x 300"):
        Predictions.from_records([Category("c", "c", ("point",))], [query], np.zeros((1, 1, 2)), np.ones((1, 1)))


@given(seed=seeds, scale=st.sampled_from([0.5, 2, 4]))
@settings(max_examples=10, deadline=None)
def test_enlarging_picture_truth_and_prediction_changes_pixels_alone(seed: int, scale: float) -> None:
    p = drawn_predictions(seed)
    extent = (p.box[:, 2:] - 1) * scale + 1
    larger = replace(
        p,
        width=p.width * 4,
        height=p.height * 4,
        box=np.hstack([p.box[:, :2] * scale, extent]),
        truth=p.truth * np.float32(scale),
        xy=p.xy * np.float32(scale),
    )
    expected = per_query(p) * [scale if metric.unit == "pixels" else 1 for metric in SPEC.metrics]
    np.testing.assert_allclose(per_query(larger), expected, atol=1e-9)


def test_a_query_in_which_no_keypoint_counts_adds_nothing_but_is_counted() -> None:
    p = drawn_predictions(1, queries=4)
    empty = per_query(replace(p, counts=p.counts & (np.arange(4) != 2)[:, None]))
    assert not empty[2].any() and empty[[0, 1, 3]].any(0).all()


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_a_higher_threshold_never_lowers_pck(seed: int) -> None:
    p = drawn_predictions(seed)
    values = [pck(p, [t]) for t in np.linspace(0, 1, 9)]
    assert (np.diff(values, axis=0) >= 0).all()


def test_both_means_of_pck_are_over_their_own_thresholds() -> None:
    actual = values(drawn_predictions(3))
    at = {t: actual[f"PCK@{t}"] for t in (0.05, 0.1, 0.15, 0.2, 0.25)}
    assert actual["mPCK@.05-.25"] == pytest.approx(sum(at.values()) / 5)
    assert actual["mPCK@.05-.20"] == pytest.approx((sum(at.values()) - at[0.25]) / 4)


def test_the_keypoint_table_is_over_the_queries_in_which_the_keypoint_counts() -> None:
    p = drawn_predictions(5, queries=6, categories=2)
    counts = np.zeros_like(p.counts)
    counts[[0, 2], 1] = counts[0, 3] = True
    xy = p.truth.copy()
    xy[2, 1] += 1000
    assert keypoint_pck(replace(p, counts=counts, xy=xy), 0.2) == {"key0": {"point1": 0.5, "point3": 1.0}, "key1": {}}


def episodes_of(folder: Path) -> Predictions:
    """The episodes of the MP-100 reference, whose boxes are already clipped and shortened."""
    numbers = np.load(folder / "functions.npz")
    gt, visible, box, predicted = (numbers[f"e0/mp100/{name}"] for name in ("gt", "visible", "bbox", "pred"))
    category = Category("c", "c", tuple(map(str, range(gt.shape[1]))))
    records = [
        Record(str(i), str(i), 10**6, 10**6, "c", (x, y, w + 1, h + 1), 1.0, np.column_stack([gt[i], visible[i]]))
        for i, (x, y, w, h) in enumerate(box)
    ]
    pairs = json.loads((folder / "functions.json").read_text())["mp100_metric"]["pairs"]
    return Predictions.from_records(
        [category],
        [records[query] for *_, query in pairs],
        predicted,
        np.ones(predicted.shape[:2]),
        range(len(pairs)),
        [[records[s] for s in shots] for *shots, _ in pairs],
    )


def test_episodes_score_as_in_the_official_code_of_mp100(parity: Callable[[str], Path]) -> None:
    folder = parity("capeformer")
    predictions = episodes_of(folder)
    reference = np.load(folder / "functions.npz")
    tolerance = json.loads((folder / "tolerance.json").read_text())["functions.npz"]
    for key in ("PCK@0.05", "PCK@0.1", "PCK@0.15", "PCK@0.2", "PCK@0.25", "mPCK", "NME", "AUC", "EPE"):
        deviation, scale = tolerance[f"e0/mp100/{key}"]
        actual = values(predictions)["mPCK@.05-.25" if key == "mPCK" else key]
        assert actual == pytest.approx(float(reference[f"e0/mp100/{key}"]), abs=max(1e-4 * scale, 10 * deviation)), key


def toolbox_case(folder: Path, case: str) -> tuple[np.ndarray, ...]:
    """Truth and prediction (9, 17, 2), labels (9, 17) and the numbers (9, 2) by which x and y are divided."""
    numbers = np.load(folder / "outputs.npz")
    return tuple(numbers[f"{case}/{name}"] for name in ("gt", "pred", "mask", "norm"))


def in_boxes(truth: np.ndarray, predicted: np.ndarray, labelled: np.ndarray) -> Predictions:
    """One category, in boxes with a side of 1000."""
    category = Category("c", "c", tuple(map(str, range(truth.shape[1]))))
    records = [
        Record(str(i), str(i), 10**6, 10**6, "c", (0, 0, 1001, 1001), 1.0, np.column_stack([points, labels]))
        for i, (points, labels) in enumerate(zip(truth, labelled, strict=True))
    ]
    return Predictions.from_records([category], records, predicted, np.ones(labelled.shape))


@pytest.mark.parametrize("case", ["m0", "m1"])
@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2, 0.5])
def test_the_keypoint_table_is_that_of_the_toolbox(parity: Callable[[str], Path], case: str, threshold: float) -> None:
    truth, predicted, labelled, norm = toolbox_case(parity("metrics"), case)
    if threshold == 0.05:
        # Row 1 had a normaliser of 0, for which the toolbox left it out, and then overwrote it with 1e6.
        labelled[1] = False
    scale = 1000 / norm[:, None]
    table = list(keypoint_pck(in_boxes(truth * scale, predicted * scale, labelled), threshold)["c"].values())
    numbers = np.load(parity("metrics") / "outputs.npz")
    np.testing.assert_allclose(table, numbers[f"{case}/pck@{threshold}/per_keypoint"], atol=1e-4)
    mean, count = numbers[f"{case}/pck@{threshold}/mean_and_count"]
    assert (np.mean(table), len(table)) == pytest.approx((mean, count), abs=1e-4)


@pytest.mark.parametrize("case", ["m0", "m1"])
def test_distances_of_single_keypoints_average_to_those_of_the_toolbox(
    parity: Callable[[str], Path], case: str
) -> None:
    truth, predicted, labelled, norm = toolbox_case(parity("metrics"), case)
    scale = np.broadcast_to(1000 / norm[:, None], truth.shape)[labelled][:, None]
    gt, pred, one = truth[labelled][:, None], predicted[labelled][:, None], np.ones((labelled.sum(), 1))
    numbers = np.load(parity("metrics") / "outputs.npz")
    assert values(in_boxes(gt, pred, one))["EPE"] == pytest.approx(float(numbers[f"{case}/epe"]), rel=1e-4)
    normalised = in_boxes(gt * scale, pred * scale, one)
    assert values(normalised)["NME"] == pytest.approx(float(numbers[f"{case}/nme"]), rel=1e-4)


@pytest.mark.parametrize("case", ["m0", "m1"])
def test_keypoint_tables_at_twenty_thresholds_average_to_the_area_of_the_toolbox(
    parity: Callable[[str], Path], case: str
) -> None:
    truth, predicted, labelled, _ = toolbox_case(parity("metrics"), case)
    predictions = in_boxes(truth * (1000 / 30), predicted * (1000 / 30), labelled)
    shares = [list(keypoint_pck(predictions, i / 20)["c"].values()) for i in range(20)]
    reference = np.load(parity("metrics") / "outputs.npz")[f"{case}/auc_norm30"]
    assert np.mean(shares) == pytest.approx(float(reference), rel=1e-4)
