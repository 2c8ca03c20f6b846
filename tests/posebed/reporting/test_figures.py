from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.reporting.chart import BOTTOM, TOP, axis, end_labels, series
from posebed.reporting.compare import tables
from posebed.reporting.figures import cost, figures, forest, losses, thresholds, validation
from posebed.scoring.result import Result, Score

Make = Callable[..., Result]
values = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20).filter(
    lambda numbers: len(set(numbers)) == 1 or max(numbers) > 1.001 * min(numbers)
)


@given(values, st.booleans())
def test_an_axis_holds_its_values_in_order(numbers: list[float], log: bool):
    scale = axis(numbers, 10, 110, log=log)
    places = [scale(v) for v in sorted(numbers)]
    assert places == sorted(places)
    assert all(9.9 <= p <= 110.1 for p in places)


@given(values, st.booleans())
def test_an_axis_has_a_few_ticks_within_it(numbers: list[float], log: bool):
    scale = axis(numbers, 10, 110, log=log)
    ticks = scale.ticks()
    assert len(ticks) <= 14
    assert all(9.9 <= scale(t) <= 110.1 for t in ticks)
    if not log:
        assert len(ticks) >= 2


@given(st.lists(st.floats(TOP, BOTTOM), min_size=1, max_size=12))
def test_labels_at_one_place_never_touch_nor_fall_below_the_chart(heights: list[float]):
    marks = end_labels([(i, 100.0, y) for i, y in enumerate(heights)])
    placed = sorted(float(y) for y in re.findall(r' y="([-\d.]+)"', marks))
    assert len(placed) == len(heights)
    assert all(later - earlier >= 10.9 for earlier, later in pairwise(placed))
    assert placed[-1] <= BOTTOM + 4


def test_figures_are_sound_and_name_every_run(result: Make, score: Callable[..., Score]):
    wide = [score("PCK@0.2", 0.7, low_categories=0.5, high_categories=0.9), score("PCK@0.1", 0.4)]
    runs = [
        result("a<b>&", 0.7),
        result("b", 0.8, gflops=1.2, scores=wide),
        result("c", 0.3, model="mean_pose", floor=True),
    ]
    (table,) = tables(runs)
    drawn = figures(table)
    assert [f.title for f in drawn] == [
        "PCK@0.2 with its 95 % intervals",
        "PCK by threshold",
        "Training loss",
        "Validation PCK@0.2",
        "PCK@0.2 against cost",
    ]
    for figure in drawn:
        tree = ElementTree.fromstring(figure.svg)  # noqa: S314  (our own)
        assert all(run.key in tree.attrib["aria-label"] for run in runs)
        assert "<b>" not in figure.svg


def test_runs_without_a_curve_or_a_count_are_left_out(result: Make):
    (table,) = tables([result("a", curve=[]), result("b", gflops=None, curve=[])])
    assert losses(table) is validation(table) is cost(table) is None
    assert forest(table)


def test_one_threshold_is_no_curve(result: Make, score: Callable[..., Score]):
    (table,) = tables([result("a", scores=[score("PCK@0.2", 0.7), score("mPCK@0.05", 0.3)])])
    assert thresholds(table) is None


def test_cost_names_the_runs_that_it_leaves_out(result: Make):
    (table,) = tables([result("a"), result("b", gflops=2.0), result("c", gflops=None)])
    figure = cost(table)
    assert figure and "Without a count: c." in figure.caption


@pytest.mark.parametrize(("index", "name"), [(0, "s0"), (7, "s7"), (8, "s0 again")])
def test_runs_beyond_the_last_colour_start_again_with_dashes(index: int, name: str):
    assert series(index) == name
