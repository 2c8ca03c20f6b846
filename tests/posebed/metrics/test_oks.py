from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.metrics.average_precision import SPEC, category_statistic
from posebed.metrics.coco.curves import weighted_curves
from posebed.metrics.coco.oks import evaluate
from posebed.metrics.coco.suppression import DUPLICATE
from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.scoring.intervals import centred

Drawn = Callable[..., Predictions]
seeds = st.integers(0, 2**32 - 1)


def values(predictions: Predictions, duplicate: float = DUPLICATE) -> dict[str, float]:
    evaluations = evaluate(predictions, duplicate)
    numbers = category_statistic(evaluations)(np.ones((len(evaluations), 1)))[0]
    return dict(zip((m.name for m in SPEC.metrics), numbers, strict=True))


def crowded(drawn: Drawn, seed: int, per_image: int, **options: int) -> Predictions:
    """Several instances in an image that overlap, some without a keypoint that counts, many of equal score."""
    p = drawn(seed, per_image=per_image, **options)
    rng = np.random.default_rng(seed)
    counts = p.counts & (rng.uniform(size=(len(p), 1)) < 0.9)
    first = np.arange(len(p)) // per_image * per_image
    near = rng.uniform(size=len(p)) < 0.3
    xy = np.where(near[:, None, None], p.truth[first], p.xy)
    return replace(p, counts=counts, xy=xy, score=np.round(p.score, 1))


@pytest.mark.parametrize("per_image", [1, 2, 5, 30])
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_with_weights_of_one_the_curves_are_those_of_the_evaluator(drawn: Drawn, per_image: int, seed: int) -> None:
    predictions = crowded(drawn, seed, per_image, queries=150, categories=2)
    for evaluation in evaluate(predictions):
        curves = weighted_curves(evaluation.matches, np.ones((len(predictions), 1)))[..., 0]
        np.testing.assert_allclose(curves, evaluation.curves, atol=1e-12)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_a_weight_counts_an_image_as_often_as_copies_of_it_would(drawn: Drawn, seed: int) -> None:
    p = drawn(seed, queries=40, per_image=2, categories=1)
    image = np.arange(40) // 2
    times = np.random.default_rng(seed).multinomial(20, np.full(20, 1 / 20))
    rows = np.repeat(np.arange(40), times[image])
    copy = np.concatenate([np.arange(int(times[i])) for i in image]).astype(str)
    columns = {f.name: getattr(p, f.name) for f in fields(p)}
    arrays = {name: column[rows] for name, column in columns.items() if isinstance(column, np.ndarray)}
    arrays["record"] = np.char.add(arrays["record"], copy)
    arrays["image"] = np.char.add(arrays["image"], copy)
    repeated = replace(p, **arrays, supports=((),) * len(rows))
    weighted = weighted_curves(evaluate(p)[0].matches, times[image][:, None].astype(float))[..., 0]
    np.testing.assert_allclose(weighted, evaluate(repeated)[0].curves, atol=1e-12)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_rows_does_not_matter(drawn: Drawn, seed: int) -> None:
    p = crowded(drawn, seed, 3, queries=60)
    order = np.random.default_rng(seed).permutation(len(p))
    assert values(p.take(order)) == pytest.approx(values(p), nan_ok=True)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_padding_changes_nothing(drawn: Drawn, seed: int) -> None:
    p = drawn(seed, queries=30)
    wide = replace(
        p,
        categories=(*p.categories, Category("wide", "wide", tuple(map(str, range(9))))),
        truth=np.pad(p.truth, ((0, 0), (0, 4), (0, 0))),
        xy=np.pad(p.xy, ((0, 0), (0, 4), (0, 0))),
        confidence=np.pad(p.confidence, ((0, 0), (0, 4))),
        labelled=np.pad(p.labelled, ((0, 0), (0, 4))),
        counts=np.pad(p.counts, ((0, 0), (0, 4))),
    )
    assert values(wide) == pytest.approx(values(p), nan_ok=True)


