"""The contrast between what a picture shows at its keypoints and the prompts of these keypoints."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from posebed.on_device import numbers

# B batch, K keypoints, h w map, D the joint space of pictures and texts

Size = tuple[int, int]


def sampled(maps: Tensor, xy: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Features where the keypoints are, interpolated bilinearly between the centres of cells.

    Args:
        maps: (B, D, h, w).
        xy: (B, K, 2) in pixels of the crop.
        size: height and width of the crop.

    Returns:
        (B, K, D), and (B, K), whether the keypoint lies in the crop.
    """
    corner = numbers(size[::-1], xy)
    place = (2 * xy + 1) / corner - 1
    features = functional.grid_sample(maps, place[:, :, None], padding_mode="border", align_corners=False)
    return features[..., 0].mT, (place.abs() <= 1).all(-1)


def at_cells(maps: Tensor, xy: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Features of the cells that CLAMP's code takes for the keypoints' own, 0 where that lies outside the map;
    arguments and results as in ``sampled``."""
    height, width = maps.shape[2:]
    cell, counts = cells(xy, size, (height, width))
    inside = ((cell >= 0) & (cell < numbers([width, height], cell))).all(-1)
    column, row = torch.where(inside[..., None], cell, 0).unbind(-1)
    features = maps.flatten(2).mT.take_along_dim((row * width + column)[..., None], 1)
    return features * inside[..., None], counts


def cells(xy: Tensor, size: Size, grid: Size) -> tuple[Tensor, Tensor]:
    """Column and row (B, K, 2) of each keypoint in CLAMP's code, and whether it counts there, (B, K).

    The code rounds, draws a Gaussian in a patch that reaches a cell and a half, and takes the cell where it is 1.
    As the patch's corner is rounded towards 0, columns and rows 0 and 1 become 1 and 2; keypoints count as long as
    their patch meets the map.
    """
    shape = numbers(grid[::-1], xy)
    nearest = (xy * shape / numbers(size[::-1], xy) + 0.5).trunc()
    corner = (nearest - 1.5).trunc()
    counts = ((corner < shape) & (nearest + 2.5 >= 0)).all(-1)
    return corner.long() + 2, counts


def contrast(features: Tensor, prompts: Tensor, weight: Tensor, scale: Tensor, mask: bool) -> Tensor:
    """Cross-entropy of finding each keypoint's prompt by its feature, and its feature by its prompt: half of both,
    mean over all keypoints of the batch, those without weight too.

    Args:
        features: (B, K, D).
        prompts: (B, K, D).
        weight: (B, K), 0 or 1.
        scale: of the cosines.
        mask: keypoints without weight are neither looked for nor taken for others. Otherwise they are there to be
            mistaken for, with features of 0.
    """
    directions = functional.normalize(features, dim=2) * weight[..., None]
    likeness = scale * directions @ functional.normalize(prompts, dim=2).mT
    if mask:
        both = (weight[:, :, None] > 0) & (weight[:, None] > 0)
        own = torch.eye(weight.shape[1], dtype=torch.bool, device=weight.device)
        # The diagonal stays, so that a row without any other has a cross-entropy of 0.
        likeness = likeness.masked_fill(~(both | own), float("-inf"))
    own = likeness.diagonal(dim1=1, dim2=2)
    wrong = (likeness.logsumexp(1) + likeness.logsumexp(2)) / 2 - own
    return (wrong * weight).mean()
