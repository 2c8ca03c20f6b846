"""A tree-structured Parzen estimator, multivariate and with a constant liar, that repeats nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from posebed.contracts import SamplerSpec
from posebed.space import Space, When

PROPOSALS = 10
"""How often TPE, and then chance, draws anew because a setting was tried before."""


class UnrepeatedTPE(TPESampler):
    """TPE that proposes no setting twice: with the same seed it would have the same numbers.

    In a space of few choices plain TPE comes back to its favourites hundreds of times. Where it has nothing new to say,
    chance proposes; where there is nothing new at all, a setting does come back.
    """

    def __init__(self, seed: int, group: bool) -> None:
        """
        Args:
            group: whether some dimensions are there for some trials only.
        """
        super().__init__(multivariate=True, group=group, constant_liar=True, seed=seed)
        self._chance = RandomSampler(seed=seed)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        proposed = super().sample_relative(study, trial, search_space)
        if not proposed:  # the first trials are drawn dimension by dimension
            return proposed
        tried = [t.params for t in study.get_trials(deepcopy=False) if t.params]
        for attempt in range(2 * PROPOSALS):
            if not _repeats(proposed, tried):
                break
            if attempt < PROPOSALS:
                proposed = super().sample_relative(study, trial, search_space)
            else:
                spaces = search_space.items()
                proposed = {n: self._chance.sample_independent(study, trial, n, values) for n, values in spaces}
        return proposed


def _repeats(proposed: Mapping[str, Any], tried: list[dict[str, Any]]) -> bool:
    """A trial of a conditional space holds only the dimensions that were there for it."""
    return any(former.items() <= proposed.items() for former in tried)


def make(seed: int, space: Space) -> UnrepeatedTPE:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return UnrepeatedTPE(seed, group=any(isinstance(dimension, When) for dimension in space.values()))


SPEC = SamplerSpec(make)
