"""POMNet's interaction: cells of the query see each other, then keypoints of the supports see each other and the cells.

From Xu et al. 2022 (Pose for Everything, section 4.3): a transformer whose layers normalise behind each shortcut.
"""

from __future__ import annotations

from torch import Tensor, nn

from posezoo.blocks.coordinates import grid_code

# B batch, K keypoints, C channels, h w cells of the picture


class Look(nn.Module):
    """Attention with a shortcut, normalised behind it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None = None) -> Tensor:
        seen, _ = self.attention(query, key, value, key_padding_mask=hidden, need_weights=False)
        return self.norm(x + self.dropout(seen))


class FeedForward(nn.Module):
    """Two linear layers with a shortcut, normalised behind it."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.dropout(self.linear2(self.dropout(self.linear1(x).relu()))))


class CellLayer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.own, self.feed_forward = Look(width, heads, dropout), FeedForward(width, inner, dropout)

    def forward(self, cells: Tensor, code: Tensor) -> Tensor:
        placed = cells + code
        return self.feed_forward(self.own(cells, placed, placed, cells))


class KeypointLayer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.own, self.picture = Look(width, heads, dropout), Look(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)

    def forward(self, keypoints: Tensor, cells: Tensor, code: Tensor, hidden: Tensor) -> Tensor:
        keypoints = self.own(keypoints, keypoints, keypoints, keypoints, hidden)
        return self.feed_forward(self.picture(keypoints, keypoints, cells + code, cells))


class Interaction(nn.Module):
    cell_code: Tensor

    def __init__(
        self,
        channels: int,
        grid: tuple[int, int],
        width: int,
        heads: int,
        cell_layers: int,
        keypoint_layers: int,
        feed_forward: int,
        dropout: float,
    ) -> None:
        """``channels`` and ``grid`` are those of the maps that come in."""
        super().__init__()
        self.input_proj, self.query_proj = nn.Conv2d(channels, width, 1), nn.Linear(channels, width)
        self.cells = nn.ModuleList(CellLayer(width, heads, feed_forward, dropout) for _ in range(cell_layers))
        self.keypoints = nn.ModuleList(
            KeypointLayer(width, heads, feed_forward, dropout) for _ in range(keypoint_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.register_buffer("cell_code", grid_code(*grid, width // 2), persistent=False)
        for parameter in (p for p in self.parameters() if p.dim() > 1):
            nn.init.xavier_uniform_(parameter)

    def forward(self, maps: Tensor, pooled: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            maps: (B, channels, h, w) of the query.
            pooled: (B, K, channels) of the supports.
            hidden: (B, K), True for keypoints that the others must not see.

        Returns:
            The maps, (B, C, h, w), and the keypoints, (B, K, C), in which both have met. Cells know where they are;
            keypoints know nothing of their order.
        """
        cells = self.input_proj(maps).flatten(2).transpose(1, 2)
        for layer in self.cells:
            cells = layer(cells, self.cell_code)
        keypoints = self.query_proj(pooled)
        for layer in self.keypoints:
            keypoints = layer(keypoints, cells, self.cell_code, hidden)
        return cells.transpose(1, 2).unflatten(2, maps.shape[2:]), self.norm(keypoints)
