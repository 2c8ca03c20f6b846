"""Which keypoints make a body part: those whose feature slices are alike, or those that are near on the skeleton."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from posebed.contracts import Setting
from posebed.records import Category
from posezoo.blocks.clustering import cosine_distance, hops, k_means, k_medoids

Clustering = Literal["k-medoids", "k-means", "skeleton"]


class KeypointGroups(nn.Module):
    table: Tensor
    """(categories, K) the groups of ``skeleton``."""

    def __init__(self, method: Clustering, parts: int, setting: Setting) -> None:
        """``parts`` groups.

        Raises:
            ValueError: a category has fewer keypoints than groups, or no links where the skeleton decides.
        """
        super().__init__()
        self.method, self.parts = method, parts
        for category in setting.categories:
            _require(category, method, parts)
        if method == "skeleton":
            rows = [_on_skeleton(category, parts, setting.keypoints) for category in setting.categories]
            self.register_buffer("table", torch.stack(rows), persistent=False)

    @torch.no_grad()
    def forward(self, slices: Tensor, category: Tensor) -> Tensor:
        """(B, K, h, w) and (B,) to the group of every keypoint (B, K)."""
        if self.method == "skeleton":
            return self.table[category]
        if torch.compiler.is_exporting():  # which is done in full precision, and no file of torch keeps the switch
            return self._clusters(slices.flatten(2))
        # Half precision would leave too little of a difference between alike slices.
        with torch.autocast(slices.device.type, enabled=False):
            return self._clusters(slices.flatten(2))

    def _clusters(self, points: Tensor) -> Tensor:
        """(B, K, C) to (B, K)."""
        length = points.norm(dim=2)
        directions, first = points / (length[..., None] + 1e-6), length.argmax(1)
        if self.method == "k-means":
            return k_means(directions, first, self.parts)
        return k_medoids(cosine_distance(directions), first, self.parts)[0]


def _require(category: Category, method: Clustering, parts: int) -> None:
    count = len(category.keypoints)
    if count < parts:
        raise ValueError(
            f"parts must be at most the number of keypoints, but is {parts} where category {category.key!r} has "
            f"{count}; choose 0 to {count}"
        )
    if method == "skeleton" and not category.limbs:
        raise ValueError(
            f"clustering 'skeleton' must find links between keypoints, but category {category.key!r} has none; choose "
            "'k-medoids' or 'k-means'"
        )


def _on_skeleton(category: Category, parts: int, keypoints: int) -> Tensor:
    """(K,) groups by steps along the links, first that of the most remote keypoint; padding is in group 0."""
    count = len(category.keypoints)
    links = torch.zeros(count, count)
    for a, b in category.limbs:
        links[a, b] = links[b, a] = 1
    steps = hops(links)[None]
    group, _ = k_medoids(steps, steps.sum(2).argmax(1), parts)
    return functional.pad(group[0], (0, keypoints - count))
