"""Left and right told apart: made-up poses whose errors are known, and what holds for any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.config import ScoringConfig
from posebed.contracts import Units
from posebed.metrics.distances import pck
from posebed.metrics.symmetry import FORGIVEN, SPE, SPEC, Confusion, by_pair, measure
from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.scoring.drawn import drawn_predictions
from posebed.scoring.scores import score_predictions
from posebed.testing import MetricSuite

seeds = st.integers(0, 2**32 - 1)
FACE = Category("face", "face", ("left_eye", "right_eye", "nose"), flip_pairs=((0, 1),))
BALL = Category("ball", "ball", ("top", "bottom", "middle"))
TRUTH = ((20, 20), (80, 20), (50, 60))
BOX = (0.0, 0.0, 101.0, 81.0)


def faces(*predicted: Sequence[Sequence[float]], truth: object = TRUTH, of: Category = FACE, seen: int = 3):
    """One face or other thing per prediction; the box has a side of 100 pixels."""
    keypoints = np.array([[*xy, 2 * (k < seen)] for k, xy in enumerate(np.array(truth).tolist())], np.float32)
    queries = [Record(f"r{i}", f"i{i}", 400, 300, of.key, BOX, 1.0, keypoints) for i in range(len(predicted))]
    return Predictions.from_records([of], queries, np.array(predicted, float), np.ones((len(predicted), 3)))


EXCHANGED = (TRUTH[1], TRUTH[0], TRUTH[2])
BOTH_LEFT = (TRUTH[0], TRUTH[0], TRUTH[2])


def values(p: Predictions) -> dict[str, float]:
    found = measure(p)(Units("images", np.arange(len(p))))(np.ones((len(p), 1)))[0]
    return dict(zip([metric.name for metric in SPEC.metrics], found.tolist(), strict=True))


class TestSymmetry(MetricSuite):
    module = "posebed.metrics.symmetry"

    @classmethod
    def worked_cases(cls) -> dict[str, list[tuple[Predictions, float]]]:
        """Right, exchanged, and both eyes found at the left one; the nose is right."""
        forgiven = [(faces(TRUTH), 1.0), (faces(EXCHANGED), 1.0), (faces(BOTH_LEFT), 2 / 3)]
        errors = [(faces(TRUTH), 0.0), (faces(EXCHANGED), 1.0), (faces(BOTH_LEFT), 0.5)]
        return {SPE.name: errors} | {metric.name: forgiven for metric in FORGIVEN}


def test_exchanged_sides_are_all_wrong_and_forgiven_in_full():
    found = values(faces(EXCHANGED))
    assert found["SPE"] == 1 and found["PCK@0.2 sides forgiven"] == 1
    assert pck(faces(EXCHANGED), [0.2]) == pytest.approx(1 / 3)


def test_as_near_to_the_partner_as_to_the_own_truth_is_no_error():
    assert values(faces(((50, 90), (50, 20), TRUTH[2])))["SPE"] == 0


@pytest.mark.parametrize(("distance", "judged"), [(4.9, 0), (5.0, 2)])
def test_partners_too_close_to_tell_are_left_out_and_counted(distance: float, judged: int):
    truth = ((20, 20), (20 + distance, 20), (50, 60))
    p = faces((truth[1], truth[0], truth[2]), truth=truth)
    assert by_pair(p) == {"face": {"left_eye / right_eye": Confusion(judged, judged, 2 - judged)}}
    assert np.isnan(values(p)["SPE"]) == (judged == 0)


def test_a_hidden_partner_leaves_nothing_to_confuse():
    p = faces(EXCHANGED, seen=1)
    assert by_pair(p) == {} and np.isnan(list(values(p).values())).all()


def test_the_supports_must_show_both():
    shown, hidden = (np.array([[20, 20, 2], [80, 20, v], [50, 60, 2]], np.float32) for v in (2, 0))
    query, support = (Record(n, n, 400, 300, "face", BOX, 1.0, k) for n, k in (("q", shown), ("s", hidden)))
    p = Predictions.from_records([FACE], [query], np.array([EXCHANGED]), np.ones((1, 3)), [0], [[support]])
    assert by_pair(p) == {} and np.isnan(values(p)["SPE"])


def test_data_without_pairs_have_no_number_and_no_nan():
    scores = score_predictions(faces(TRUTH, EXCHANGED, of=BALL), ScoringConfig(resamples=20), [SPEC])
    assert scores.scores == [] and scores.by_category == {"ball": {}} and scores.by_pair == {}


def test_a_category_without_pairs_has_no_error_and_its_own_pck_beside_one_that_has():
    face, ball = faces(EXCHANGED), faces(EXCHANGED, of=BALL)
    columns = {n: np.concatenate([getattr(face, n), getattr(ball, n)]) for n, v in vars(face).items()
               if isinstance(v, np.ndarray)}  # fmt: skip
    columns |= {"record": np.array(["a", "b"]), "image": np.array(["a", "b"]), "category": np.array([0, 1])}
    both = replace(face, **columns, categories=(FACE, BALL), supports=((), ()))
    scores = score_predictions(both, ScoringConfig(resamples=50), [SPEC])
    assert {*scores.by_category["face"]} == {metric.name for metric in SPEC.metrics}
    assert {*scores.by_category["ball"]} == {metric.name for metric in FORGIVEN} and [*scores.by_pair] == ["face"]
    found = {score.metric: score for score in scores.scores}
    assert found["SPE"].value == 1 and found["SPE"].low_categories is None
    # The ball has its own PCK, as in the number that it stands beside.
    forgiven = found["PCK@0.2 sides forgiven"]
    assert forgiven.value == pytest.approx((1 + 1 / 3) / 2)
    assert (forgiven.low_categories, forgiven.high_categories) == (pytest.approx(1 / 3), 1), "balls alone are drawn too"


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_forgiving_never_lowers_pck_and_exchanging_sides_changes_it_not(seed: int):
    p = drawn_predictions(seed, queries=30, categories=3)
    forgiven = values(p)
    exchange = [*range(p.xy.shape[1])]
    exchange[2:4] = 3, 2
    exchanged = values(replace(p, xy=p.xy[:, exchange]))
    for metric, threshold in zip(FORGIVEN, (0.05, 0.1, 0.2), strict=True):
        if not np.isnan(forgiven[metric.name]):
            assert forgiven[metric.name] >= pck(p, [threshold]).mean() - 1e-12
        both = p.counts[:, 2] & p.counts[:, 3]
        if both.all():
            assert exchanged[metric.name] == pytest.approx(forgiven[metric.name])


@pytest.mark.parametrize("pairs", [((0, 1), (1, 2)), ((0, 1), (1, 0)), ((0, 0),), ((0, 3),)])
def test_partners_that_are_not_symmetric_are_refused(pairs: tuple[tuple[int, int], ...]):
    with pytest.raises(ValueError, match=r"flip_pairs of 'face' must be symmetric, each of its 3 keypoints in one"):
        replace(FACE, flip_pairs=pairs)
