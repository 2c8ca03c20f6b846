"""A run of several members: means, spread and intervals that hold what they promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posebed.catalog import installed
from posebed.config import ScoringConfig
from posebed.metrics.average_precision import SPEC as average_precision
from posebed.predictions import Predictions
from posebed.scoring.intervals import centred, hierarchical, interval, resampled
from posebed.scoring.measuring import mean_statistic
from posebed.scoring.members import combined
from posebed.scoring.result import Epoch, Result
from posebed.scoring.scores import Measures, score_predictions

Drawn = Callable[..., Predictions]
Make = Callable[..., Result]
SCORING = ScoringConfig(resamples=120, seed=3)
SPECS = [*installed().measured()[0].values()]
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8, deadline=None)


def moved(p: Predictions, seed: int, pixels: float = 12.0) -> Predictions:
    """What a training with another seed answers to the same queries."""
    rng = np.random.default_rng(seed)
    xy = np.where(p.labelled[..., None], p.xy + rng.normal(0, pixels, p.xy.shape), p.xy)
    return replace(p, xy=xy.astype(np.float32), score=rng.uniform(size=len(p)).astype(np.float32))


@pytest.fixture(scope="session")
def scored(run: Make) -> Make:
    """A member's own result by its seed and table; fields of the result or its provenance may be changed by name."""

    def made(seed: int, table: Predictions, **changes) -> Result:
        fields = dict(score_predictions(table, SCORING, SPECS))
        identity = {"fingerprint": f"f{seed}", "checkpoint_hash": f"w{seed}", "seeds": (seed,)}
        return run("run", seed=seed, **fields | identity | changes)

    return made


@pytest.fixture(scope="session")
def of_members(scored: Make) -> Callable[..., tuple[Result, list[Result]]]:
    """The run of some tables, and the results of its members."""

    def made(*tables: Predictions) -> tuple[Result, list[Result]]:
        results = [scored(seed, table) for seed, table in enumerate(tables)]
        return combined(results, tables, SCORING, SPECS), results

    return made


def former_intervals(table: Predictions) -> list[tuple[float, ...]]:
    """As they were computed before runs had members."""
    measures, rng = Measures.of(table, SPECS), np.random.default_rng(SCORING.seed)
    by_images = resampled(measures.of_images, measures.images, SCORING.resamples, rng)
    instances = [metric in average_precision.metrics for metric in measures.metrics]
    by_images[:, instances] = centred(by_images[:, instances], measures.values[instances])
    kinds = len(measures.categories)
    by_categories = resampled(measures.of_categories, kinds, SCORING.resamples, rng)
    several = np.isfinite(measures.of_categories(np.eye(kinds))).sum(0) > 1
    known = np.flatnonzero(np.isfinite(measures.values))
    every = [[by_images, by_categories] if several[i] else [by_images] for i in range(len(several))]
    return [tuple(end for values in every[i] for end in interval(values[:, i])) for i in known]


@given(seed=seeds, categories=st.integers(1, 4), episodes=st.booleans())
@few
def test_of_one_member_every_interval_is_the_former_one_bit_for_bit(
    drawn: Drawn, of_members, seed: int, categories: int, episodes: bool
):
    table = drawn(seed, queries=24, categories=categories, per_image=2, episodes=episodes)
    run, (alone,) = of_members(table)
    ends = [tuple(e for e in (s.low, s.high, s.low_categories, s.high_categories) if e is not None) for s in run.scores]
    assert ends == former_intervals(table)
    assert {s.spread for s in run.scores} == {None}
    assert run.model_copy(update={"members": ()}) == alone


@given(seed=seeds, number=st.integers(2, 5), episodes=st.booleans())
@example(seed=21390, number=2, episodes=False)  # medium instances are of one category
@few
def test_a_run_has_the_mean_and_the_spread_of_its_members_and_intervals_around_it(
    drawn: Drawn, of_members, seed: int, number: int, episodes: bool
):
    table = drawn(seed, queries=40, categories=3, episodes=episodes)
    run, members = of_members(*(moved(table, i) for i in range(number)))
    assert run.seeds == tuple(range(number)) == tuple(m.seed for m in run.members)
    for score in run.scores:
        values = [member.score(score.metric).value for member in members]
        assert [member.scores[score.metric] for member in run.members] == values
        assert (score.value, score.spread) == pytest.approx((fmean(values), stdev(values)))
        assert score.low - 1e-9 <= score.value <= score.high + 1e-9, score
        if score.metric in ("SPE", "AP_M", "AP_L") and score.low_categories is None:
            continue  # one category alone has a value
        assert score.low_categories is not None and score.high_categories is not None
        assert score.low_categories - 1e-9 <= score.value <= score.high_categories + 1e-9, score
    for name in ("by_category", "by_keypoint"):
        for row, columns in getattr(run, name).items():
            for column, value in columns.items():
                assert value == pytest.approx(fmean(getattr(m, name)[row][column] for m in members))


