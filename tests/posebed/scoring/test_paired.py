"""Differences on common ground: paired, over categories, and the same whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.catalog import installed
from posebed.config import ScoringConfig
from posebed.metrics.distances import pck
from posebed.predictions import Predictions
from posebed.scoring.common_ground import Answers
from posebed.scoring.intervals import interval
from posebed.scoring.paired import HEADLINE, Comparison, compared
from posebed.scoring.result import Result
from posebed.scoring.scores import score_predictions

Drawn = Callable[..., Predictions]
Make = Callable[..., Result]
Compare = Callable[..., Comparison]
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=10, deadline=None)

SCORING = ScoringConfig(resamples=200)
SPECS = [*installed().measured()[0].values()]


@pytest.fixture(scope="session")
def compare(run: Make) -> Compare:
    """The comparison of tables with the same rows, by their runs' keys."""

    def made(**tables: Predictions) -> Comparison:
        return compared(
            Answers(tuple(map(run, tables)), tuple((table,) for table in tables.values()), ()), SCORING, SPECS
        )

    return made


def worse(p: Predictions, pixels: float, seed: int = 0) -> Predictions:
    noise = np.random.default_rng(seed).normal(0, pixels, p.xy.shape)
    return replace(p, xy=np.where(p.labelled[..., None], p.xy + noise, p.xy).astype(np.float32))


@given(seed=seeds)
@few
def test_equal_predictions_differ_by_nothing(drawn: Drawn, compare: Compare, seed: int):
    p = drawn(seed, queries=40, categories=4, episodes=True)
    comparison = compare(a=p, b=p)
    assert (comparison.against(1)[0] == 1).all()
    for metric in range(len(comparison.metrics)):
        difference = comparison.difference(0, 1, metric)
        assert (difference.value, difference.low, difference.high, difference.sign) == (0, 0, 0, 0)
    assert not comparison.wins.any()


@given(seed=seeds)
@few
def test_pairing_narrows_the_interval(drawn: Drawn, compare: Compare, seed: int):
    easy = drawn(seed, queries=200, categories=20, noise=0, episodes=True)
    hard = worse(easy, 80, seed)
    p = replace(easy, xy=np.where((easy.category < 10)[:, None, None], easy.xy, hard.xy))
    comparison = compare(a=p, b=worse(p, 4, seed + 1))
    difference = comparison.difference(0, 1)
    a, b = comparison.resamples[:, :, HEADLINE].T
    low, high = interval(a - np.roll(b, 1))
    assert difference.low is not None and difference.high is not None
    assert difference.high - difference.low < high - low


@given(seed=seeds)
@few
def test_what_one_wins_the_other_loses(drawn: Drawn, compare: Compare, seed: int):
    p = drawn(seed, queries=90, categories=5, per_image=2, episodes=True)
    comparison = compare(a=p, b=worse(p, 30), c=worse(p, 60, 1))
    assert (comparison.wins + comparison.wins.T <= 5).all() and not comparison.wins.diagonal().any()
    for metric in range(len(comparison.metrics)):
        one, other = comparison.difference(0, 2, metric), comparison.difference(2, 0, metric)
        assert other.low is not None and other.high is not None
        assert (one.value, one.low, one.high, one.sign) == pytest.approx(
            (-other.value, -other.high, -other.low, -other.sign)
        )


def test_the_best_run_comes_first_and_wins_where_it_is_clearly_better(drawn: Drawn, compare: Compare):
    p = drawn(3, queries=300, categories=8, noise=0.0, episodes=True)
    comparison = compare(bad=worse(p, 200), good=p, level=p)
    assert [r.key for r in comparison.runs] == ["good", "level", "bad"]
    assert comparison.wins.tolist() == [[0, 0, 8], [0, 0, 8], [0, 0, 0]]
    # Eight categories with one sign, the first of three tests.
    assert comparison.difference(0, 2).p == pytest.approx(3 * 2 / 2**8)
    assert comparison.difference(0, 2).sign == 1 and comparison.difference(2, 0).sign == -1


