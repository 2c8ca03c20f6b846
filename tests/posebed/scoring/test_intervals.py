from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.scoring.intervals import interval, resampled
from posebed.scoring.measuring import mean_statistic

seeds = st.integers(0, 2**32 - 1)


def mean_interval(values: np.ndarray, unit: np.ndarray, resamples: int = 400) -> tuple[float, float]:
    statistic = mean_statistic(values[:, None], unit, np.ones(len(unit), bool))
    return interval(resampled(statistic, int(unit.max()) + 1, resamples, np.random.default_rng(0))[:, 0])


@given(seed=seeds, queries=st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_the_interval_of_a_mean_contains_the_mean(seed: int, queries: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.uniform(size=queries)
    low, high = mean_interval(values, np.arange(queries))
    assert low - 1e-12 <= values.mean() <= high + 1e-12


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_sixteen_times_the_images_give_a_quarter_of_the_interval(seed: int) -> None:
    values = np.random.default_rng(seed).uniform(size=50)
    low, high = mean_interval(values, np.arange(50))
    many = np.tile(values, 16)
    lower, higher = mean_interval(many, np.arange(len(many)))
    assert (high - low) / (higher - lower) == pytest.approx(4, rel=0.35)


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    values = np.random.default_rng(1).normal(size=400)
    low, high = mean_interval(values, np.arange(400), resamples=4000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_a_single_image_gives_an_interval_without_width() -> None:
    low, high = mean_interval(np.array([0.25, 0.5, 0.75]), np.zeros(3, int))
    assert low == high == 0.5


def test_queries_of_one_image_are_drawn_together() -> None:
    values = np.random.default_rng(2).uniform(size=30)
    alone = mean_interval(values, np.arange(30))
    twice = mean_interval(np.repeat(values, 2), np.repeat(np.arange(30), 2))
    assert twice == pytest.approx(alone)


def test_every_resample_draws_as_many_units_as_there_are_and_many_resamples_as_few() -> None:
    drawn: list[np.ndarray] = []

    def statistic(weights: np.ndarray) -> np.ndarray:
        drawn.append(weights)
        return weights.T[:, :2]

    values = resampled(statistic, 7, 100, np.random.default_rng(0))
    weights = np.hstack(drawn)
    assert values.shape == (100, 2)
    assert len(drawn) > 1
    np.testing.assert_array_equal(weights.sum(0), 7)
    assert np.unique(weights, axis=1).shape[1] > 90


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).uniform(size=40)
    assert mean_interval(values, np.arange(40)) == mean_interval(values, np.arange(40))


def test_resamples_with_nothing_to_measure_are_left_out() -> None:
    values = np.linspace(0, 1, 101)
    assert interval(np.append(values, [np.nan] * 50)) == interval(values)
