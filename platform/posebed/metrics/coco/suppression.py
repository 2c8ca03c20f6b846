"""Suppression of poses that repeat a surer one, as COCO evaluations do before they score several poses per picture.

It is the hard kind, which the published evaluations use; the soft kind, which lowers scores instead, is left out.
"""

from __future__ import annotations

import numpy as np

from posebed.predictions import Predictions
from posebed.records import Category

DUPLICATE = 0.9
"""Two poses of one picture and category that are more similar than this OKS are one."""


def distinct(
    predictions: Predictions, rows: np.ndarray, category: Category, picture: np.ndarray, threshold: float
) -> np.ndarray:
    """Those of the rows, all of one category, that stay beside the others of their picture, in the same order.

    A pose is as large as its crop, as in HRNet's evaluation.

    Args:
        picture: (N,) number of every row's picture.
    """
    p = predictions
    sigmas = np.array(category.oks_sigmas())
    area = p.crop[:, 2] * p.crop[:, 3]
    stays = np.ones(len(p), bool)
    for members in _several(rows, picture):
        kept = oks_nms(p.xy[members, : len(sigmas)], p.score[members], area[members], sigmas, threshold)
        stays[np.delete(members, kept)] = False
    return rows[stays[rows]]


def _several(rows: np.ndarray, picture: np.ndarray) -> list[np.ndarray]:
    """The rows of each picture that has several."""
    ordered = rows[np.argsort(picture[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(picture[ordered])) + 1
    return [members for members in np.split(ordered, starts) if len(members) > 1]


def oks_nms(
    xy: np.ndarray, score: np.ndarray, area: np.ndarray, sigmas: np.ndarray, threshold: float = DUPLICATE
) -> np.ndarray:
    """Indices of the poses of one image that stay, by falling score: none is more similar than the threshold.

    Args:
        xy: (N, K, 2) image pixels; every keypoint takes part, however sure it is.
        score: (N,)
        area: (N,) square pixels; of two poses the mean of their areas is the scale.
        sigmas: (K,)
        threshold: the largest OKS between two poses that stay.
    """
    kept: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        scale = (area[i] + area[kept]) / 2
        squares = ((xy[kept] - xy[i]) ** 2).sum(-1)
        similarity = np.exp(-squares / (2 * (2 * sigmas) ** 2 * scale[:, None])).mean(-1)
        if not (similarity > threshold).any():
            kept.append(int(i))
    return np.array(kept, int)
