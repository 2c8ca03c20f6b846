from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.records import Category
from posebed.scoring.average_precision import OKS_METRICS, category_statistic, centred, image_statistic, weighted_curves
from posebed.scoring.oks import evaluate
from posebed.scoring.predictions import Predictions

Drawn = Callable[..., Predictions]
seeds = st.integers(0, 2**32 - 1)


def values(predictions: Predictions) -> dict[str, float]:
    evaluations = evaluate(predictions)
    numbers = category_statistic(evaluations)(np.ones((len(evaluations), 1)))[0]
    return dict(zip((m.name for m in OKS_METRICS), numbers, strict=True))


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
def test_a_perfect_prediction_scores_one(drawn: Drawn, seed: int) -> None:
    p = drawn(seed, queries=30)
    perfect = values(replace(p, xy=p.truth, counts=p.counts | (np.arange(5) == 0)))
    assert all(value == pytest.approx(1) for value in perfect.values() if np.isfinite(value))
    assert perfect["AP"] == pytest.approx(1)


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
    found = values(replace(p, area=np.full(10, 96.0**2 + 1)))
    assert np.isnan(found["AP_M"])
    assert np.isfinite(found["AP_L"])


def test_an_instance_of_which_no_keypoint_counts_is_not_scored(drawn: Drawn) -> None:
    p = drawn(0, queries=20, categories=1)
    perfect = replace(p, xy=p.truth, counts=(np.arange(20) < 10)[:, None] & np.ones_like(p.counts))
    assert values(perfect)["AP"] == pytest.approx(1)


def test_resampled_categories_with_weights_of_one_give_the_values(drawn: Drawn) -> None:
    p = crowded(drawn, 4, 2, queries=80, categories=3)
    evaluations = evaluate(p)
    by_image = image_statistic(evaluations, np.arange(80) // 2)(np.ones((40, 3)))
    np.testing.assert_allclose(by_image, np.repeat([list(values(p).values())], 3, axis=0), atol=1e-12)


def test_resampled_images_are_moved_to_centre_on_the_value_within_0_and_1() -> None:
    resamples = np.array([[0.5, 0.9], [0.7, np.nan], [0.9, 1.0]])
    expected = [[0.4, 0.94], [0.6, np.nan], [0.8, 1.0]]
    np.testing.assert_allclose(centred(resamples, np.array([0.6, 0.99])), expected)


def as_table(case: dict, sigmas: np.ndarray) -> Predictions:
    """Annotations and results of a COCO file, which need not pair off, as a table in which each row has both.

    An annotation's prediction lies far away and is less sure than every result, a result's truth lies far away and
    has no keypoint that counts: neither changes precision or recall.
    """
    keys = {c["id"]: str(c["id"]) for c in case["annotations"]["categories"]}
    categories = tuple(Category(key, key, tuple(map(str, range(17))), sigmas=tuple(sigmas)) for key in keys.values())
    truths, results = case["annotations"]["annotations"], case["detections"]
    rows = [*truths, *results]
    points = np.array([row["keypoints"] for row in rows]).reshape(-1, 17, 3)
    is_truth = (np.arange(len(rows)) < len(truths))[:, None]
    labelled = is_truth & (points[..., 2] > 0)
    return Predictions(
        categories=categories,
        record=np.arange(len(rows)).astype(str),
        image=np.array([str(row["image_id"]) for row in rows]),
        group=np.array([""] * len(rows)),
        category=np.array([list(keys).index(row["category_id"]) for row in rows]),
        episode=np.full(len(rows), -1, np.int32),
        supports=((),) * len(rows),
        width=np.full(len(rows), 640),
        height=np.full(len(rows), 480),
        box=np.array([row.get("bbox", (-1e7, -1e7, 1, 1)) for row in rows], float),
        area=np.array([row.get("area", 1) for row in rows], float),
        truth=points[..., :2],
        labelled=labelled,
        counts=labelled,
        xy=np.where(is_truth[..., None], 1e8, points[..., :2]),
        confidence=np.zeros((len(rows), 17)),
        score=np.array([row.get("score", -1) for row in rows]),
    )


@pytest.mark.parametrize("case", ["m0", "m1"])
@pytest.mark.parametrize("sigmas", ["ap10k_sigmas", "coco_sigmas"])
def test_values_are_those_of_the_reference(parity: Path, case: str, sigmas: str) -> None:
    numbers = np.load(parity / "metrics/outputs.npz")
    spec = json.loads((parity / "metrics/spec.json").read_text())["cases"][case]
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
    np.testing.assert_allclose(list(values(predictions).values()), reference[:6], atol=1e-9)
    curves = np.stack([e.curves[0].T for e in evaluate(predictions)], axis=1)
    expected = numbers[f"{case}/ap/{sigmas}/precision"][..., 0].mean(1)
    np.testing.assert_allclose(np.nan_to_num(curves, nan=-1), expected, atol=1e-6)