@given(seed=seeds)
@few
def test_values_are_those_of_the_runs_alone(drawn: Drawn, compare: Compare, seed: int):
    p = drawn(seed, queries=60, categories=3, episodes=True)
    comparison = compare(a=p, b=worse(p, 20))
    alone = score_predictions(p, ScoringConfig(resamples=1), SPECS)
    place = [r.key for r in comparison.runs].index("a")
    values = {score.metric: score.value for score in alone.scores}
    for metric, named in enumerate(comparison.metrics):
        assert comparison.score(place, metric).value == pytest.approx(values[named.name])
        each = [alone.by_category[c.name].get(named.name, np.nan) for c in comparison.categories]
        assert comparison.by_category[:, place, metric] == pytest.approx(each, nan_ok=True)


def test_one_category_has_no_interval(drawn: Drawn, compare: Compare):
    p = drawn(0, categories=1, episodes=True)
    comparison = compare(a=p, b=worse(p, 40))
    assert comparison.score(0).low is None
    difference = comparison.difference(0, 1)
    assert (difference.low, difference.p, difference.sign) == (None, None, 0) and comparison.detectable() is None


@given(seed=seeds)
@few
def test_the_hardest_queries_are_those_with_the_lowest_headline(drawn: Drawn, compare: Compare, seed: int):
    p = drawn(seed, queries=40, noise=0.3, episodes=True)
    comparison = compare(a=p, b=worse(p, 30))
    headline = np.mean([pck(p, [0.2]), pck(worse(p, 30), [0.2])], axis=0)[comparison.hardest]
    assert (np.diff(headline) >= 0).all()
    assert sorted(p.record[comparison.hardest]) == sorted(p.record[p.counts.any(1)])


def test_a_record_is_hard_once(drawn: Drawn, compare: Compare):
    p = drawn(0, queries=30, episodes=True)
    again = replace(p, record=np.repeat(p.record[::3], 3), category=p.category)
    comparison = compare(a=again, b=worse(again, 30))
    assert len(comparison.hardest) == len(set(again.record[again.counts.any(1)]))


@given(seed=seeds)
@few
def test_a_run_of_several_members_enters_with_their_mean_for_every_query(drawn: Drawn, run: Make, seed: int):
    p = drawn(seed, queries=60, categories=4, episodes=True)
    members = tuple(worse(p, pixels, pixels) for pixels in (10, 20, 40))
    of_members = compared(Answers((run("a"), run("b")), (members, (p,)), ()), SCORING, SPECS)
    alone = compared(Answers(tuple(map(run, "bcde")), ((p,), *((member,) for member in members)), ()), SCORING, SPECS)
    place = [r.key for r in of_members.runs].index("a")
    places = [[r.key for r in alone.runs].index(key) for key in "cde"]
    assert of_members.values[place] == pytest.approx(alone.values[places].mean(0))
    assert of_members.by_category[:, place] == pytest.approx(alone.by_category[:, places].mean(1), nan_ok=True)
    for metric in range(len(of_members.metrics)):
        assert of_members.score(place, metric).spread == pytest.approx(alone.values[places, metric].std(ddof=1))
        assert of_members.score(1 - place, metric).spread is None


@given(seed=seeds)
@few
def test_the_order_in_which_runs_are_given_changes_nothing(drawn: Drawn, compare: Compare, seed: int):
    p = drawn(seed, queries=80, categories=6, episodes=True)
    tables = {key: worse(p, 10 * place, place) for place, key in enumerate("abcd")}
    one, other = compare(**tables), compare(**dict(reversed(tables.items())))
    assert [r.key for r in one.runs] == [r.key for r in other.runs]
    for name in ("values", "resamples", "p", "wins"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)


