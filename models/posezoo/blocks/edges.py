"""Links with learned weights: predicted from the supports, and looked at by attention as distances in the graph.

From Hirschorn and Avidan 2024 (EdgeCape).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.graph import GraphFeedForward, shared_out, with_loops
from posezoo.blocks.layout import tokens_outermost
from posezoo.blocks.matching import unseen
from posezoo.blocks.precision import at_least_single
from posezoo.blocks.refinement import RefinementLayer

# B batch, S shots, K keypoints, C channels, h w cells of the picture, H heads


@dataclass(frozen=True)
class Edges:
    """What a layer knows of the links between keypoints."""

    messages: Tensor
    """(B, 2, K, K), as in ``graph.with_loops``, from senders (columns) to receivers (rows)."""
    powers: Tensor | None = None
    """(hops + 1, B, K, K), as in ``walks``."""


def walks(weights: Tensor, hops: int) -> Tensor:
    """(hops + 1, B, K, K): the chance to be at a column after 0, 1 ... steps from a row, along weights (B, K, K)."""
    step = shared_out(weights)
    powers = [torch.eye(step.shape[-1], dtype=step.dtype, device=step.device).expand_as(step)]
    for _ in range(hops):
        powers.append(powers[-1] @ step)
    return torch.stack(powers)


def similarity(tokens: Tensor) -> Tensor:
    """(B, K, K), the cosine of each pair of tokens (B, K, C)."""
    unit = at_least_single(tokens)
    unit = unit / (unit.norm(dim=2, keepdim=True) + 1e-8)
    return unit @ unit.transpose(1, 2)


class EdgeFeedForward(GraphFeedForward):
    """Its first layer averages over neighbours, where GraphCape's sums what they share out."""

    def forward(self, x: Tensor, links: Edges) -> Tensor:
        return super().forward(x, links.messages.transpose(2, 3))


class StructuralAttention(nn.Module):
    """Self-attention whose logits have a bias for each head: a small network of the walks between two keypoints."""

    def __init__(self, width: int, heads: int, dropout: float, hops: int | None) -> None:
        """Without ``hops`` there is no bias."""
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.structural = None
        if hops is not None:
            layers = nn.Linear(hops + 1, hops + heads), nn.ReLU(), nn.Linear(hops + heads, heads)
            self.structural = nn.Sequential(*layers)

    def scale_start(self) -> None:
        """From Xavier's weights of each projection to those of all three in one matrix, as attention starts in torch;
        its biases are 0."""
        with torch.no_grad():
            for layer in (self.q_proj, self.k_proj, self.v_proj):
                layer.weight.mul_(2**-0.5)
            for layer in (self.q_proj, self.k_proj, self.v_proj, self.out_proj):
                layer.bias.zero_()

    def forward(self, x: Tensor, hidden: Tensor, powers: Tensor | None) -> Tensor:
        """
        Args:
            x: (B, K, C).
            hidden: (B, K), True for keypoints to look away from.
            powers: (hops + 1, B, K, K), or None to look without bias.
        """
        looks = functional.dropout(self._looks(x, hidden, powers), self.dropout, self.training)
        value = self._by_head(self.v_proj(x))
        return self.out_proj((looks.to(value.dtype) @ value).transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, hidden: Tensor, powers: Tensor | None) -> Tensor:
        """(B, K, K), how much each row looks at each column; mean over heads."""
        return self._looks(x, hidden, powers).mean(1)

    def _looks(self, x: Tensor, hidden: Tensor, powers: Tensor | None) -> Tensor:
        """The same of each head, (B, H, K, K)."""
        q, k = self._by_head(self.q_proj(x)), self._by_head(self.k_proj(x))
        logits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        return (logits + self.bias(hidden, powers)).softmax(3)

    def bias(self, hidden: Tensor, powers: Tensor | None) -> Tensor:
        """(B, H, K, K), or (B, 1, 1, K) without powers; minus infinity for hidden columns."""
        bias = self.out_proj.weight.new_zeros(1)
        if powers is not None and self.structural is not None:
            bias = self.structural(powers.permute(1, 2, 3, 0)).permute(0, 3, 1, 2)
        return bias.masked_fill(hidden[:, None, None], -torch.inf)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class StructuralLayer(RefinementLayer):
    """A layer of the refinement in which keypoints see each other by what they are and how they are linked, not by
    where they are."""

    def __init__(self, width: int, heads: int, feed_forward: nn.Module, dropout: float, hops: int | None) -> None:
        super().__init__(width, heads, feed_forward, dropout)
        self.self_attn = StructuralAttention(width, heads, dropout, hops)

    def among_keypoints(self, x: Tensor, position: Tensor, hidden: Tensor, links: Edges) -> Tensor:
        return self.self_attn(x, hidden, links.powers)


