"""What a training is too short for is what its schedule and its statistics show."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from posebed.config import TrainConfig
from posebed.training.schedule import STALE, rate_factor, shortfalls

NOTHING = nn.Linear(1, 1)
shares = st.lists(st.floats(0.01, 0.99), max_size=3).map(tuple)


def lines(steps: int, model: nn.Module = NOTHING, **settings: object) -> str:
    return "\n".join(shortfalls(model, steps, TrainConfig(**{"warmup_steps": 0, "decay_at": (), **settings})))


@given(steps=st.integers(1, 300), warmup=st.integers(0, 60))
def test_a_shortened_warm_up_is_named_with_its_length(steps: int, warmup: int) -> None:
    train = TrainConfig(warmup_steps=warmup, decay_at=())
    rising = sum(rate_factor(step, steps, train) < 1 for step in range(steps))
    short = f"warm-up takes {rising} steps instead of {warmup}"
    assert (short in lines(steps, warmup_steps=warmup)) == (rising < warmup)


@given(steps=st.integers(1, 60), decay_at=shares)
def test_decays_that_never_take_place_are_counted(steps: int, decay_at: tuple[float, ...]) -> None:
    train = TrainConfig(warmup_steps=0, decay_at=decay_at, decay=0.5)
    lowered = len({rate_factor(step, steps, train) for step in range(steps)}) - 1
    wanted = len(set(decay_at))
    short = f"the learning rate decays {lowered} times instead of {wanted}"
    assert (short in lines(steps, decay_at=decay_at)) == (lowered < wanted)


@given(steps=st.integers(1, 80), accumulation=st.integers(1, 3), momentum=st.sampled_from([0.01, 0.1, 0.5]))
def test_stale_running_statistics_are_measured(steps: int, accumulation: int, momentum: float) -> None:
    norm = nn.BatchNorm2d(1, momentum=momentum)
    assert norm.running_mean is not None
    norm.running_mean.fill_(1)
    for _ in range(steps * accumulation):
        norm(torch.zeros(2, 1, 2, 2))
    kept = norm.running_mean.item()
    printed = lines(steps, nn.Sequential(norm), batch_size=6 * accumulation, micro_batch=6)
    assert (f"keep {kept:.0%} of their initial values" in printed) == (kept > STALE)


class Frozen(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)


@pytest.mark.parametrize(
    "norm", [Frozen(1), nn.BatchNorm2d(1, track_running_stats=False), nn.BatchNorm2d(1, momentum=None)]
)
def test_statistics_that_do_not_move_by_steps_are_no_shortfall(norm: nn.Module) -> None:
    assert lines(1, nn.Sequential(norm)) == ""
