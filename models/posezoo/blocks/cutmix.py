"""CutMix (Yun et al. 2019) on pictures and heatmaps: a box of each picture is that of another of its batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# B batch, K keypoints, h w cells


class CutMix(NamedTuple):
    other: Tensor
    """(B,) where each picture's box comes from."""
    rows: tuple[int, int]
    """Of the box, in cells of the heatmap; the last one is outside."""
    columns: tuple[int, int]

    @classmethod
    def draw(cls, count: int, size: tuple[int, int], device: torch.device) -> CutMix:
        """For ``count`` pictures and heatmaps of ``size``, from torch's global generator, as dropout draws.

        The box takes a uniform share of the picture, as far as it stays within the border.
        """
        side, *centre = torch.rand(3).tolist()
        rows, columns = (_interval(c, side**0.5, cells) for c, cells in zip(centre, size, strict=True))
        return cls(torch.randperm(count).to(device), rows, columns)

    def mixed(self, maps: Tensor, scale: int = 1) -> Tensor:
        """Maps (B, C, scale h, scale w) with the boxes exchanged."""
        rows, columns = (slice(scale * start, scale * stop) for start, stop in (self.rows, self.columns))
        mixed = maps.clone()
        mixed[..., rows, columns] = maps[..., rows, columns][self.other]
        return mixed

    def targets(self, target: Tensor, weight: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mixed heatmaps (B, K, h, w) and their weights (B, K).

        A keypoint of the picture counts where the box does not hide it, as much as the picture keeps of itself; one of
        the other picture counts where the box shows it, as much as the box takes. The loss is linear in the weight,
        so that this is the sum of the two losses.

        Args:
            cell: (B, K, 2) the keypoints' places in cells. None takes them from the peaks, of the heatmaps already
                mixed for the picture's own ones, and exchanges rows and columns of the box, as KITPose's code does.
        """
        mixed = self.mixed(target)
        if cell is None:
            hidden, shown = self._around(_peaks(mixed)), self._around(_peaks(target))
        else:
            hidden = shown = self._holds(cell)
        share = 1 - self.area / target[0, 0].numel()
        return mixed, share * weight * ~hidden + (1 - share) * (weight * shown)[self.other]

    @property
    def area(self) -> int:
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])

    def _holds(self, cell: Tensor) -> Tensor:
        start, stop = (cell.new_tensor(ends) for ends in zip(self.columns, self.rows, strict=True))
        return ((cell >= start) & (cell < stop)).all(-1)

    def _around(self, cell: Tensor) -> Tensor:
        start, stop = (cell.new_tensor(ends) for ends in zip(self.rows, self.columns, strict=True))
        return ((cell >= start) & (cell <= stop)).all(-1)


def _interval(centre: float, share: float, cells: int) -> tuple[int, int]:
    """Start and stop of so large a share of the cells, less what lies beyond the border."""
    half, middle = int(share * cells) // 2, int(centre * cells)
    return max(middle - half, 0), min(middle + half, cells)


def _peaks(maps: Tensor) -> Tensor:
    """(B, K, 2) column and row of each largest value."""
    index = maps.flatten(2).argmax(2)
    return torch.stack([index % maps.shape[3], index // maps.shape[3]], -1)
