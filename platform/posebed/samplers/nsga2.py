"""NSGA-II: a genetic algorithm, for two objectives."""

from __future__ import annotations

from optuna.samplers import NSGAIISampler

from posebed.contracts import SamplerSpec
from posebed.space import Space


def make(seed: int, space: Space) -> NSGAIISampler:
    return NSGAIISampler(seed=seed)


SPEC = SamplerSpec(make)
