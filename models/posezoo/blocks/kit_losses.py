"""KITPose's losses: squared errors that each cell weighs by its own error (arXiv 2502.18214)."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from posebed.on_device import numbers

# B batch, K keypoints, h w cells

_SHARPEN = {
    3: [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
    5: [[0, 0, -1, 0, 0], [0, -1, -2, -1, 0], [-1, -2, 16, -2, -1], [0, -1, -2, -1, 0], [0, 0, -1, 0, 0]],
    7: [
        [0, 0, -1, -1, -1, 0, 0],
        [0, -1, -3, -3, -3, -1, 0],
        [-1, -3, 0, 7, 0, -3, -1],
        [-1, -3, 7, 24, 7, -3, -1],
        [-1, -3, 0, 7, 0, -3, -1],
        [0, -1, -3, -3, -3, -1, 0],
        [0, 0, -1, -1, -1, 0, 0],
    ],
}
"""Laplacians by their side."""
_SCALE = {3: 1.0, 5: 1 / 4, 7: 1 / 6}
_REACH = 6
"""Radius of the blur in cells."""


def adaptive_loss(maps: Tensor, target: Tensor, weight: Tensor, beta: float) -> Tensor:
    """|error|^beta times the squared error, weighted by keypoint (B, K); mean over batch, keypoints and cells.

    The factor takes part in the gradient, so that this is |error|^(2 + beta).
    """
    error = (maps - target).abs().pow(2 + beta)
    return (error.mean((2, 3)) * weight).mean()


def ghrl(maps: Tensor, target: Tensor, beta: float = 2.0, sigma: float = 4.0, kernel: int = 3) -> Tensor:
    """The generalised heatmap regression loss of maps (B, K, h, w), 0 where they are the target.

    Maps are drawn to a sharpened and to a smoothed target, each cell as far as these differ from the target there,
    times |error|^beta. Where the target is flat nothing is asked of the maps: an empty target gives no gradient.
    """
    sharp, smooth = sharpened(target, kernel), smoothed(target, sigma)
    drawn = (maps - sharp).square() * (sharp - target).abs() + (maps - smooth).square() * (smooth - target).abs()
    return (drawn * (maps - target).abs().pow(beta)).mean()


def sharpened(maps: Tensor, kernel: int) -> Tensor:
    """The Laplacian of maps (B, K, h, w) that are 0 beyond their border."""
    laplacian = _SCALE[kernel] * numbers([*chain(*_SHARPEN[kernel])], maps).view(kernel, kernel)
    alone = maps.flatten(0, 1)[:, None]
    return functional.conv2d(alone, laplacian[None, None], padding=kernel // 2).view_as(maps)


def smoothed(maps: Tensor, sigma: float) -> Tensor:
    """Maps (B, K, h, w) blurred by a Gaussian, mirrored at their border."""
    height, width = maps.shape[-2:]
    return _blur(height, sigma, maps) @ maps @ _blur(width, sigma, maps).mT


def _blur(cells: int, sigma: float, like: Tensor) -> Tensor:
    """Blurring along one axis as a matrix (cells, cells)."""
    reach = min(_REACH, cells - 1)
    exact = {"dtype": torch.float64, "device": like.device}
    kernel = torch.exp(-(torch.arange(-reach, reach + 1, **exact) ** 2) / (2 * sigma**2))
    mirrored = functional.pad(torch.eye(cells, **exact)[:, None], (reach, reach), mode="reflect")
    # Column by column, what the blur makes of a single cell.
    band = functional.conv1d(mirrored, (kernel / kernel.sum())[None, None])[:, 0].mT
    return band.to(like)
