"""An inferred skeleton: links between keypoints, estimated from their appearance and position.

From Ren et al. 2024 (SDPNet, equations 3 and 8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.precision import at_least_single

# B batch, K keypoints, C channels, M embedding spaces

Sparsity = Literal["gates", "relu", "entropy", "off_diagonal", "printed"]


class AttentionScores(nn.Module):
    """How much keypoint i asks for keypoint j, in several embedding spaces."""

    def __init__(self, width: int, spaces: int) -> None:
        super().__init__()
        self.spaces = spaces
        self.target, self.source = (nn.Linear(width, width, bias=False) for _ in range(2))

    def forward(self, x: Tensor, shown: Tensor) -> Tensor:
        """(B, K, C) to (B, M, K, K)."""
        target, source = (
            layer(x).unflatten(2, (self.spaces, -1)).transpose(1, 2) for layer in (self.target, self.source)
        )
        return target @ source.transpose(2, 3) / source.shape[-1] ** 0.5


class ConcatenationScores(nn.Module):
    """Regressed from both keypoints' tokens, one after the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # The first layer on two tokens in a row is the sum of a layer on each.
        self.target, self.source = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor, shown: Tensor) -> Tensor:
        pairs = self.target(x)[:, :, None] + self.source(x)[:, None]
        return self.score(pairs.relu())[..., 0][:, None]


class GlobalScores(nn.Module):
    """The whole matrix regressed from the mean of all tokens: links between indices."""

    def __init__(self, width: int, slots: int) -> None:
        super().__init__()
        self.slots = slots
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, slots * slots))

    def forward(self, x: Tensor, shown: Tensor) -> Tensor:
        mean = mean_over_keypoints(x, shown)
        keypoints = x.shape[1]
        return self.layers(mean).unflatten(1, (1, self.slots, self.slots))[..., :keypoints, :keypoints]


class Structure(nn.Module):
    """Scores as a graph whose rows sum to 1, and how dense it is.

    Equation 3 sums softmaxes over j, and equation 8 takes the mean over all pairs of that sum: a constant, which no
    training can lower. That form is ``printed``; the others are such that it can:

    ================  ==============================  ==========================================
    form              links before rows are scaled    of which the mean over pairs is taken
    ================  ==============================  ==========================================
    ``gates``         sigmoid, sum over spaces        the same
    ``relu``          ReLU, sum over spaces           the same
    ``entropy``       softmax, sum over spaces        -a log a of the scaled links a
    ``off_diagonal``  softmax, sum over spaces        the same, without a keypoint's link to itself
    ================  ==============================  ==========================================

    The first two can also be lowered by links that are all fainter, which changes no scaled row.
    """

    def __init__(self, scores: nn.Module, form: Sparsity) -> None:
        super().__init__()
        self.scores = scores
        self.form, self.cost = _FORMS[form]

    def forward(self, x: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            x: (B, K, C).
            shown: (B, K), 1 or 0; who is not shown has no links.

        Returns:
            (B, K, K), row i telling whom keypoint i hears; and (B,), the mean over pairs that are shown.
        """
        pairs = shown[:, :, None] * shown[:, None]
        scores = at_least_single(self.scores(x, shown))
        scores = scores.masked_fill(pairs[:, None] == 0, torch.finfo(scores.dtype).min)
        links, graph = (matrix * pairs for matrix in self.form(scores))
        return graph, self.cost(links, graph).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)


def mean_over_keypoints(x: Tensor, shown: Tensor) -> Tensor:
    """(B, K, C) to (B, C), over those that are shown (B, K)."""
    return (x * shown[..., None]).sum(1) / shown.sum(1, keepdim=True).clamp(min=1)


def _gates(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled as logarithms, which tell links apart however faint they are."""
    return scores.sigmoid().sum(1), functional.logsigmoid(scores).logsumexp(1).softmax(2)


def _relu(scores: Tensor) -> tuple[Tensor, Tensor]:
    links = scores.relu().sum(1)
    return links, links / links.sum(2, keepdim=True).clamp(min=1e-6)


def _softmax(scores: Tensor) -> tuple[Tensor, Tensor]:
    links = scores.softmax(3)
    return links.sum(1), links.mean(1)


def _links(links: Tensor, graph: Tensor) -> Tensor:
    return links


def _entropy(links: Tensor, graph: Tensor) -> Tensor:
    return -graph * graph.clamp(min=1e-9).log()


def _off_diagonal(links: Tensor, graph: Tensor) -> Tensor:
    return links - torch.diag_embed(links.diagonal(dim1=1, dim2=2))


_FORMS: dict[Sparsity, tuple[Callable[[Tensor], tuple[Tensor, Tensor]], Callable[[Tensor, Tensor], Tensor]]] = {
    "gates": (_gates, _links),
    "relu": (_relu, _links),
    "entropy": (_softmax, _entropy),
    "off_diagonal": (_softmax, _off_diagonal),
    "printed": (_softmax, _links),
}
