"""Which keypoints lie next to one another on a skeleton, for every sample of a batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

# N skeletons, K keypoints


def nearest_on_graph(links: Tensor, visible: Tensor, count: int) -> Tensor:
    """For every keypoint itself, then others in breadth-first order over the links.

    The search goes on from visible keypoints alone, but lists the hidden ones that it meets. Where it finds fewer than
    ``count``, the keypoint itself fills the list.

    Args:
        links: (N, K, K), the order in which a keypoint's links are followed; infinite where there is none.
        visible: (N, K), true for keypoints that the search goes on from.
        count: length of the lists.

    Returns:
        (N, K, count), numbers of keypoints.
    """
    number = torch.arange(links.shape[1], device=links.device)
    ways = links.masked_fill(~visible[:, :, None], torch.inf)
    # A search per keypoint (second axis) takes, step by step, the one that it met first (last axis).
    own = (number[:, None] == number).expand_as(links)
    met, taken, lists = torch.where(own, 0.0, torch.inf), torch.zeros_like(own), []
    steps = torch.where(links.isfinite(), links, 0.0).max() + 1
    for turn in range(count):
        soonest, keypoint = met.min(2)
        reachable = soonest.isfinite()
        lists.append(torch.where(reachable, keypoint, number))
        taken = taken | ((number == keypoint[..., None]) & reachable[..., None])
        reached = ways.gather(1, keypoint[..., None].expand_as(ways)).masked_fill(~reachable[..., None], torch.inf)
        met = torch.minimum(met, (turn + 1) * steps + reached).masked_fill(taken, torch.inf)
    return torch.stack(lists, 2)


def picked(points: Tensor, lists: Tensor) -> Tensor:
    """(N, K, 2) and (N, K, count) to the listed keypoints' points (N, K, count, 2)."""
    return points.gather(1, lists.flatten(1)[..., None].expand(-1, -1, 2)).unflatten(1, lists.shape[1:])
