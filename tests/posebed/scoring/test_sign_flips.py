"""The test of differences, its correction, ranks and power: against counting by hand, tables and trials."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from posebed.scoring.power import POWER, detectable, effect_size
from posebed.scoring.ranks import average_ranks, critical_difference, groups
from posebed.scoring.sign_flips import DRAWN, EXACT, LEVEL, against, holm, sign_flip_p, smallest_p

# Eighths, so that sums are exact and ties are frequent.
eighths = st.integers(-16, 16).map(lambda n: n / 8)
shares = st.floats(0, 1)


@given(st.integers(1, 9).flatmap(lambda c: arrays(float, (c, 3), elements=eighths)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_p_is_the_share_of_all_flips_that_are_as_extreme(differences: np.ndarray, two_sided: bool):
    flips = np.array([*product((1, -1), repeat=len(differences))])
    sums, observed = flips @ differences, differences.sum(0)
    extreme = np.abs(sums) >= np.abs(observed) if two_sided else sums >= observed
    assert sign_flip_p(differences, two_sided=two_sided) == pytest.approx(extreme.mean(0))


@given(arrays(float, (7, 4), elements=eighths), st.permutations(range(7)))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_of_categories_nor_who_comes_first_matters(differences: np.ndarray, order: list[int]):
    p = sign_flip_p(differences)
    assert sign_flip_p(differences[order]) == pytest.approx(p)
    assert sign_flip_p(-differences) == pytest.approx(p)
    assert sign_flip_p(3 * differences) == pytest.approx(p)


@pytest.mark.parametrize("categories", [1, 2, 5, 14, EXACT])
def test_no_p_is_below_the_smallest_that_the_categories_allow(categories: int):
    ones = np.ones((categories, 1))
    for two_sided in (True, False):
        assert sign_flip_p(ones, two_sided=two_sided)[0] == pytest.approx(smallest_p(categories, two_sided=two_sided))
    assert smallest_p(categories) == pytest.approx(min(1, 2 / 2**categories))


def test_drawn_flips_are_close_to_all_of_them(monkeypatch: pytest.MonkeyPatch):
    differences = np.random.default_rng(0).normal(0.3, 1, (12, 30))
    exact = sign_flip_p(differences)
    monkeypatch.setattr("posebed.scoring.sign_flips.EXACT", 5)
    assert sign_flip_p(differences, seed=1) == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("ties", [True, False])
def test_drawn_flips_find_shares_far_smaller_than_their_number(monkeypatch: pytest.MonkeyPatch, ties: bool):
    differences = np.random.default_rng(0).normal(1, 0.8, (20, 30))
    differences = np.round(differences) if ties else differences
    exact = sign_flip_p(differences)
    monkeypatch.setattr("posebed.scoring.sign_flips.EXACT", 5)
    assert exact.min() < 1 / DRAWN and sign_flip_p(differences, seed=1) == pytest.approx(exact, rel=0.15)
    ones = np.ones((40, 1))
    assert sign_flip_p(ones)[0] == pytest.approx(smallest_p(40)) and sign_flip_p(ones, two_sided=False)[0] < 1e-11


def test_rounding_is_no_difference():
    floor = np.full(8, 0.1)
    values = np.full((8, 3), 0.1).mean(1, keepdims=True)
    assert (values != 0.1).any(), "rounded"
    assert against(values, floor)[0] == 1 and sign_flip_p(values - 0.1) == 1
    assert average_ranks(np.hstack([values, floor[:, None]])) == pytest.approx([1.5, 1.5])


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="must have a number in every category"):
        against(np.array([[0.5], [np.nan]]), np.zeros(2))


def test_runs_that_are_alike_are_called_different_no_more_often_than_promised():
    differences = np.random.default_rng(3).laplace(size=(10, 4000))
    assert (sign_flip_p(differences) <= LEVEL).mean() < LEVEL + 0.01


@given(arrays(float, st.integers(0, 12), elements=shares))
def test_corrected_p_are_never_below_the_raw_ones_and_keep_their_order(p: np.ndarray):
    corrected = holm(p)
    assert (corrected >= p).all() and (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


@given(arrays(float, 8, elements=shares), st.permutations(range(8)))
def test_the_order_of_tests_changes_no_corrected_p(p: np.ndarray, order: list[int]):
    np.testing.assert_array_equal(holm(p[order]), holm(p)[order])


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, np.nan, 0.005])) == pytest.approx(
        [0.03, 0.06, 0.06, np.nan, 0.02], nan_ok=True
    )


def test_a_method_above_the_floor_everywhere_has_the_smallest_one_sided_p():
    floor = np.linspace(0.2, 0.4, 8)
    values = np.stack([floor + 0.1, floor - 0.1, floor + np.resize([0.1, -0.1], 8)], axis=1)
    p, corrected = against(values, floor)
    assert p[0] == pytest.approx(2**-8) and p[1] == 1 and p[2] > 0.5
    assert corrected[0] == pytest.approx(3 * 2**-8)


@pytest.mark.parametrize(
    ("runs", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)]
)
def test_critical_differences_are_those_of_the_published_table(runs: int, quantile: float):
    """Demsar 2006, table 5 (a), two-sided Nemenyi test at 0.05."""
    expected = quantile * np.sqrt(runs * (runs + 1) / (6 * 14))
    assert critical_difference(runs, 14) == pytest.approx(expected, abs=0.001)


def test_ranks_share_places_and_groups_hold_what_is_not_told_apart():
    values = np.array([[0.9, 0.5, 0.5, 0.1], [0.8, 0.9, 0.3, 0.2]])
    assert average_ranks(values).tolist() == [1.5, 1.75, 2.75, 4]
    assert groups(np.array([1.5, 1.75, 2.75, 4.0]), 1.25) == [(0, 2), (2, 3)]
    assert groups(np.array([1.0, 2.0, 3.0]), 0.5) == []
    assert groups(np.array([1.0, 2.0, 3.0]), 5) == [(0, 2)]


@given(arrays(float, (5, 6), elements=eighths), st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_permuting_runs_permutes_their_ranks(values: np.ndarray, order: list[int]):
    ranks = average_ranks(values)
    assert average_ranks(values[:, order]) == pytest.approx(ranks[order])
    assert ranks.mean() == pytest.approx(3.5)


@pytest.mark.parametrize(("categories", "tests"), [(8, 1), (14, 10), (30, 3)])
def test_a_difference_of_the_size_told_is_found_in_four_of_five_cases(categories: int, tests: int):
    told = detectable(np.array([0.1]), categories, tests, np.zeros(1))
    assert told is not None
    noise = np.random.default_rng(7).normal(0, 0.1, (categories, 400))
    found = (sign_flip_p(noise + told) <= LEVEL / tests).mean()
    assert found == pytest.approx(POWER, abs=0.06)


def test_few_categories_tell_no_difference_and_seeds_make_it_larger():
    one, none = np.array([0.1]), np.zeros(1)
    assert detectable(one, 5, 1, none) is None and detectable(one, 1, 1, none) is None
    assert effect_size(6, LEVEL) is not None and effect_size(6, LEVEL / 2) is None
    alone, with_seeds = detectable(one, 10, 3, none), detectable(one, 10, 3, one**2)
    assert alone is not None and with_seeds is not None and with_seeds == pytest.approx(alone * np.sqrt(11))
