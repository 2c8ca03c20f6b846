"""Chance."""

from __future__ import annotations

from optuna.samplers import RandomSampler

from posebed.contracts import SamplerSpec
from posebed.space import Space


def make(seed: int, space: Space) -> RandomSampler:
    return RandomSampler(seed=seed)


SPEC = SamplerSpec(make)
