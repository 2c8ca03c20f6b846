"""CMA-ES: an evolution strategy, for dimensions that are numbers."""

from __future__ import annotations

from optuna.samplers import CmaEsSampler

from posebed.contracts import SamplerSpec
from posebed.space import Space


def make(seed: int, space: Space) -> CmaEsSampler:
    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


SPEC = SamplerSpec(make)
