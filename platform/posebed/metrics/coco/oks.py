"""Object keypoint similarity (OKS), and COCO's evaluation over it by faster-coco-eval.

Each category is evaluated by itself, with its own sigmas, once poses that repeat a surer one are gone. Outside of
episodes the instances of one image compete as in COCO; a query of an episode is a picture of its own, since episodes
share images. Where boxes are a detector's, predictions and truths are different rows. The evaluator does not show which
prediction it matched with which truth, so the matches, from which ``average_precision`` resamples, are found again
from its OKS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from posebed.metrics.coco.suppression import DUPLICATE, distinct
from posebed.predictions import Predictions
from posebed.records import Category

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""(T,) of OKS, as the evaluator has them."""
AREAS = np.array([[0, 1e10], [32**2, 96**2], [96**2, 1e10]])
"""(A, 2) square pixels of all, medium and large instances, as the evaluator has them."""
PER_PICTURE = 20
"""Predictions of one picture that are scored, the surest first."""


@dataclass(frozen=True)
class Matches:
    """What became of the D predictions and G truths of one category, per area and threshold."""

    prediction: np.ndarray
    """(D,) row of the table, by falling score."""
    right: np.ndarray
    """(A, T, D) bool: matched with a truth that is scored."""
    wrong: np.ndarray
    """(A, T, D) bool: matched with none. Where neither right nor wrong the prediction is not scored."""
    truth: np.ndarray
    """(G,) row of the table."""
    scored: np.ndarray
    """(A, G) bool: some keypoint counts, and the area is in range."""


@dataclass(frozen=True)
class Evaluation:
    """One category as the evaluator scored it."""

    curves: np.ndarray
    """(2, A, T): precision averaged over 101 recalls, and the highest recall; nan where no truth is scored."""
    matches: Matches


def evaluate(predictions: Predictions, duplicate: float = DUPLICATE) -> list[Evaluation]:
    """One evaluation for each category in the table, in the order of ``categories``.

    Poses of one picture that are more similar than ``duplicate`` are one, the surest of them.
    """
    picture = _pictures(predictions)
    order = np.lexsort((predictions.record, picture))
    category = predictions.category[order]
    return [_evaluation(predictions, order[category == c], picture, duplicate) for c in np.unique(category)]


def _pictures(predictions: Predictions) -> np.ndarray:
    """(N,) numbers, from 1, of what competes: an image, or a single query of an episode."""
    rows = zip(predictions.image.tolist(), predictions.episode.tolist(), predictions.record.tolist(), strict=True)
    names = [(image, episode, record if episode >= 0 else "") for image, episode, record in rows]
    number = {name: i for i, name in enumerate(sorted(set(names)), 1)}
    return np.array([number[name] for name in names])


def _evaluation(p: Predictions, rows: np.ndarray, picture: np.ndarray, duplicate: float) -> Evaluation:
    category = p.categories[p.category[rows[0]]]
    truth = rows[p.annotated[rows]]
    predicted = distinct(p, rows[p.predicted[rows]], category, picture, duplicate)
    evaluator = _evaluator(p, category, truth, predicted, picture)
    evaluator.evaluate()
    evaluator.accumulate()
    precision = evaluator.eval["precision"][:, :, 0, :, 0].mean(1).T
    recall = evaluator.eval["recall"][:, 0, :, 0].T
    curves = np.stack([precision, recall])
    return Evaluation(np.where(curves < 0, np.nan, curves), _matches(p, truth, predicted, picture, evaluator))


def _evaluator(
    p: Predictions, category: Category, truth: np.ndarray, predicted: np.ndarray, picture: np.ndarray
) -> COCOeval_faster:
    """Of the rows with a truth and those with a prediction. Annotations count from 1: 0 stands for a missing match."""
    k = len(category.keypoints)
    labels = np.concatenate([p.truth[:, :k], 2.0 * p.counts[:, :k, None]], axis=-1).reshape(len(p), -1)
    poses = np.concatenate([p.xy[:, :k], p.confidence[:, :k, None]], axis=-1).reshape(len(p), -1)
    annotations = [
        {
            "id": number,
            "image_id": int(picture[i]),
            "category_id": 1,
            "bbox": p.box[i].tolist(),
            "area": float(p.area[i]),
            "iscrowd": 0,
            "keypoints": labels[i].tolist(),
            "num_keypoints": int(p.counts[i].sum()),
        }
        for number, i in enumerate(truth, 1)
    ]
    results = [
        {"image_id": int(picture[i]), "category_id": 1, "keypoints": poses[i].tolist(), "score": float(p.score[i])}
        for i in predicted
    ]
    images = [{"id": i} for i in np.unique(picture[np.concatenate([truth, predicted])]).tolist()]
    truths = COCO({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": category.name}]})
    sigmas = list(category.oks_sigmas())
    evaluator = COCOeval_faster(truths, truths.loadRes(results), iouType="keypoints", kpt_oks_sigmas=sigmas)
    evaluator.params.catIds = [1]  # also where there is no truth
    return evaluator


def _matches(
    p: Predictions, truth: np.ndarray, predicted: np.ndarray, picture: np.ndarray, evaluator: COCOeval_faster
) -> Matches:
    """Both kinds of rows are in the order of their pictures."""
    low, high = AREAS.T[:, :, None]
    area, score = p.area[truth], p.score[predicted]
    scored = (low <= area) & (area <= high) & p.counts[truth].any(1)
    fate = np.zeros((len(AREAS), len(THRESHOLDS), len(predicted)))
    numbers, starts = np.unique(picture[predicted], return_index=True)
    groups = np.split(np.arange(len(predicted)), starts[1:])
    first, end = (np.searchsorted(picture[truth], numbers, side) for side in ("left", "right"))
    for i, number in enumerate(numbers):
        surest = groups[i][np.argsort(-score[groups[i]], kind="stable")][:PER_PICTURE]
        near = scored[:, first[i] : end[i]]
        oks = np.asarray(evaluator.ious[number, 1]).reshape(len(surest), near.shape[1])
        fate[..., surest] = _fates(oks, near)
    extent = np.array([pose["area"] for pose in evaluator.cocoDt.dataset["annotations"]])
    outside = (extent < low) | (extent > high)
    order = np.argsort(-score, kind="stable")
    return Matches(
        prediction=predicted[order],
        right=(fate > 0)[..., order],
        wrong=((fate < 0) & ~outside[:, None])[..., order],
        truth=truth,
        scored=scored,
    )


def _fates(oks: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """COCO's greedy matching in one picture, for all areas and thresholds at once.

    Args:
        oks: (D, G) of the predictions, by falling score, and the truths.
        scored: (A, G)

    Returns:
        (A, T, D): 1 matched with a truth that is scored, 0 with one that is not, -1 with none.
    """
    fate = np.full((len(AREAS), len(THRESHOLDS), len(oks)), -1)
    if not oks.size:
        return fate
    free = np.ones((len(AREAS), len(THRESHOLDS), oks.shape[1]), bool)
    for i, similarity in enumerate(oks):
        near: np.ndarray = free & (similarity >= THRESHOLDS[:, None])
        preferred = near & scored[:, None]
        near = np.where(preferred.any(-1, keepdims=True), preferred, near)
        # Among truths of equal similarity the evaluator takes the last.
        best = oks.shape[1] - 1 - np.argmax(np.where(near, similarity, -1)[..., ::-1], -1)
        area, threshold = np.nonzero(near.any(-1))
        truth = best[area, threshold]
        free[area, threshold, truth] = False
        fate[area, threshold, i] = scored[area, truth]
    return fate
