"""Suppression of poses that repeat a surer one, as COCO evaluations do before they score several poses per instance."""

from __future__ import annotations

import numpy as np


def oks_nms(
    xy: np.ndarray, score: np.ndarray, area: np.ndarray, sigmas: np.ndarray, threshold: float = 0.9
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