def test_each_category_is_scored_with_its_own_sigmas(drawn: Drawn) -> None:
    p = drawn(0, queries=40, categories=2)
    first, second = p.categories
    loose = replace(p, categories=(first, replace(second, sigmas=(0.5,) * len(second.keypoints))))
    before, after = evaluate(p), evaluate(loose)
    np.testing.assert_array_equal(before[0].curves, after[0].curves)
    assert after[1].curves[0, 0].mean() > before[1].curves[0, 0].mean()


def test_queries_of_episodes_do_not_compete_though_they_share_an_image(drawn: Drawn) -> None:
    p = drawn(0, queries=40, categories=1)
    alone = replace(p, episode=np.arange(40, dtype=np.int32))
    together = replace(alone, image=np.full(40, "one image"))
    assert values(together) == pytest.approx(values(alone), nan_ok=True)


def test_an_area_without_instances_has_no_value(drawn: Drawn) -> None:
    p = drawn(0, queries=10)
    actual = values(replace(p, area=np.full(10, 96.0**2 + 1)))
    assert np.isnan(actual["AP_M"])
    assert np.isfinite(actual["AP_L"])


def test_an_instance_of_which_no_keypoint_counts_is_not_scored(drawn: Drawn) -> None:
    p = drawn(0, queries=20, categories=1)
    perfect = replace(p, xy=p.truth, counts=(np.arange(20) < 10)[:, None] & np.ones_like(p.counts))
    assert values(perfect)["AP"] == pytest.approx(1)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_predictions_and_truths_in_rows_of_their_own_score_as_side_by_side(drawn: Drawn, seed: int) -> None:
    p = crowded(drawn, seed, 3, queries=60)
    assert values(in_detected_boxes(p)) == pytest.approx(values(p), nan_ok=True)


def in_detected_boxes(p: Predictions) -> Predictions:
    """The same predictions and truths, each in a row of its own."""
    both = stacked(p, p)
    predicted, truth = np.arange(2 * len(p)) < len(p), np.arange(2 * len(p)) >= len(p)
    return replace(
        both,
        record=np.char.add(both.record, np.where(predicted, " found", "")),
        predicted=predicted,
        annotated=truth,
        counts=both.counts & truth[:, None],
        labelled=both.labelled & truth[:, None],
    )


def stacked(one: Predictions, other: Predictions) -> Predictions:
    """The rows of two tables of the same categories, the second under other names."""
    columns = {f.name: (getattr(one, f.name), getattr(other, f.name)) for f in fields(one)}
    arrays = {name: np.concatenate(both) for name, both in columns.items() if isinstance(both[0], np.ndarray)}
    arrays["record"] = np.char.add(arrays["record"], np.repeat(["", " again"], [len(one), len(other)]))
    return replace(one, **arrays, supports=one.supports + other.supports)


def test_a_pose_that_repeats_a_surer_one_is_no_error(drawn: Drawn) -> None:
    p = drawn(0, queries=20, categories=1, noise=0.0)
    again = replace(p, annotated=np.zeros(20, bool), counts=np.zeros_like(p.counts), score=p.score * np.float32(0.99))
    table = stacked(p, again)
    assert values(table)["AP"] == pytest.approx(values(p)["AP"])
    assert values(table, duplicate=1)["AP"] < values(p)["AP"]


def test_a_category_without_predictions_scores_zero_and_one_without_truths_is_not_scored(drawn: Drawn) -> None:
    p = in_detected_boxes(drawn(0, queries=20, categories=2, noise=0.0))
    perfect, blind = values(p), values(p.take(np.flatnonzero(p.annotated | (p.category == 0))))
    assert blind["AP"] == pytest.approx(perfect["AP"] / 2)
    deaf = values(p.take(np.flatnonzero(p.predicted | (p.category == 0))))
    assert deaf["AP"] == pytest.approx(perfect["AP"])


