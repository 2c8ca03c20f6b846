"""Links between keypoints as graphs, and layers that pass features along them.

From Hirschorn and Avidan 2024 (GraphCape).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posebed.contracts import Setting

# B batch, K keypoints, C channels


def linked_pairs(setting: Setting) -> Tensor:
    """(categories, K, K), true where a category has a link from row to column."""
    linked = torch.zeros(len(setting.categories), setting.keypoints, setting.keypoints, dtype=torch.bool)
    for number, category in enumerate(setting.categories):
        for a, b in category.limbs:
            linked[number, a, b] = True
    return linked


def pairs_of(count: int, links: Tensor) -> Mapping[str, Tensor]:
    """``linked_pairs`` of one category as the contract's ``LinkedSkeletons`` asks for it, under the name ``linked``."""
    a, b = (ends[:, None] == torch.arange(count, device=links.device) for ends in links.unbind(1))
    return {"linked": (a[:, :, None] & b[:, None]).any(0)[None]}


def given_links(linked: Tensor, mask: Tensor) -> Tensor:
    """(B, K, K): 1 where two keypoints that take part are linked in either direction, else 0.

    Args:
        linked: (B, K, K), true where a link is, in either direction.
        mask: (B, K), 1 for keypoints that take part.
    """
    return (linked | linked.transpose(1, 2)) * mask[:, :, None] * mask[:, None]


def shared_out(weights: Tensor) -> Tensor:
    """Weights (..., K, K) with each row divided by its sum; a row of zeros stays."""
    return weights / (weights.sum(-1, keepdim=True) + 1e-8)


def with_loops(weights: Tensor, mask: Tensor) -> Tensor:
    """(B, 2, K, K): links of each keypoint that takes part to itself, and the weights of the others, shared out."""
    return torch.stack([torch.diag_embed(mask), shared_out(weights)], 1)


class GraphFeedForward(nn.Module):
    """Two linear layers, of which the first, the second or both have one matrix for a keypoint itself and one for its
    neighbours."""

    def __init__(self, width: int, inner: int, dropout: float, first: bool = True, second: bool = False) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.linear1 = nn.Linear(width, inner * (1 + first))
        self.linear2 = nn.Linear(inner, width * (1 + second))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        """``x`` is (B, K, C), ``links`` as in ``with_loops``, from senders (rows) to receivers (columns)."""
        x = self.linear1(x)
        x = self.dropout((gathered(x, links) if self.first else x).relu())
        x = self.linear2(x)
        return gathered(x, links).relu() if self.second else x


def gathered(parts: Tensor, links: Tensor) -> Tensor:
    """(B, K, C) from (B, K, 2 C): what a keypoint says to itself, and what its neighbours say to it."""
    to_itself, to_others = parts.unflatten(2, (2, -1)).unbind(2)
    own, neighbour_links = links.to(parts.dtype).unbind(1)
    return own @ to_itself + neighbour_links.transpose(1, 2) @ to_others
