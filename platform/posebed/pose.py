"""What a pose is, in tensors: the keypoints of a batch, and the two kinds of batch that a model sees.

Shape letters used throughout: B batch, S shots (support images), K keypoints (padded to the largest
category of the data), H W the crop's height and width in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Moved = TypeVar("Moved", "Keypoints", "Batch", "EpisodeBatch")


@dataclass(frozen=True)
class Keypoints:
    """Points in crop pixels, x to the right and y down; integer coordinates are pixel centres."""

    xy: Tensor
    """(..., K, 2), float."""
    weight: Tensor
    """(..., K), float. In a truth 1 where the keypoint is labelled and 0 where it is unlabelled or
    padding; in a prediction the model's confidence."""

    def to(self, device: torch.device | str) -> Keypoints:
        return _moved(self, device)


@dataclass(frozen=True)
class Batch:
    """Crops with their true keypoints, as category-specific models see them."""

    image: Tensor
    """(B, 3, H, W) RGB in 0..255, uint8 or float; the model normalises."""
    keypoints: Keypoints
    """(B, K)"""
    category: Tensor
    """(B,) int64, position in ``Setting.categories``."""
    row: Tensor
    """(B,) int64, row of the pack, by which predictions find their way back to the record."""
    aspect: Tensor | None = field(default=None, kw_only=True)
    """(B,) float64, width / height of the box before padding; None in a batch that was made without boxes."""

    def to(self: Moved, device: torch.device | str) -> Moved:
        return _moved(self, device)

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class EpisodeBatch(Batch):
    """Query crops, each with S annotated support crops of the query's category."""

    support_image: Tensor
    """(B, S, 3, H, W)"""
    support: Keypoints
    """(B, S, K)"""
    support_aspect: Tensor | None = field(default=None, kw_only=True)
    """(B, S), as ``aspect``."""


@dataclass(frozen=True)
class Shared:
    """Rows of a tensor that several samples of a batch may share: large ones are not copied for each."""

    rows: Tensor
    """(E, ...)"""
    of: Tensor
    """(B,) int64, each sample's row."""

    @classmethod
    def each(cls, rows: Tensor) -> Shared:
        """As many samples as rows."""
        return cls(rows, torch.arange(rows.shape[0], device=rows.device))


def taken(thing: Any, rows: Tensor) -> Any:
    """The same with these rows alone of every tensor in it: of a tensor, of None, or of a dataclass of such. Those of a
    ``Shared`` are not copied."""
    if thing is None:
        return None
    if isinstance(thing, Shared):
        return Shared(thing.rows, thing.of[rows])
    if isinstance(thing, Tensor):
        return thing[rows]
    return replace(thing, **{field.name: taken(getattr(thing, field.name), rows) for field in fields(thing)})


def tensors_of(thing: Any) -> Iterator[Tensor]:
    """All tensors in a tensor, or in a dataclass, mapping, list or tuple of such things."""
    if isinstance(thing, Tensor):
        yield thing
    elif is_dataclass(thing):
        yield from tensors_of([getattr(thing, field.name) for field in fields(thing)])
    elif isinstance(thing, Mapping):
        yield from tensors_of([*cast("Mapping[Any, Any]", thing).values()])
    elif isinstance(thing, list | tuple):
        for each in cast("Sequence[Any]", thing):
            yield from tensors_of(each)


def _moved(thing: Moved, device: torch.device | str) -> Moved:
    def move(value: Any) -> Any:
        if value is None:
            return None
        return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value.to(device)

    return type(thing)(**{f.name: move(getattr(thing, f.name)) for f in fields(thing)})