class PredictorLayer(nn.Module):
    """A layer of the refinement whose keypoints are nowhere, and whose picture looks back at them."""

    def __init__(self, width: int, heads: int, feed_forward: nn.Module, dropout: float) -> None:
        super().__init__()
        self.refinement = RefinementLayer(width, heads, feed_forward, dropout)
        self.looking_back = nn.MultiheadAttention(2 * width, heads, dropout, vdim=width, batch_first=True)
        self.looking_back_choker = nn.Linear(2 * width, width)
        self.norm4 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, cells: Tensor, code: Tensor, hidden: Tensor, unlooked: Tensor, links: Edges
    ) -> tuple[Tensor, Tensor]:
        """
        Args:
            x: (B, K, C).
            cells, code: (B, h w, C).
            hidden: (B, K), True for keypoints that the others must not see.
            unlooked: the same for the picture, or what is added to its logits.

        Returns:
            Keypoints and cells, both refined.
        """
        nowhere, placed = torch.zeros_like(x), torch.cat([cells, code], 2)
        x = self.refinement(x, nowhere, cells, placed, hidden, links)
        keys = torch.cat([x, nowhere], 2)
        looked = map(tokens_outermost, (placed, keys, x))
        seen, _ = self.looking_back(*looked, key_padding_mask=unlooked, need_weights=False)
        return x, self.norm4(cells + self.dropout(self.looking_back_choker(seen)))


EdgeScale = Literal["zero", "positive", "random"]
POSITIVE = 0.1
"""The scale that a predictor starts from that is to learn from the first step."""


class EdgeWeights(nn.Module):
    """From given links to weights: what tokens have in common is scaled, moved and added to them."""

    def __init__(self, start: EdgeScale) -> None:
        """``start`` of the scale: 0, ``POSITIVE``, or Xavier's uniform number.

        At 0 and below, pairs without a link lie at or under the kink of the rectifier and pass no gradient: the sign of
        the first steps then decides whether the predictor learns at all.
        """
        super().__init__()
        first = POSITIVE if start == "positive" else 0.0
        self.scale, self.offset = nn.Parameter(torch.full((1,), first)), nn.Parameter(torch.zeros(1))
        if start == "random":
            nn.init.xavier_uniform_(self.scale[None])

    def forward(self, tokens: Tensor, links: Tensor, mask: Tensor) -> Tensor:
        """(B, K, K) of 0 and more, that of a keypoint with itself included.

        Args:
            tokens: (B, K, C).
            links: (B, K, K), as in ``graph.given_links``.
            mask: (B, K), 1 for keypoints that take part; the others' rows and columns are 0.
        """
        weights = (links + self.scale * similarity(tokens) + self.offset).relu()
        return weights * mask[:, :, None] * mask[:, None]


class EdgePredictor(nn.Module):
    """Looks at keypoints in each support picture, and tells which belong together."""

    def __init__(
        self,
        layers: int,
        *,
        channels: int,
        width: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        slots: int,
        start: EdgeScale,
    ) -> None:
        """
        Args:
            channels: of the support maps.
            slots: 0 to hide from the picture the keypoints that no support shows; otherwise it sees them, and padding
                up to so many keypoints.
            start: as in ``EdgeWeights``.
        """
        super().__init__()
        self.slots = slots
        self.image_project = nn.Conv2d(channels, width, 1)
        self.layers = nn.ModuleList(
            PredictorLayer(width, heads, EdgeFeedForward(width, feed_forward, dropout), dropout) for _ in range(layers)
        )
        self.weights = EdgeWeights(start)
        last = self.layers[-1]
        # Nobody sees the picture that the last layer leaves; released weights have these layers nonetheless.
        for unused in (last.looking_back, last.looking_back_choker, last.norm4):
            unused.requires_grad_(False)

    def forward(
        self, tokens: Tensor, maps: Tensor, code: Tensor, links: Tensor, mask: Tensor, padding: Tensor
    ) -> Tensor:
        """
        Args:
            tokens: (B, K, C), of the supports together.
            maps: (B, S, channels, h, w), of their pictures.
            code: (h w, C), of the cells.
            links, mask: as in ``EdgeWeights``.
            padding: (C,), the token of a keypoint that is not there.

        Returns:
            (B, K, K), as ``EdgeWeights``.
        """
        count, shots = tokens.shape[1], maps.shape[1]
        given, hidden = with_loops(links, mask), unseen(mask)
        if self.slots:
            tokens = torch.cat([tokens, padding.to(tokens.dtype).expand(tokens.shape[0], 1, -1)], 1)
            given, hidden = functional.pad(given, (0, 1, 0, 1)), functional.pad(hidden, (0, 1), value=True)
        # Each picture has a copy of all.
        x, given, hidden = (
            part[:, None].expand(-1, shots, *part.shape[1:]).flatten(0, 1) for part in (tokens, given, hidden)
        )
        cells = self.image_project(maps.flatten(0, 1)).flatten(2).transpose(1, 2)
        code = code.to(cells.dtype).expand_as(cells)
        unlooked = self._unlooked(count, cells).expand(x.shape[0], -1) if self.slots else hidden
        for layer in self.layers:
            x, cells = layer(x, cells, code, hidden, unlooked, Edges(given))
        return self.weights(x.narrow(1, 0, count).unflatten(0, maps.shape[:2]).mean(1), links, mask)

    def _unlooked(self, count: int, like: Tensor) -> Tensor:
        """(K + 1,), added to logits: nothing is hidden, and the last token counts as often as there is padding, all of
        which is alike."""
        seen = like.new_zeros(count)
        # Counted as a tensor, so that exported files take any number of keypoints.
        more = (self.slots - (seen + 1).sum()).clamp(min=0)
        return torch.cat([seen, more.log()[None]])
