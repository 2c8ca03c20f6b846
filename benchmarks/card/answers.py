"""Answers per second in float32, as predictions are made: forward pass of the frozen model, and decoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from cases import CASES, some_batch

from card.speeds import fastest
from card.steps import of_count
from card.world import World
from posebed.inference.freezing import frozen
from posebed.inference.shared_supports import predicted
from posebed.training.pose_module import PoseModule, decoded
from posebed.training.transfer import initial_model

EPISODES, QUERIES, PICTURES = 4, 15, 64
"""Answered at once: episodes, whose supports are looked at once for all of their queries, or single pictures."""
SHOTS = (1, 5)


def answers(world: World, name: str) -> Mapping[str, Any]:
    """Answers per second by the number of shots, which is 0 for models of one skeleton."""
    experiment, (pack, _) = world.experiment(name), world.data(name)
    setting, device = pack.setting(), world.device
    model, _ = initial_model(experiment, setting)
    model = model.to(device).eval()
    episodes, queries, pictures = (1, 3, 4) if device.type == "cpu" else (EPISODES, QUERIES, PICTURES)
    episodic = CASES[name].episodic
    shown = [e for e in range(episodes) for _ in range(queries)] if episodic else [*range(pictures)]
    found: dict[str, Any] = {}
    for shots in SHOTS if episodic else (0,):
        batch = some_batch(setting, len(shown), shots).to(device)

        ready = frozen(model, of_count(batch, 2))

        @torch.no_grad()
        def answer(ready: PoseModule = ready, batch: Any = batch) -> None:
            ready.eval()  # forgets what was fitted to the episodes before
            decoded(ready, predicted(ready, batch, shown), batch)

        seconds = fastest(answer, device, repeats=1 if device.type == "cpu" else 5)
        found[f"{shots} shots"] = len(shown) / seconds
    return found
