"""Prompts that belong to named keypoints: one bank per family of categories, moved towards what pictures show.

No gradient reaches them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from posebed.contracts import Setting
from posebed.on_device import numbers
from posebed.pose import Keypoints
from posebed.records import Category
from posezoo.blocks.names import alike_but_for_numbers

# N pictures, R rows of all banks, K keypoints, C channels, h w cells

PADDING = -1
"""The row of a padded keypoint, whose prompt is 0."""
Key = tuple[str, str, int]
"""Family, name and how often a keypoint of this name came before in its category."""


def keys_of(category: Category) -> list[Key]:
    """What a category's keypoints are found by. Keypoints of one family share a row where their names agree but for
    case and outer spaces. A number says nothing, nor do names that are alike but for their numbers: such rows are the
    category's alone."""
    before = Counter[tuple[str, str]]()
    keys: list[Key] = []
    numbered = alike_but_for_numbers(category.keypoints)
    for name in (" ".join(name.lower().split()) for name in category.keypoints):
        named = any(letter.isalpha() for letter in name) and not numbered
        place = (category.family, name) if named else (f"{category.family}\0{category.key}", name)
        keys.append((*place, before[place]))
        before[place] += 1
    return keys


class PromptBanks(nn.Module):
    """Rows of all banks, first drawn from a normal distribution. Loaded for other categories, keypoints of a stored
    name take its row, and all others a fresh one."""

    vectors: Tensor
    """(R, C)"""
    names: Tensor
    """(R,) int64, a number for each key."""
    rows: Tensor
    """(categories, K) int64"""

    def __init__(self, setting: Setting, channels: int) -> None:
        super().__init__()
        of = [keys_of(category) for category in setting.categories]
        self.keys = sorted({key for keys in of for key in keys})
        place = {key: row for row, key in enumerate(self.keys)}
        padded = [[*(place[key] for key in keys), *[PADDING] * (setting.keypoints - len(keys))] for keys in of]
        self.register_buffer("rows", torch.tensor(padded), persistent=False)
        self.register_buffer("vectors", torch.randn(len(self.keys), channels))
        self.register_buffer("names", torch.tensor([_number(key) for key in self.keys]))

    def fresh(self, seed: int) -> Tensor:
        """(R, C), what untrained rows are: each drawn from the seed and its own name alone."""
        width = self.vectors.shape[1]
        drawn = [np.random.default_rng([seed, _number(key)]).standard_normal(width) for key in self.keys]
        return torch.from_numpy(np.stack(drawn)).to(self.vectors)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        names, vectors = (state_dict.get(f"{prefix}{name}") for name in ("names", "vectors"))
        if names is not None and vectors is not None:
            stored, own = {name: row for row, name in enumerate(names.tolist())}, self.fresh(seed=0)
            for row, name in enumerate(map(_number, self.keys)):
                own[row] = vectors[stored[name]] if name in stored else own[row]
            state_dict = {**state_dict, f"{prefix}names": self.names, f"{prefix}vectors": own}
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _number(key: Key) -> int:
    return int.from_bytes(blake2b("\0".join(map(str, key)).encode(), digest_size=8).digest()) >> 1


def prompts_at(vectors: Tensor, rows: Tensor) -> Tensor:
    """(N, K, C) of rows (N, K); 0 where a keypoint is padding."""
    return vectors[rows.clamp(min=0)] * (rows != PADDING)[..., None]


def moved(vectors: Tensor, rows: Tensor, features: Tensor, seen: Tensor, momentum: float) -> Tensor:
    """The rows (R, C) after they moved towards the features (N, K, C) of keypoints that are seen (N, K), picture after
    picture in their order: ``momentum`` of a row stays at each."""
    count, features = len(vectors), features.to(vectors.dtype)
    # What is not seen moves a row behind the last.
    rows = torch.where(seen & (rows != PADDING), rows, count)
    vectors = functional.pad(vectors, (0, 0, 0, 1))
    for row, feature in zip(rows, features, strict=True):
        vectors = vectors.index_copy(0, row, momentum * vectors[row] + (1 - momentum) * feature)
    return vectors[:count]


def features_at(maps: Tensor, keypoints: Keypoints, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Features (N, K, C) of maps (N, C, h, w) at keypoints in crop pixels, and which keypoints are seen (N, K):
    labelled and within the crop, of that height and width. Bilinear; crop and map share their corners."""
    extent = numbers(size[::-1], keypoints.xy)
    places = (2 * keypoints.xy / extent - 1).to(maps.dtype)
    features = functional.grid_sample(maps, places[:, :, None], align_corners=False)[..., 0].mT
    inside = ((keypoints.xy >= 0) & (keypoints.xy <= extent - 1)).all(-1)
    return features, inside & (keypoints.weight > 0)


def mean_of_seen(features: Tensor, seen: Sequence[Tensor] | Tensor) -> Tensor:
    """(K, C) of features (S, K, C), over the supports that show a keypoint (S, K); 0 where none does."""
    weight = torch.as_tensor(seen).to(features.dtype)[..., None]
    return (features * weight).sum(0) / weight.sum(0).clamp(min=1)
