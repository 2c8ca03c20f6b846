"""CutMix (Yun et al. 2019) on pictures and heatmaps: a box of each picture is that of another of its batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# B batch, K keypoints, h w cells


class CutMix(NamedTuple):
    other: Tensor
    """(B,) where each picture's box comes from."""
    rows: Tensor
    """(2,) of the box, in cells of the heatmap; the last one is outside."""
    columns: Tensor
    """(2,)"""

    @classmethod
    def draw(cls, count: int, size: tuple[int, int], share: float, device: torch.device) -> CutMix:
        """For ``count`` pictures and heatmaps of ``size``, from torch's generator of the device, as dropout draws.

        A ``share`` of the draws has a box, of a uniform share of the picture, as far as it stays within the border; the
        others have an empty one.
        """
        mixes = torch.rand((), device=device) < share
        side, *centre = torch.rand(3, device=device).double().unbind()
        rows, columns = (mixes * _interval(c, side.sqrt(), cells) for c, cells in zip(centre, size, strict=True))
        return cls(torch.randperm(count, device=device), rows, columns)

    def mixed(self, maps: Tensor, scale: int = 1) -> Tensor:
        """Maps (B, C, scale h, scale w) with the boxes exchanged."""
        y, x = (
            _within(torch.arange(cells, device=maps.device), scale * ends)
            for cells, ends in zip(maps.shape[2:], (self.rows, self.columns), strict=True)
        )
        return torch.where(y[:, None] & x, maps[self.other], maps)

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
        share = 1 - self.area.double() / target[0, 0].numel()
        return mixed, share * weight * ~hidden + (1 - share) * (weight * shown)[self.other]

    @property
    def area(self) -> Tensor:
        """In cells, a number."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])

    def _holds(self, cell: Tensor) -> Tensor:
        x, y = cell.unbind(-1)
        return _within(x, self.columns) & _within(y, self.rows)

    def _around(self, cell: Tensor) -> Tensor:
        (x, y), (rows, columns) = cell.unbind(-1), (self.rows, self.columns)
        return (x >= rows[0]) & (x <= rows[1]) & (y >= columns[0]) & (y <= columns[1])


def _interval(centre: Tensor, share: Tensor, cells: int) -> Tensor:
    """(2,), start and stop of so large a share of the cells, less what lies beyond the border."""
    half, middle = (share * cells).long() // 2, (centre * cells).long()
    return torch.stack([middle - half, middle + half]).clamp(0, cells)


def _within(place: Tensor, ends: Tensor) -> Tensor:
    return (place >= ends[0]) & (place < ends[1])


def _peaks(maps: Tensor) -> Tensor:
    """(B, K, 2) column and row of each largest value."""
    index = maps.flatten(2).argmax(2)
    return torch.stack([index % maps.shape[3], index // maps.shape[3]], -1)
