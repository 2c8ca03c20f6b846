"""OKS-AP where every picture holds one truth and one prediction of it, as each query of an episode does.

It is what ``oks`` finds there, without an evaluator that has matches to look for.
"""

from __future__ import annotations

import numpy as np

from posebed.metrics.coco.oks import THRESHOLDS
from posebed.predictions import Predictions


def average_precision(predictions: Predictions) -> np.ndarray:
    """(C,) AP of each category in the table, in the order of ``categories``; nan where no keypoint of it counts.

    Every row must hold a prediction and its truth.
    """
    p = predictions
    similarity = object_keypoint_similarity(p)
    values: list[float] = []
    for category in np.unique(p.category):
        rows = np.flatnonzero(p.category == category)
        rows = rows[np.argsort(-p.score[rows], kind="stable")]
        far, scored = similarity[rows] < THRESHOLDS[:, None], np.any(p.counts[rows], axis=1)
        values.append(float(_precision(~far & scored, far, int(scored.sum())).mean()) if scored.any() else np.nan)
    return np.array(values)


def _precision(right: np.ndarray, wrong: np.ndarray, truths: int) -> np.ndarray:
    """(T,) as ``curves.weighted_curves``, of (T, D) predictions by falling score, each once: all thresholds
    at a time, where a prediction that is not right adds no recall."""
    hits = np.cumsum(right, axis=1)
    precision = np.where(right, hits / np.maximum(np.cumsum(right | wrong, axis=1), 1), 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / truths
    nearest = np.rint(100 * recall)
    answers = np.diff(nearest + (recall >= 0.01 * nearest), axis=1, prepend=0)
    return (best * answers).sum(1) / 101


def object_keypoint_similarity(predictions: Predictions) -> np.ndarray:
    """(N,) OKS of each prediction with its truth; where no keypoint counts, with the box grown by its own size on every
    side, as COCO has it."""
    p = predictions
    sigmas = np.zeros((len(p.categories), p.counts.shape[1]))
    for row, category in zip(sigmas, p.categories, strict=True):
        row[: len(category.keypoints)] = category.oks_sigmas()
    sigma = sigmas[p.category]
    none = p.counts.sum(1, keepdims=True) == 0
    start, size = p.box[:, None, :2], p.box[:, None, 2:]
    target = np.where(none[..., None], np.clip(p.xy, start - size, start + 2 * size), p.truth)
    squares = ((p.xy - target) ** 2).sum(-1)
    marked = np.where(none, sigma > 0, p.counts)
    scale = 2 * (2 * np.where(marked, sigma, 1)) ** 2 * p.area[:, None]
    return (np.exp(-squares / scale) * marked).sum(1) / marked.sum(1)
