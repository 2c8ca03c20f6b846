"""Rounds of test episodes, for models that learn from the supports of all categories before they answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, cast

import torch

from posebed.contracts import RoundLearner
from posebed.data.pack import Pack
from posebed.data.queries import Query, query_batches
from posebed.pose import EpisodeBatch


def rounds_of(pack: Pack, queries: Sequence[Query]) -> list[list[Query]]:
    """The queries of each round: those of the first episode of every category, then of the second, and so on.

    A round has fewer categories where some have fewer episodes.
    """
    met, number = Counter[int](), dict[int, int]()
    rounds: dict[int, list[Query]] = defaultdict(list)
    for query in queries:
        if query.episode not in number:
            category = int(pack.category[query.row])
            number[query.episode] = met[category]
            met[category] += 1
        rounds[number[query.episode]].append(query)
    return [rounds[index] for index in sorted(rounds)]


@torch.no_grad()
def learnt(model: RoundLearner, pack: Pack, queries: Sequence[Query], device: torch.device) -> Any:
    """What the supports of a round teach the model, given the round's queries."""
    firsts = {query.episode: query for query in reversed(queries)}
    (batch,) = query_batches(pack, [[firsts[episode] for episode in sorted(firsts)]], device)
    return model.learn_round(cast(EpisodeBatch, batch))
