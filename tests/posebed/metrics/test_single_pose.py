"""OKS-AP of single poses is what the evaluator finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.metrics.coco.oks import evaluate
from posebed.metrics.coco.single_pose import average_precision
from posebed.predictions import Predictions


def by_evaluator(p: Predictions) -> list[float]:
    return [evaluation.curves[0, 0].mean() for evaluation in evaluate(p)]


@given(seed=st.integers(0, 2**32 - 1), noise=st.sampled_from([0, 0.02, 0.1, 1]), uncounted=st.integers(0, 30))
@settings(max_examples=25, deadline=None)
def test_it_is_that_of_the_evaluator(drawn: Callable[..., Predictions], seed: int, noise: float, uncounted: int):
    p = drawn(seed, queries=60, categories=3, noise=noise, episodes=True)
    p = replace(p, counts=p.counts & (np.arange(60) >= uncounted)[:, None])
    np.testing.assert_allclose(average_precision(p), by_evaluator(p), atol=1e-9)


def test_equal_scores_are_taken_in_the_order_of_the_evaluator(drawn: Callable[..., Predictions]):
    p = drawn(0, queries=60, per_image=2, episodes=True)
    p = replace(p, score=np.ones_like(p.score))
    p = p.take(np.lexsort((p.record, p.episode, p.image)))
    np.testing.assert_allclose(average_precision(p), by_evaluator(p), atol=1e-9)


def test_a_category_of_which_no_keypoint_counts_has_no_value(drawn: Callable[..., Predictions]):
    p = drawn(0, queries=20, episodes=True)
    first = p.category == p.category[0]
    values = average_precision(replace(p, counts=p.counts & ~first[:, None]))
    assert np.isnan(values).tolist() == [True, False]