def test_seeds_that_lie_far_apart_make_a_difference_unsure(drawn: Drawn, run: Make):
    p = drawn(0, queries=200, categories=10, noise=0.02, episodes=True)
    level, near, far = worse(p, 60), worse(p, 55, 1), worse(p, 1, 2)
    alike = compared(Answers((run("a"), run("b")), ((level, level), (far, far)), ()), SCORING, SPECS)
    apart = compared(Answers((run("a"), run("b")), ((level, level), (near, far)), ()), SCORING, SPECS)
    assert alike.difference(0, 1).sign == 1
    widths = [d.high - d.low for c in (alike, apart) if (d := c.difference(0, 1)).low is not None and d.high]
    assert widths[1] > 2 * widths[0]


def test_data_without_mirror_partners_have_no_symmetric_error(drawn: Drawn, compare: Compare):
    p = drawn(0, queries=40, categories=3, episodes=True)
    p = replace(p, categories=tuple(replace(c, flip_pairs=()) for c in p.categories))
    comparison = compare(a=p, b=worse(p, 10))
    assert not [m.name for m in comparison.metrics if m.name == "SPE" or "forgiven" in m.name]
    assert np.isfinite(comparison.values).all()


@given(seed=seeds)
@few
def test_members_that_answer_alike_change_nothing_on_the_ground(drawn: Drawn, run: Make, seed: int):
    p = drawn(seed, queries=40, categories=4, episodes=True)
    q, runs = worse(p, 30, seed), (run("a"), run("b"))
    # The mean of three equal numbers is rounded.
    one, three = (compared(Answers(runs, (mine, (q,)), ()), SCORING, SPECS) for mine in ((p,), (p,) * 3))
    for name in ("values", "by_category", "resamples", "p", "wins"):
        np.testing.assert_allclose(getattr(three, name), getattr(one, name), atol=1e-12)


@given(seed=seeds)
@few
def test_rounding_is_no_difference(drawn: Drawn, run: Make, seed: int):
    p = drawn(seed, queries=40, categories=8, episodes=True)
    comparison = compared(Answers((run("a"), run("b")), ((p,), (p,) * 3), ()), SCORING, SPECS)
    assert comparison.p[0, 1] == 1 and not comparison.wins.any()


@pytest.mark.parametrize(("images", "won"), [(2, 0), (3, 0), (20, 1)])
def test_a_category_of_few_pictures_is_never_won(drawn: Drawn, compare: Compare, images: int, won: int):
    p = drawn(0, queries=images, categories=1)
    p = replace(p, xy=p.truth.astype(np.float32), image=np.arange(images).astype(str))
    comparison = compare(right=p, wrong=replace(p, xy=p.xy + 1e4))
    assert comparison.wins.sum() == won


def test_a_metric_with_a_value_in_one_category_has_no_interval(drawn: Drawn, compare: Compare):
    p = drawn(0, queries=60, categories=3, episodes=True)
    first, *others = p.categories
    p = replace(p, categories=(first, *(replace(category, flip_pairs=()) for category in others)))
    comparison = compare(a=p, b=worse(p, 10))
    spe = [metric.name for metric in comparison.metrics].index("SPE")
    assert comparison.difference(0, 1, spe).low is None and comparison.score(0, spe).low is None
    assert comparison.difference(0, 1).low is not None


@pytest.mark.slow
def test_hundreds_of_thousands_of_queries_take_seconds(drawn: Drawn, compare: Compare):
    p = drawn(0, queries=500, categories=20, episodes=True)
    columns = {f.name: getattr(p, f.name) for f in fields(p)}
    often = {name: np.concatenate([c] * 400) for name, c in columns.items() if isinstance(c, np.ndarray)}
    often["episode"] = np.arange(200_000, dtype=np.int32)
    many = replace(p, **often, supports=p.supports * 400)
    started = time.process_time()  # other processes slow this one down, but are not its own time
    compare(a=many, b=replace(many, xy=many.xy + 3))
    assert time.process_time() - started < 30
