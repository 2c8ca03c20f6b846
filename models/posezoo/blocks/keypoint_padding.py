"""Keypoints between keypoints: the slots that a skeleton leaves free are filled with points on its links.

From Chen et al. 2025 (FMMP, keypoint mixup padding). All pictures of a sample are filled in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn import functional

from posebed.contracts import Setting
from posebed.pose import Keypoints
from posezoo.blocks.neighbours import nearest_on_graph
from posezoo.blocks.slots import must_suffice

# B batch, S pictures of a sample, K slots

Mode = Literal["mixup", "equal", "zero"]


@dataclass(frozen=True)
class Padding:
    """What the slots of a batch hold."""

    ends: Tensor
    """(B, K, 2), the keypoints that a mixed point lies between; elsewhere the slot itself, twice."""
    share: Tensor
    """(B, K), of the first end."""
    mixed: Tensor
    """(B, K), true where the slot holds a point between keypoints."""
    links: Tensor
    """(B, K, K), in both directions: the order of the links, then of the chains of points on them, in which they are
    followed; infinite where there is none."""

    def fill(self, keypoints: Keypoints) -> Keypoints:
        """(B, S, n) to (B, S, K); a mixed point is visible where both its ends are."""
        free = self.share.shape[1] - keypoints.weight.shape[2]
        xy, weight = functional.pad(keypoints.xy, (0, 0, 0, free)), functional.pad(keypoints.weight, (0, free))
        (a, shown_a), (b, shown_b) = (_at(end, xy, weight) for end in self.ends.unbind(2))
        share = self.share[:, None, :, None]
        return Keypoints(share * a + (1 - share) * b, torch.minimum(shown_a, shown_b))

    def neighbours(self, visible: Tensor, count: int, *, hidden_too: bool) -> Tensor:
        """(B, S, K, count), for each of S pictures as in ``nearest_on_graph``.

        Args:
            visible: (B, S, K).
            hidden_too: whether keypoints that are hidden may be listed. Mixed ones never are.
        """
        listed = visible | ~self.mixed[:, None] if hidden_too else visible
        links = self.links[:, None].masked_fill(~listed[:, :, None], torch.inf)
        return nearest_on_graph(links.flatten(0, 1), visible.flatten(0, 1), count).unflatten(0, visible.shape[:2])


class KeypointPadding(nn.Module):
    """Fills skeletons up to a number of slots. A category without links has nothing to mix: its slots stay free."""

    count: Tensor
    limbs: Tensor
    ends: Tensor
    links: Tensor
    fixed: Tensor

    def __init__(self, setting: Setting, slots: int, alpha: float = 1.0, reverse: bool = False) -> None:
        """
        Args:
            alpha: of the Beta distribution that shares are drawn from; the larger, the nearer to the middle.
            reverse: link the points of a chain from the wrong end, as the released code does: the one nearest to
                an end of the link is chained to the other end.

        Raises:
            ValueError: a category has more keypoints than slots.
        """
        super().__init__()
        must_suffice(slots, setting)
        self.slots, self.alpha, self.reverse = slots, alpha, reverse
        categories = setting.categories
        limbs = [len(category.limbs) for category in categories]
        ends = torch.zeros(len(categories), max([1, *limbs]), 2, dtype=torch.int64)
        links = torch.full((len(categories), slots, slots), -1)
        for number, category in enumerate(categories):
            # The first of several links between two keypoints is the one that counts.
            for order, (a, b) in reversed([*enumerate(category.limbs)]):
                ends[number, order] = torch.tensor((a, b))
                links[number, a, b] = links[number, b, a] = order
        draws = np.random.default_rng(0)
        fixed = np.stack([draws.random(slots), draws.beta(alpha, alpha, slots)])
        self.register_buffer("count", torch.tensor([len(c.keypoints) for c in categories]), persistent=False)
        self.register_buffer("limbs", torch.tensor(limbs), persistent=False)
        self.register_buffer("ends", ends, persistent=False)
        self.register_buffer("links", links, persistent=False)
        self.register_buffer("fixed", torch.tensor(fixed, dtype=torch.get_default_dtype()), persistent=False)

    def buffers_of(self, count: int, links: Tensor) -> dict[str, Tensor]:
        """What the buffers hold where there is one category, of so many keypoints, with ``links`` (L, 2) of which a row
        of -1 is none."""
        slot = torch.arange(self.slots, device=links.device)
        a, b = (ends[:, None] == slot for ends in links.unbind(1))
        linked = a[:, :, None] & b[:, None] | b[:, :, None] & a[:, None]
        order = torch.arange(links.shape[0], device=links.device)[:, None, None]
        first = torch.where(linked, order, links.shape[0]).amin(0)
        return {
            "count": torch.full((1,), count, device=links.device),
            "limbs": (links[:, 0] >= 0).sum()[None],
            "ends": links.clamp(min=0)[None],
            "links": torch.where(linked.any(0), first, -1)[None],
        }

    def forward(self, category: Tensor, mode: Mode) -> Padding:
        """For a batch of categories (B,). Training draws every sample's mixup anew from torch's generator; otherwise
        the draws are the same for all samples and always."""
        slot = torch.arange(self.slots, device=category.device)
        count, limbs = self.count[category, None], self.limbs[category, None]
        if mode == "zero":
            link, share = torch.full_like(slot - count, -1), self.fixed.new_zeros(1)
        elif mode == "equal":
            link, share = equally_divided(slot - count, self.slots - count, limbs)
        else:
            edge, share = (
                self._draws(category) if self.training else self.fixed[:, None].expand(-1, *category.shape, -1)
            )
            chosen = torch.minimum((edge * limbs).long(), limbs - 1)
            link = torch.where(slot >= count, chosen, -1)
            link, share = in_order(link, share)
        return self.along(category, link, share)

    def _draws(self, category: Tensor) -> tuple[Tensor, Tensor]:
        """Where along the list of links and where along the link, (B, K) both, from 0 to 1."""
        alpha = self.fixed.new_full((), self.alpha)
        shape = (len(category), self.slots)
        # Validating arguments looks at their values.
        return torch.rand(shape, device=category.device), Beta(alpha, alpha, validate_args=False).sample(shape)

    def along(self, category: Tensor, link: Tensor, share: Tensor) -> Padding:
        """Points on links, those of one link chained together in the order of their slots.

        Args:
            category: (B,).
            link: (B, K), the number of each slot's link in its category, -1 where it has none.
            share: (B, K), rising along the slots of a link.
        """
        slot, mixed = torch.arange(self.slots, device=link.device), link >= 0
        ends = self.ends[category].gather(1, link.clamp(min=0)[..., None].expand(-1, -1, 2))
        together = (link[:, :, None] == link[:, None]) & mixed[:, None]
        # How many points of the same link come before.
        rank = together.tril(-1).sum(2)
        near, far = ends[..., None].eq(slot).unbind(2)
        back = together & (rank[:, :, None] == rank[:, None] + 1) | near & (mixed & (rank == 0))[..., None]
        onward = far & (mixed & (rank == together.sum(2) - 1))[..., None]
        order = self.ends.shape[1] + 2.0 * slot[:, None]
        chained = torch.where(back, order, torch.where(onward, order + 1, torch.inf))
        links = self.links[category]
        links = torch.where(links < 0, torch.minimum(chained, chained.transpose(1, 2)), links)
        share = torch.where(mixed, share if self.reverse else 1 - share, 1.0)
        return Padding(torch.where(mixed[..., None], ends, slot[:, None]), share, mixed, links)


def equally_divided(free: Tensor, room: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
    """As many points on every link as fit on all; what is left stays free.

    Args:
        free: (B, K), the slot's number among the free ones, below 0 for keypoints.
        room: (B, 1), how many slots are free.
        links: (B, 1), how many links there are.

    Returns:
        Link and share as in ``KeypointPadding.along``.
    """
    each = room // links.clamp(min=1)
    link = torch.where((free >= 0) & (free < each * links), free // each.clamp(min=1), -1)
    return link, (free % each.clamp(min=1) + 1) / (each + 1)


def in_order(link: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Slots (B, K) sorted by link, and the shares of each link's slots among themselves; -1 comes first."""
    slots = link.shape[1]
    link = link.sort(1).values
    share, order = share.sort(1)
    # Slots of one link stay in the order of their shares: not every runtime has a stable sort.
    key = (slots * link.gather(1, order) + torch.arange(slots, device=link.device)).sort(1).values
    return key // slots, share.gather(1, key % slots)


def _at(index: Tensor, xy: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    index = index[:, None].expand(-1, weight.shape[1], -1)
    return xy.gather(2, index[..., None].expand(-1, -1, -1, 2)), weight.gather(2, index)
