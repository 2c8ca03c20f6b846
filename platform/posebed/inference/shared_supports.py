"""Queries of one episode share their supports: what those tell is computed once, where the model offers to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from posebed.contracts import RoundLearner, SupportEncoder
from posebed.pose import Batch, EpisodeBatch, taken
from posebed.training.pose_module import PoseModule


def predicted(
    model: PoseModule, batch: Batch, episodes: Sequence[int], taught: Any = None
) -> Any:  # as torch types a module's call
    """The model's prediction for a batch, of which rows with the same number in ``episodes`` share their supports.

    Args:
        taught: by the supports of the batch's round, to a model that learns from them (``training.rounds``).
    """
    if taught is not None and isinstance(batch, EpisodeBatch) and isinstance(model, RoundLearner):
        return model.locate_after(batch, taught)
    if not (isinstance(batch, EpisodeBatch) and isinstance(model, SupportEncoder)):
        return model(batch)
    _, first, episode = np.unique(episodes, return_index=True, return_inverse=True)
    support = model.encode_support(taken(batch, torch.as_tensor(first, device=batch.row.device)))
    return model.locate(batch, taken(support, torch.as_tensor(episode, device=batch.row.device)))
