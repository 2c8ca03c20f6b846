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


def _enlarging(cells: int, enlarged: int, like: Tensor) -> Tensor:
    """Bilinear interpolation along one axis as a matrix (enlarged, cells)."""
    identity = torch.eye(cells, dtype=like.dtype, device=like.device)[None]
    return functional.interpolate(identity, enlarged, mode="linear", align_corners=False)[0].T
