"""What a keypoint looks like: features of a support picture, averaged under the keypoint's heatmap."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def support_pooling(features: Tensor, heatmaps: Tensor) -> Tensor:
    """Features enlarged bilinearly to the heatmaps' size, then averaged with the heatmaps as weights.

    Enlarging is linear, so the heatmaps are gathered onto the features' cells instead: the same numbers from maps
    that are a hundred times smaller.

    Args:
        features: (B, C, h, w).
        heatmaps: (B, K, H, W), H >= h, W >= w.

    Returns:
        (B, K, C); 0 where a heatmap is 0 everywhere.
    """
    share = heatmaps / (heatmaps.sum((2, 3), keepdim=True) + 1e-8)
    down, right = (_enlarging(features.shape[axis], heatmaps.shape[axis], share) for axis in (2, 3))
    return torch.einsum("bchw,bkhw->bkc", features, torch.einsum("bkyx,yh,xw->bkhw", share, down, right))


def mean_over_shots(features: Tensor, heatmaps: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What each keypoint looks like on the supports together.

    Args:
        features: (B S, C, h, w), or (B, S, C, h, w).
        heatmaps: (B, S, K, H, W).
        weight: (B, S, K).

    Returns:
        (B, K, C), the mean over shots, 0 where the mask is; and the mask (B, K), 1 where all shots show the keypoint.
    """
    shots = weight.shape[:2]
    pooled = support_pooling(features.reshape(-1, *features.shape[-3:]), heatmaps.flatten(0, 1))
    mask = weight.prod(1)
    return pooled.unflatten(0, shots).mean(1) * mask[..., None], mask


def _enlarging(cells: int, enlarged: int, like: Tensor) -> Tensor:
    """Bilinear interpolation along one axis as a matrix (enlarged, cells)."""
    identity = torch.eye(cells, dtype=like.dtype, device=like.device)[None]
    return functional.interpolate(identity, enlarged, mode="linear", align_corners=False)[0].T
