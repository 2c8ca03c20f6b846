from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.catalog import installed
from posebed.config import ScoringConfig
from posebed.metrics import animal_kingdom, average_precision, distances
from posebed.metrics.coco.oks import evaluate
from posebed.predictions import Predictions
from posebed.scoring.scores import Scores, score_predictions

Drawn = Callable[..., Predictions]
FEW = ScoringConfig(resamples=200)
SPECS = [*installed().measured()[0].values()]


def values(scores: Scores) -> dict[str, float]:
    return {s.metric: s.value for s in scores.scores}


@given(seed=st.integers(0, 2**32 - 1), categories=st.integers(1, 12), episodes=st.booleans())
@settings(max_examples=15, deadline=None)
def test_every_interval_contains_its_value(drawn: Drawn, seed: int, categories: int, episodes: bool) -> None:
    scores = score_predictions(drawn(seed, queries=60, categories=categories, episodes=episodes), FEW, SPECS)
    for score in scores.scores:
        assert score.low - 1e-9 <= score.value <= score.high + 1e-9, score
        if score.low_categories is not None and score.high_categories is not None:
            assert score.low_categories - 1e-9 <= score.value <= score.high_categories + 1e-9, score


def test_intervals_shrink_with_the_number_of_images(drawn: Drawn) -> None:
    few, many = (score_predictions(drawn(0, queries=n, categories=1), FEW, SPECS) for n in (50, 800))
    for one, other in zip(few.scores, many.scores, strict=True):
        assert other.high - other.low < 0.6 * (one.high - one.low), one.metric


def test_one_image_gives_intervals_without_width(drawn: Drawn) -> None:
    for score in score_predictions(drawn(0, queries=6, per_image=6, categories=1), FEW, SPECS).scores:
        assert (score.low, score.high) == pytest.approx((score.value, score.value))


def test_one_category_has_no_interval_over_categories(drawn: Drawn) -> None:
    one, two = (score_predictions(drawn(0, categories=n), FEW, SPECS).scores for n in (1, 2))
    assert {(s.low_categories, s.high_categories) for s in one} == {(None, None)}
    assert all(s.low_categories is not None for s in two)


def test_a_perfect_prediction_has_perfect_scores_without_spread(drawn: Drawn) -> None:
    p = drawn(0, queries=30)
    scores = score_predictions(replace(p, xy=p.truth, counts=p.counts | (np.arange(5) == 0)), FEW, SPECS).scores
    for score in scores:
        best = {"NME": 0, "EPE": 0, "SPE": 0, "AUC": 0.95}.get(score.metric, 1)
        assert (score.value, score.low, score.high) == pytest.approx((best,) * 3), score.metric


def test_values_are_means_over_queries_and_means_over_categories(drawn: Drawn) -> None:
    p = drawn(0, queries=30, categories=3)
    actual = values(score_predictions(p, FEW, SPECS))
    assert [actual[m.name] for m in distances.SPEC.metrics] == pytest.approx(distances.per_query(p).mean(0))
    assert actual["AP"] == pytest.approx(np.mean([e.curves[0, 0].mean() for e in evaluate(p)]))


def test_categories_are_scored_as_if_they_were_alone(drawn: Drawn) -> None:
    p = drawn(0, queries=30, categories=3)
    scores = score_predictions(p, FEW, SPECS)
    for position, category in enumerate(p.categories):
        alone = score_predictions(p.take(np.flatnonzero(p.category == position)), FEW, SPECS)
        assert scores.by_category[category.name] == pytest.approx(values(alone))
        assert scores.by_keypoint[category.name] == alone.by_keypoint[category.name]


def test_an_area_without_instances_is_left_out(drawn: Drawn) -> None:
    p = drawn(0, queries=10)
    scores = score_predictions(replace(p, area=np.full(10, 1e5)), FEW, SPECS)
    assert "AP_M" not in values(scores)
    assert all("AP_M" not in table for table in scores.by_category.values())
    assert "AP_L" in values(scores)


def test_queries_without_a_keypoint_that_counts_are_reported(drawn: Drawn) -> None:
    p = drawn(0, queries=10)
    scores = score_predictions(replace(p, counts=p.counts & (np.arange(10) > 2)[:, None]), FEW, SPECS)
    assert scores.without_keypoints >= 3


def test_instances_and_images_are_counted_once_though_episodes_repeat_them(drawn: Drawn) -> None:
    p = drawn(0, queries=10, per_image=2, episodes=True)
    twice = replace(p, record=np.tile(p.record[:5], 2), image=np.tile(p.image[:5], 2))
    scores = score_predictions(twice, FEW, SPECS)
    assert (scores.instances, scores.images) == (5, len(set(p.image[:5])))


def test_in_detected_boxes_instances_alone_are_scored(drawn: Drawn) -> None:
    p = drawn(0, queries=30, categories=2)
    rows = np.arange(30)
    table = replace(p, predicted=rows % 2 == 0, annotated=rows % 2 == 1, counts=p.counts & (rows % 2 == 1)[:, None])
    scores = score_predictions(table, FEW, SPECS)
    assert set(values(scores)) <= {m.name for m in average_precision.SPEC.metrics}
    assert "AP" in values(scores)
    assert scores.by_keypoint == scores.by_keypoint_of_box == {}
    assert (scores.queries, scores.without_keypoints) == (15, 0)


def test_a_truth_that_nobody_asked_for_changes_no_distance(drawn: Drawn) -> None:
    p = drawn(0, queries=30, categories=1)
    crowd = np.arange(30) % 3 == 0
    table = replace(p, predicted=~crowd, counts=p.counts & ~crowd[:, None], labelled=p.labelled & ~crowd[:, None])
    rest = values(score_predictions(p.take(np.flatnonzero(~crowd)), FEW, SPECS))
    actual = values(score_predictions(table, FEW, SPECS))
    for metric in (*distances.SPEC.metrics, *animal_kingdom.SPEC.metrics):
        assert actual[metric.name] == pytest.approx(rest[metric.name]), metric.name


def test_the_three_of_animal_kingdom_need_one_skeleton_and_no_episodes(drawn: Drawn) -> None:
    names = {m.name for m in animal_kingdom.SPEC.metrics}
    one, two, shown = (drawn(0, categories=n, episodes=e) for n, e in ((1, False), (2, False), (1, True)))
    assert names <= set(values(score_predictions(one, FEW, SPECS)))
    assert score_predictions(one, FEW, SPECS).by_keypoint_of_box.keys() == {"name0"}
    for p in (two, shown):
        assert not names & set(values(score_predictions(p, FEW, SPECS)))


def test_categories_that_share_a_name_keep_rows_of_their_own(drawn: Drawn) -> None:
    p = drawn(0, queries=10, categories=3)
    first, second, third = p.categories
    face = replace(p, categories=(replace(first, name="face"), replace(second, name="face"), third))
    scores = score_predictions(face, FEW, SPECS)
    assert list(scores.by_category) == list(scores.by_keypoint) == ["face (key0)", "face (key1)", "name2"]


def test_the_same_table_and_seed_give_the_same_scores(drawn: Drawn) -> None:
    p = drawn(0, queries=20)
    assert score_predictions(p, FEW, SPECS) == score_predictions(p, FEW, SPECS)


def test_scoring_needs_no_torch() -> None:
    code = "import sys, posebed.scoring.scores; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
