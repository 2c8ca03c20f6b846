from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.metrics.coco.suppression import distinct, oks_nms
from posebed.predictions import Predictions

SIGMAS = np.full(5, 0.05)


@given(seed=st.integers(0, 2**32 - 1))
def test_the_surest_pose_stays_and_its_copies_go(seed: int) -> None:
    rng = np.random.default_rng(seed)
    poses = rng.uniform(0, 1000, (4, 5, 2))
    xy = np.concatenate([poses, poses])
    score = np.concatenate([rng.uniform(0.5, 1, 4), rng.uniform(0, 0.5, 4)])
    kept = oks_nms(xy, score, np.full(8, 100.0), SIGMAS)
    assert sorted(kept) == [0, 1, 2, 3]
    assert (np.diff(score[kept]) <= 0).all()


def test_a_threshold_of_one_keeps_every_pose() -> None:
    assert len(oks_nms(np.zeros((3, 5, 2)), np.ones(3), np.ones(3), SIGMAS, 1.0)) == 3


def rows_that_stay(predictions: Predictions, picture: list[int]) -> list[int]:
    rows = np.arange(len(predictions))
    return distinct(predictions, rows, predictions.categories[0], np.array(picture), 0.9).tolist()


def test_poses_of_different_pictures_never_suppress_one_another(drawn: Callable[..., Predictions]) -> None:
    p = drawn(0, queries=4, categories=1)
    same = replace(p, xy=np.repeat(p.xy[:1], 4, axis=0), score=np.array([0.1, 0.4, 0.3, 0.2]))
    assert rows_that_stay(same, [1, 1, 2, 2]) == [1, 2]
    assert rows_that_stay(same, [1, 2, 3, 4]) == [0, 1, 2, 3]


def test_in_a_larger_crop_poses_are_more_alike(drawn: Callable[..., Predictions]) -> None:
    p = drawn(0, queries=2, categories=1)
    beside = replace(p, xy=np.stack([p.xy[0], p.xy[0] + 1]), crop=np.full((2, 4), 5.0))
    assert rows_that_stay(beside, [1, 1]) == [0, 1]
    assert len(rows_that_stay(replace(beside, crop=np.full((2, 4), 500.0)), [1, 1])) == 1


@pytest.mark.parametrize("case", ["m0", "m1"])
@pytest.mark.parametrize("threshold", ["0.9", "0.7"])
def test_the_same_poses_stay_as_in_the_toolbox(parity: Callable[[str], Path], case: str, threshold: str) -> None:
    numbers = np.load(parity("metrics") / "outputs.npz")
    pose, score, area = (numbers[f"{case}/nms/{name}"] for name in ("keypoints", "scores", "areas"))
    kept = oks_nms(pose[..., :2], score, area, numbers["ap10k_sigmas"], float(threshold))
    np.testing.assert_array_equal(kept, numbers[f"{case}/nms/keep_thr{threshold}"])
