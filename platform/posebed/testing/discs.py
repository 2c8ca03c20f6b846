"""Batches of pictures with coloured discs, one colour per keypoint: small, and learnable in seconds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from posebed.contracts import Setting, Task
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.records import Category

SIDE, SHOTS, SHOWN, PADDED = 64, 2, 4, 5
"""Of the crop, support pictures per query, keypoints, and keypoints with padding."""
COLOURS = np.array([[255, 40, 40], [40, 255, 40], [60, 60, 255], [255, 255, 40]])
SETTING = Setting((SIDE, SIDE), PADDED, (Category("blob", "blob", tuple("abcd")),))
SMALLER = Category("bit", "bit", ("a", "b"), limbs=((0, 1),))
TWO_KINDS = replace(SETTING, categories=(replace(SETTING.categories[0], limbs=((0, 1), (1, 2), (2, 3))), SMALLER))
EPISODES = [7, 7, 7, 2, 2, 4]
"""Numbers of the episodes of the queries of ``episodes``."""


def discs(count: int, generator: np.random.Generator) -> tuple[Tensor, Keypoints]:
    """Pictures (count, 3, H, W) and their keypoints, the last of which is padding."""
    points = generator.uniform(6, SIDE - 7, (count, SHOWN, 2))
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.full((count, SIDE, SIDE, 3), 90) + generator.integers(-20, 20, (count, SIDE, SIDE, 1))
    for keypoint in range(SHOWN):
        centre = points[:, keypoint, :, None, None]
        image[(x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2 < 16] = COLOURS[keypoint]
    xy = torch.zeros(count, PADDED, 2)
    xy[:, :SHOWN] = torch.from_numpy(points)
    weight = (torch.arange(PADDED) < SHOWN).float().expand(count, -1)
    return torch.from_numpy(image).byte().permute(0, 3, 1, 2).contiguous(), Keypoints(xy, weight)


def aspects(shape: int | tuple[int, int], seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.5, 2, shape))


def drawn(task: Task, count: int = 4, seed: int = 0) -> Batch:
    """A batch for the task; the queries of an episode batch have supports of their own."""
    generator = np.random.default_rng(seed)
    image, keypoints = discs(count, generator)
    category, row = torch.zeros(count, dtype=torch.int64), torch.arange(count)
    if task == Task.CATEGORY_SPECIFIC:
        return Batch(image, keypoints, category, row, aspect=aspects(count, seed))
    shown, points = discs(count * SHOTS, generator)
    shots = (count, SHOTS)
    support = Keypoints(points.xy.unflatten(0, shots), points.weight.unflatten(0, shots))
    boxes = {"aspect": aspects(count, seed), "support_aspect": aspects(shots, seed + 1)}
    return EpisodeBatch(image, keypoints, category, row, shown.unflatten(0, shots), support, **boxes)


def episodes() -> EpisodeBatch:
    """Queries of ``EPISODES``, the second of which is of the smaller kind; some supports hide keypoints."""
    one, queries = drawn(Task.CATEGORY_AGNOSTIC, 3), drawn(Task.CATEGORY_SPECIFIC, 6, seed=1)
    assert isinstance(one, EpisodeBatch)
    shown = one.support.weight.clone()
    shown[0, 0, 1] = shown[2, :, 3] = 0
    shown[1, :, 2:] = 0
    which = torch.tensor([0, 0, 0, 1, 1, 2])
    category = torch.tensor([0, 1, 0])[which]
    support = Keypoints(one.support.xy[which], shown[which])
    return EpisodeBatch(queries.image, queries.keypoints, category, queries.row, one.support_image[which], support)


def scattered(points: Keypoints, seed: int = 1) -> Keypoints:
    """The same, with keypoints of weight 0 put anywhere, outside the crop as well."""
    anywhere = torch.empty_like(points.xy).uniform_(-200, 200, generator=torch.Generator().manual_seed(seed))
    return replace(points, xy=torch.where(points.weight[..., None] > 0, points.xy, anywhere))


def reordered(points: Keypoints, order: list[int]) -> Keypoints:
    """The same keypoints in another order."""
    return Keypoints(points.xy[..., order, :], points.weight[..., order])
