"""Episodes of random pictures, in which the first keypoints are shown and the others hidden or padded."""

from __future__ import annotations

import torch
from torch import Tensor

from posebed.pose import EpisodeBatch, Keypoints

SIDE, SHOTS, SHOWN, PADDED = 64, 2, 4, 6


def episodes(shots: int = SHOTS, keypoints: int = PADDED, count: int = 2) -> EpisodeBatch:
    """Always the same; with fewer ``keypoints`` the others are cut off."""
    random = torch.Generator().manual_seed(1)
    shown = (torch.arange(keypoints) < SHOWN).float()

    def points(*shape: int) -> Keypoints:
        xy = torch.empty(*shape, PADDED, 2).uniform_(4, SIDE - 5, generator=random)
        return Keypoints(xy[..., :keypoints, :], shown.expand(*shape, -1).clone())

    def images(*shape: int) -> Tensor:
        return torch.randint(0, 256, (*shape, 3, SIDE, SIDE), generator=random, dtype=torch.uint8)

    rows = torch.zeros(count, dtype=torch.int64)
    return EpisodeBatch(images(count), points(count), rows, rows, images(count, shots), points(count, shots))