@given(seed=seeds)
@few
def test_members_that_answer_alike_leave_the_interval_as_it_is(drawn: Drawn, of_members, seed: int):
    table = drawn(seed, queries=30, categories=3)
    (one, _), (three, _) = of_members(table), of_members(table, table, table)
    for single, several in zip(one.scores, three.scores, strict=True):
        expected = single.model_dump(exclude={"spread"})
        assert several.spread == pytest.approx(0, abs=1e-12)
        assert several.model_dump(exclude={"spread"}) == pytest.approx(expected)


@given(seed=seeds, order=st.permutations(range(3)))
@few
def test_the_order_of_members_changes_neither_mean_nor_spread(drawn: Drawn, of_members, seed: int, order: list[int]):
    tables = [moved(drawn(seed, queries=30), i) for i in range(3)]
    (one, _), (other, _) = of_members(*tables), of_members(*(tables[i] for i in order))
    for first, second in zip(one.scores, other.scores, strict=True):
        assert (first.value, first.spread) == pytest.approx((second.value, second.spread))


def test_members_that_lie_far_apart_widen_the_interval_of_distances_and_of_average_precision(drawn: Drawn, of_members):
    table = drawn(1, queries=200, categories=1, noise=0.05)
    near, _ = of_members(*(moved(table, i, 1.0) for i in range(4)))
    far, _ = of_members(*(moved(table, i, 30.0 * i) for i in range(4)))
    for metric in ("PCK@0.1", "NME", "AP"):
        small, large = near.score(metric), far.score(metric)
        assert large.high - large.low > 2 * (small.high - small.low), metric


def run_of(rng: np.random.Generator, members: int, images: int, of_seeds: float) -> np.ndarray:
    """(members, images) of a run whose true mean over seeds and images is 0."""
    shared, seed = rng.normal(0, 0.2, images), rng.normal(0, of_seeds, (members, 1))
    return seed + shared + rng.normal(0, 0.2, (members, images))


