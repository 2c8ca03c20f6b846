"""Keypoints to heatmaps and back: rounded peaks (MSRA), continuous ones (DARK) and UDP, batched on any device.

Points are crop pixels on both ends; losses, flips and the way back to the image are left to others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posebed.on_device import numbers
from posebed.pose import Keypoints

# B batch, K keypoints, h w heatmap, N = B K maps

Kind = Literal["msra", "dark", "aligned", "udp"]

_WHOLE = ("dark", "aligned")
"""Kinds whose Gaussian covers the whole map."""
_BLUR, _REACH = 2.0, 5
"""Sigma and radius in cells of the blur that a map gets before its peak is refined (Zhang et al. 2020, section 3.2)."""


@dataclass(frozen=True)
class HeatmapCodec:
    """One Gaussian per keypoint, its peak 1.

    ============  =====================  ======================  ==============================
    kind          peak                   Gaussian                decoding
    ============  =====================  ======================  ==============================
    ``msra``      on the nearest cell    cut at 3 sigma          arg-max, quarter cell onwards
    ``dark``      where it is            whole map               one Newton step on the log map
    ``aligned``   where it is            whole map               one Newton step on the log map
    ``udp``       where it is            cut at 3 sigma          one Newton step on the log map
    ============  =====================  ======================  ==============================

    ``udp`` also measures cells between pixel centres: the last pixel falls on the last cell. ``aligned`` does so along
    the width, takes that scale for the height as well, and lays middle on middle, as in KITPose's code.
    """

    size: tuple[int, int]
    """Height and width of the crop in pixels."""
    heatmap_size: tuple[int, int]
    """h and w, in cells."""
    sigma: float = 2.0
    """In cells."""
    kind: Kind = "msra"

    def encode(self, keypoints: Keypoints) -> tuple[Tensor, Tensor]:
        """Targets (B, K, h, w), and weights (B, K).

        The weight is 0, and the map empty, where a keypoint is unlabelled or no cell lies within 3 sigma of its
        peak; on the left and above, one cell further counts, as in the published codes.
        """
        stride, corner = self._grid(keypoints.xy)
        centre = (keypoints.xy - corner) / stride
        nearest = (centre + 0.5).trunc()
        if self.kind == "msra":
            centre = nearest
        peak = centre if self.kind in _WHOLE else nearest
        cells = numbers(self.heatmap_size[::-1], peak)
        reaches = ((peak - 3 * self.sigma < cells) & (peak + 3 * self.sigma + 1 >= 0)).all(-1)
        weight = keypoints.weight * reaches
        x, y = (self._profile(centre[..., axis], peak[..., axis], self.heatmap_size[1 - axis]) for axis in (0, 1))
        return (y * (weight > 0)[..., None])[..., :, None] * x[..., None, :], weight

    def decode(self, heatmaps: Tensor) -> Keypoints:
        """Points (B, K, 2), and as their weights the maps' largest values as they are.

        A map without a positive value gives the point one cell above and to the left of the map.
        """
        height, width = heatmaps.shape[-2:]
        maps = heatmaps.detach().float().reshape(-1, height, width)
        value, index = maps.flatten(1).max(1)
        x, y = index % width, index // width
        refine = {"msra": _quarter, "udp": _newton_to_the_border}.get(self.kind, _newton)
        cell = torch.stack([x, y], -1) + refine(maps, x, y)
        cell = torch.where(value[:, None] > 0, cell, -1.0)
        xy = cell.reshape(*heatmaps.shape[:-2], 2)
        stride, corner = self._grid(xy)
        return Keypoints(xy * stride + corner, value.reshape(heatmaps.shape[:-2]))

    def _grid(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels per cell along x and y, and the pixel of the first cell."""
        gap = self.kind in ("aligned", "udp")
        (height, width), (h, w) = self.size, self.heatmap_size
        x, y, above = (width - gap) / (w - gap), (height - gap) / (h - gap), 0.0
        if self.kind == "aligned":
            y, above = x, (height - 1 - x * (h - 1)) / 2
        return numbers([x, y], like), numbers([0.0, above], like)

    def _profile(self, centre: Tensor, peak: Tensor, cells: int) -> Tensor:
        """The Gaussian along one axis, (B, K, cells): the heatmap is the product of two."""
        cell = torch.arange(cells, device=centre.device, dtype=centre.dtype)
        profile = torch.exp(-((cell - centre[..., None]) ** 2) / (2 * self.sigma**2))
        if self.kind in _WHOLE:
            return profile
        return profile * ((cell - peak[..., None]).abs() <= 3 * self.sigma)


