"""Annotated supports of several categories as a training set of their own, and how they vary from step to step.

Order and draws follow from seed and content alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from posebed.config import AugmentConfig
from posebed.data.augment import augmentation, draw, warp_torch
from posebed.pose import Keypoints
from posezoo.blocks.adaptation import Supports

# N pictures, K keypoints, H W the crops' height and width


class Samples(NamedTuple):
    image: Tensor
    """(N, 3, H, W)"""
    keypoints: Keypoints
    """(N, K)"""
    category: Tensor
    """(N,)"""


def joined(supports: Sequence[Supports], category: Sequence[int]) -> tuple[Samples, list[int]]:
    """The supports of several episodes, each of a category, in an order that their content decides; and a number for
    each that follows from it."""
    pairs = sorted(zip(supports, category, strict=True), key=lambda pair: (pair[0].digests, pair[1]))
    images, xy, weights, categories, digests = [], [], [], list[int](), list[int]()
    for each, of in pairs:
        images.append(each.image)
        xy.append(each.keypoints.xy)
        weights.append(each.keypoints.weight)
        categories += [of] * len(each.digests)
        digests += each.digests
    image = torch.cat(images)
    keypoints = Keypoints(torch.cat(xy), torch.cat(weights))
    return Samples(image, keypoints, torch.tensor(categories, device=image.device)), digests


def varied(
    samples: Samples,
    digests: Sequence[int],
    copies: Sequence[int],
    steps: int,
    augment: AugmentConfig,
    partner: Tensor,
    seed: int = 0,
) -> Iterator[Samples]:
    """The samples of each step: copies of each, turned, scaled, shifted and mirrored anew.

    Args:
        copies: of each sample in a step.
        partner: (categories, K) the keypoint that takes each one's place in the mirrored picture.
    """
    size, device = (samples.image.shape[2], samples.image.shape[3]), samples.image.device
    nowhere, half = np.zeros((steps, 1, 2)), np.zeros((steps, 1))
    places = [(n, copy) for n, number in enumerate(copies) for copy in range(number)]
    draws = [draw(np.random.default_rng([seed, digests[n], copy]), steps) for n, copy in places]
    changes = [augmentation(augment, each, size, nowhere, half) for each in draws]
    of = torch.tensor([n for n, _ in places], device=device)
    crops, category = samples.image[of].permute(0, 2, 3, 1), samples.category[of]
    xy, weight = samples.keypoints.xy[of], samples.keypoints.weight[of]
    for step in range(steps):
        affine = np.stack([change.affine[step] for change in changes])
        flipped = torch.tensor([bool(change.flipped[step]) for change in changes], device=device)
        matrix = torch.from_numpy(affine).to(xy)
        place = torch.where(flipped[:, None], partner[category], torch.arange(xy.shape[1], device=device))
        moved = xy @ matrix[..., :2].mT + matrix[:, None, :, 2]
        keypoints = Keypoints(moved.gather(1, place[..., None].expand_as(xy)), weight.gather(1, place))
        yield Samples(warp_torch(crops, affine, size), keypoints, category)
