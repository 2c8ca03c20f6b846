"""Points in few groups: k-medoids and k-means, for a whole batch at once and without gradients.

Both start from the same seeds (Katsavounidis, Kuo and Zhang 1994): a first point that the caller names, then again and
again the point that is furthest from all seeds so far.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from posebed.on_device import may_follow_data

# B batch, N points, C features, k groups

ROUNDS = 40


@torch.no_grad()
def k_medoids(distance: Tensor, first: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Each group is the points nearest to its medoid, the member with the smallest sum of distances to the others.

    Args:
        distance: (B, N, N), not negative.
        first: (B,) the first seed.
        count: k, at most N.

    Returns:
        The group of every point (B, N), and the medoids (B, k), in ascending order. No group is empty. Of equal sums
        and distances the first counts.
    """
    distance = _nearest_to_itself(distance)
    medoids = _seeds(distance, first, count)
    for _ in range(ROUNDS):
        members = functional.one_hot(_nearest(distance, medoids), count)
        sums = distance @ members.to(distance.dtype)
        better = sums.masked_fill(members == 0, torch.inf).argmin(1)
        if _settled(better, medoids):
            break
        medoids = better
    medoids = medoids.sort(1).values
    return _nearest(distance, medoids), medoids


@torch.no_grad()
def k_means(points: Tensor, first: Tensor, count: int) -> Tensor:
    """The group (B, N) of every point of unit length (B, N, C) by cosine distance to the groups' means.

    Groups are in the order of their seeds; ``first`` and ``count`` are those of ``k_medoids``.
    """
    seeds = _seeds(_nearest_to_itself(cosine_distance(points)), first, count).sort(1).values
    centres = _rows(points, seeds)
    group = torch.zeros_like(points[..., 0], dtype=torch.int64)
    for _ in range(ROUNDS):
        better = (points @ centres.mT).argmax(2)
        if _settled(better, group):
            break
        group = better
        centres = functional.normalize(functional.one_hot(group, count).to(points.dtype).mT @ points, dim=2)
    return group


def cosine_distance(points: Tensor) -> Tensor:
    """(B, N, N), 0 to 2, between points of unit length (B, N, C); exactly symmetric."""
    product = points @ points.mT
    return (1 - (product + product.mT) / 2).clamp(min=0)


def hops(links: Tensor) -> Tensor:
    """Steps (N, N) from point to point over links (N, N) of 0 and 1; N where no way leads."""
    count = len(links)
    steps = torch.full((count, count), float(count)).masked_fill(links > 0, 1).fill_diagonal_(0)
    for through in range(count):
        steps = torch.minimum(steps, steps[:, through, None] + steps[through])
    return steps


def _settled(better: Tensor, last: Tensor) -> bool:
    """Whether all further rounds are known to change nothing."""
    return may_follow_data(better) and torch.equal(better, last)


def _rows(of: Tensor, index: Tensor) -> Tensor:
    """(B, N, C) and (B, n) to (B, n, C)."""
    return of.gather(1, index[..., None].expand(-1, -1, of.shape[2]))


def _nearest_to_itself(distance: Tensor) -> Tensor:
    """With exactly -1 on the diagonal: medoids stay apart even where points coincide, and a pair of points is a tie."""
    itself = torch.eye(distance.shape[1], dtype=torch.bool, device=distance.device)
    return distance.masked_fill(itself, -1)


def _seeds(distance: Tensor, first: Tensor, count: int) -> Tensor:
    """(B, k)"""
    seeds = [first]
    to_nearest = _rows(distance, first[:, None])[:, 0]
    while len(seeds) < count:
        seeds.append(to_nearest.argmax(1))
        to_nearest = torch.minimum(to_nearest, _rows(distance, seeds[-1][:, None])[:, 0])
    return torch.stack(seeds, 1)


def _nearest(distance: Tensor, medoids: Tensor) -> Tensor:
    """(B, N) which medoid."""
    return _rows(distance, medoids).argmin(1)
