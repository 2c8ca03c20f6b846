"""A Gaussian process."""

from __future__ import annotations

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import GPSampler

from posebed.contracts import SamplerSpec
from posebed.space import Space


def make(seed: int, space: Space) -> GPSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return GPSampler(seed=seed, deterministic_objective=True)


SPEC = SamplerSpec(make)