def _around(maps: Tensor, x: Tensor, y: Tensor) -> Callable[[int, int], Tensor]:
    """Reads maps (N, h, w) at so many cells from each one's own (x, y); beyond the border the nearest cell."""
    height, width = maps.shape[-2:]
    flat = maps.flatten(1)

    def at(dx: int, dy: int) -> Tensor:
        index = (y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1)
        return flat.gather(1, index[:, None])[:, 0]

    return at


def _quarter(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A quarter cell along each axis towards the larger neighbour, except in the outermost cells."""
    height, width = maps.shape[-2:]
    at = _around(maps, x, y)
    along_x = (at(1, 0) - at(-1, 0)).sign() * ((x > 1) & (x < width - 1) & (y > 0))
    along_y = (at(0, 1) - at(0, -1)).sign() * ((y > 1) & (y < height - 1) & (x > 0))
    return 0.25 * torch.stack([along_x, along_y], -1)


def _newton(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """To the maximum of the quadratic through the log map around the peak (Zhang et al. 2020, equation 10).

    Second derivatives span two cells on either side; peaks closer than that to the border stay.
    """
    height, width = maps.shape[-2:]
    at = _around(_blurred(maps).clamp(min=1e-10).log(), x, y)
    xx = 0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0))
    yy = 0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2))
    xy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return torch.where(inside[:, None], _step(at, xx, xy, yy), 0.0)


def _newton_to_the_border(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """As ``_newton``, from direct neighbours on a map whose border is repeated (Huang et al. 2020)."""
    at = _around(_blurred(maps).clamp(1e-3, 50.0).log(), x, y)
    ridge = torch.finfo(maps.dtype).eps
    xx = at(1, 0) - 2 * at(0, 0) + at(-1, 0) + ridge
    yy = at(0, 1) - 2 * at(0, 0) + at(0, -1) + ridge
    xy = 0.5 * (at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1))
    return _step(at, xx, xy, yy)


def _step(at: Callable[[int, int], Tensor], xx: Tensor, xy: Tensor, yy: Tensor) -> Tensor:
    """Minus the inverse Hessian times the gradient, no further than the blur reaches along either axis.

    No step where the Hessian has no inverse.
    """
    x, y = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    determinant = (xx * yy - xy * xy)[:, None]
    step = torch.stack([xy * y - yy * x, xy * x - xx * y], -1) / determinant
    return torch.where(determinant != 0, step.clamp(-_REACH, _REACH), 0.0)


def _blurred(maps: Tensor) -> Tensor:
    """Smoothed maps (N, h, w), each scaled back to the largest value it had."""
    height, width = maps.shape[-2:]
    blurred = _band(height, maps) @ maps @ _band(width, maps)
    largest = blurred.amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    return blurred * (maps.amax((1, 2), keepdim=True) / largest)


def _band(cells: int, like: Tensor) -> Tensor:
    """Blurring along an axis as a symmetric matrix (cells, cells); beyond the border maps are 0."""
    reach = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64, device=like.device)
    kernel = torch.exp(-(reach**2) / (2 * _BLUR**2))
    cell = torch.arange(cells, device=like.device)
    distance = (cell[:, None] - cell).abs()
    band = torch.exp(-(distance**2) / (2 * _BLUR**2)) * (distance <= _REACH) / kernel.sum()
    return band.to(like)