def test_a_surer_detection_comes_first(drawn: Drawn) -> None:
    category = Category("c", "c", ("point",))
    boxes = [(100.0, 100.0, 50.0, 50.0), (300.0, 300.0, 50.0, 50.0)]
    detections = [
        Record(name, "image", 640, 640, "c", box, 2500, np.zeros((1, 3), np.float32), detection=sure)
        for name, box, sure in (("wrong", boxes[0], 0.9), ("right", boxes[1], 0.3))
    ]
    truth = Record("truth", "image", 640, 640, "c", boxes[1], 2500, np.array([[310, 310, 2]], np.float32))
    xy = np.array([[[110.0, 110.0]], [[310.0, 310.0]]])
    table = Predictions.from_records([category], detections, xy, np.full((2, 1), 0.5), unmatched_truths=[truth])
    assert table.score.tolist() == pytest.approx([0.45, 0.15, 0])
    assert values(table)["AP"] == pytest.approx(0.5)


def test_resampled_images_are_moved_to_centre_on_the_value_within_0_and_1() -> None:
    resamples = np.array([[0.5, 0.9], [0.7, np.nan], [0.9, 1.0]])
    expected = [[0.4, 0.94], [0.6, np.nan], [0.8, 1.0]]
    np.testing.assert_allclose(centred(resamples, np.array([0.6, 0.99])), expected)


def as_table(case: dict, sigmas: np.ndarray) -> Predictions:
    """Annotations and results of a COCO file, which need not pair off."""
    keys = {c["id"]: str(c["id"]) for c in case["annotations"]["categories"]}
    categories = tuple(Category(key, key, tuple(map(str, range(17))), sigmas=tuple(sigmas)) for key in keys.values())

    def record(number: int, row: dict) -> Record:
        points = np.array(row["keypoints"], np.float32).reshape(-1, 3)
        detectedtions = "score" in row
        box = tuple(row.get("bbox", (0, 0, 1, 1)))
        picture = str(row["image_id"])
        return Record(
            record=str(number),
            image=picture,
            width=640,
            height=480,
            category=keys[row["category_id"]],
            box=box,
            area=row.get("area", 1),
            keypoints=np.zeros_like(points) if detectedtions else points,
            detection=row.get("score"),
        )

    results = case["detections"]
    rows = [record(i, row) for i, row in enumerate([*results, *case["annotations"]["annotations"]])]
    points = np.array([row["keypoints"] for row in results]).reshape(-1, 17, 3)
    detections, truths = rows[: len(results)], rows[len(results) :]
    # Of keypoints that are all sure, the score is the detector's.
    return Predictions.from_records(
        categories, detections, points[..., :2], np.ones(points.shape[:2]), unmatched_truths=truths
    )


@pytest.mark.parametrize("case", ["m0", "m1"])
@pytest.mark.parametrize("sigmas", ["ap10k_sigmas", "coco_sigmas"])
def test_values_are_those_of_the_reference(parity: Callable[[str], Path], case: str, sigmas: str) -> None:
    numbers = np.load(parity("metrics") / "outputs.npz")
    spec = json.loads((parity("metrics") / "spec.json").read_text())["cases"][case]
    coco = [
        0.026,
        0.025,
        0.025,
        0.035,
        0.035,
        0.079,
        0.079,
        0.072,
        0.072,
        0.062,
        0.062,
        0.107,
        0.107,
        0.087,
        0.087,
        0.089,
        0.089,
    ]
    predictions = as_table(spec, numbers["ap10k_sigmas"] if sigmas == "ap10k_sigmas" else np.array(coco))
    reference = numbers[f"{case}/ap/{sigmas}/stats(AP,AP50,AP75,APM,APL,AR,AR50,AR75,ARM,ARL)"]
    np.testing.assert_allclose(list(values(predictions, duplicate=1).values()), reference[:6], atol=1e-9)
    curves = np.stack([e.curves[0].T for e in evaluate(predictions, duplicate=1)], axis=1)
    expected = numbers[f"{case}/ap/{sigmas}/precision"][..., 0].mean(1)
    np.testing.assert_allclose(np.nan_to_num(curves, nan=-1), expected, atol=1e-6)