@pytest.mark.parametrize(
    ("members", "of_seeds", "least"),
    [(3, 0.002, 0.93), (3, 0.02, 0.93), (5, 0.03, 0.9), (10, 0.06, 0.88), (2, 0.03, 0.85)],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(members: int, of_seeds: float, least: float):
    rng, images, times = np.random.default_rng(0), 200, 500
    hits = 0
    for _ in range(times):
        values = run_of(rng, members, images, of_seeds)
        statistics = [mean_statistic(v[:, None], np.arange(images), np.ones(images, bool)) for v in values]
        low, high = interval(hierarchical(statistics, images, 300, rng)[:, 0])
        hits += low <= 0 <= high
    assert least <= hits / times <= 0.995


def test_an_interval_over_images_alone_would_cover_it_less(drawn: Drawn):
    rng, images, times = np.random.default_rng(0), 200, 300
    hits = np.zeros(2)
    for _ in range(times):
        values = run_of(rng, 5, images, 0.05)
        statistics = [mean_statistic(v[:, None], np.arange(images), np.ones(images, bool)) for v in values]
        mean = mean_statistic(values.mean(0)[:, None], np.arange(images), np.ones(images, bool))
        for i, resamples in enumerate((hierarchical(statistics, images, 300, rng), resampled(mean, images, 300, rng))):
            low, high = interval(resamples[:, 0])
            hits[i] += low <= 0 <= high
    assert hits[0] > hits[1] + 0.1 * times


def test_all_members_of_a_resample_are_measured_on_the_same_images():
    images = np.arange(30)
    values = np.random.default_rng(0).normal(size=30)
    statistics = [mean_statistic((v)[:, None], images, np.ones(30, bool)) for v in (values, -values)]
    of_both = hierarchical(statistics, 30, 400, np.random.default_rng(1))[:, 0]
    assert np.isclose(of_both, 0).mean() == pytest.approx(0.5, abs=0.1), "both drawn once, they cancel out"


def test_a_resample_in_which_a_member_has_nothing_to_measure_counts_the_others():
    def nothing(weights: np.ndarray) -> np.ndarray:
        return np.full((weights.shape[1], 1), np.nan)

    def one(weights: np.ndarray) -> np.ndarray:
        return np.ones((weights.shape[1], 1))

    values = hierarchical([nothing, one], 5, 200, np.random.default_rng(0))
    assert np.nanmax(values) == np.nanmin(values) == 1
    assert np.isnan(values).mean() == pytest.approx(0.25, abs=0.1)


def epochs(*validations: float | None) -> list[Epoch]:
    fixed = {"losses": {}, "learning_rate": 0.1, "seconds": 1.0, "images_per_second": 1.0, "waiting": 0.0}
    return [Epoch(epoch=i, loss=1.0, validation=v, **fixed) for i, v in enumerate(validations, 1)]


@pytest.mark.parametrize(
    ("curves", "chosen"),
    [
        ([epochs(0.1, 0.9), epochs(0.5, None), epochs(0.7, 0.2)], 2),
        ([epochs(0.4), epochs(0.9), epochs(0.5), epochs(0.6)], 2),
        ([epochs(None), epochs(0.5)], 1),
        ([epochs(), epochs()], 0),
    ],
)
def test_the_curve_is_that_of_the_median_member(drawn: Drawn, scored: Make, curves: list[list[Epoch]], chosen: int):
    table = drawn(0)
    results = [scored(seed, table, curve=curve) for seed, curve in enumerate(curves)]
    assert combined(results, [table] * len(curves), SCORING, SPECS).curve == curves[chosen]


def test_cost_and_origin_of_a_run_are_those_of_its_members(drawn: Drawn, scored: Make):
    table = drawn(0)
    results = []
    for seed, milliseconds in ((4, 1.0), (7, 3.0)):
        result = scored(seed, table, created=f"2026-01-0{seed}", shortfalls=[f"short {seed}", "both"])
        cost = result.cost.model_copy(update={"ms_per_image": milliseconds, "train_seconds": 10 * milliseconds})
        results.append(result.model_copy(update={"cost": cost}))
    run = combined(results, [table, table], SCORING, SPECS)
    assert (run.cost.ms_per_image, run.cost.train_seconds, run.cost.parameters) == (2, 20, results[0].cost.parameters)
    assert [member.checkpoint_hash for member in run.members] == ["w4", "w7"]
    assert [member.result for member in run.members] == [f"runs/run/seed-{seed}/result.json" for seed in (4, 7)]
    assert run.provenance == results[0].provenance.model_copy(update={"created": "2026-01-07"})
    assert run.shortfalls == ["short 4", "both", "short 7"]
    assert run.fingerprint not in {member.fingerprint for member in run.members}
    assert run.fingerprint != combined(results[::-1], [table, table], SCORING, SPECS).fingerprint
    assert (run.seed, run.seeds) == (4, (4, 7))


def test_what_are_no_members_of_one_run_is_refused(drawn: Drawn, scored: Make):
    table, other = drawn(0), drawn(1, queries=10)
    one = scored(0, table)
    for second, second_table, reason in (
        (scored(0, table), table, "seeds of their own"),
        (scored(1, other), other, "answer the same queries"),
        (scored(1, table, model="hrnet"), table, "agree in model"),
        (scored(1, table, protocol={"boxes": "detected"}), table, "agree in protocol"),
    ):
        with pytest.raises(ValueError, match=reason):
            combined([one, second], [table, second_table], SCORING, SPECS)
    with pytest.raises(ValueError, match="for each of its members, but has 0 and 0"):
        combined([], [], SCORING, SPECS)


def test_a_file_from_before_runs_had_seeds_is_read(run: Make):
    former = json.loads(run("run", seed=5).model_dump_json(exclude={"seeds", "members"}))
    for score in former["scores"]:
        del score["spread"]
    read = Result.model_validate_json(json.dumps(former))
    assert (read.seed, read.seeds, read.members) == (5, (5,), ())


def test_pairs_are_joined_over_members(of_members, drawn: Drawn):
    table = drawn(4, queries=40)
    run, members = of_members(table, moved(table, 1, 90), moved(table, 2, 90))
    assert run.by_pair
    for category, pairs in run.by_pair.items():
        for name, pair in pairs.items():
            own = [member.by_pair[category][name] for member in members]
            assert {(error.judged, error.too_close) for error in own} == {(pair.judged, pair.too_close)}
            assert pair.spe == pytest.approx(fmean(error.spe for error in own if error.spe is not None))
