"""Engines: whoever steps, the weights are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from posebed.config import TrainConfig
from posebed.contracts import Precision
from posebed.pose import Batch, Keypoints
from posebed.training.batchnorm import synchronised
from posebed.training.engine import Engine, make_optimizer, open_engine
from posebed.training.process_group import join_process_group
from posebed.training.schedule import rate_factor, set_rate
from posebed.training.training_step import total_loss


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 2)

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.last(self.norm(self.first(batch.image)).relu().mean((2, 3)))

    def losses(self, prediction: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        return {"square": prediction.float().square().mean()}


def settings(**changes: object) -> TrainConfig:
    return TrainConfig.model_validate({"batch_size": 8, "lr": 0.01, **changes})


def pictures(image: torch.Tensor) -> Batch:
    row = torch.zeros(len(image), dtype=torch.int64)
    return Batch(image, Keypoints(torch.zeros(len(image), 1, 2), torch.zeros(len(image), 1)), row, row)


def opened(net: Any, train: TrainConfig, precision: Precision = "float32") -> Engine:
    return open_engine(net, train, {}, join_process_group(), precision)


def trained(train: TrainConfig, steps: int = 3, engine=None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    engine = engine or opened(Net(), train)
    data = torch.Generator().manual_seed(1)
    for _ in range(steps):
        whole = torch.randn(8, 3, 6, 6, generator=data)
        for micro in whole.chunk(train.accumulation()):
            _, losses = engine(pictures(micro))
            engine.backward(total_loss(losses))
            engine.step()
    weights = engine.weights()
    assert weights is not None
    return weights


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], atol: float = 1e-5) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name].float(), other[name].float(), atol=atol, rtol=1e-4, msg=name)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_every_zero_stage_steps_as_plain_torch_does(zero: int):
    plain = trained(settings(engine="torch", optimizer="adamw", weight_decay=0.1, clip=0.5))
    deep = trained(settings(engine="deepspeed", zero=zero, optimizer="adamw", weight_decay=0.1, clip=0.5))
    assert_close(plain, deep)


@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
def test_bfloat16_computes_in_bfloat16_and_keeps_full_weights(engine: str):
    lowered = opened(Net(), settings(engine=engine), "bfloat16")
    prediction, losses = lowered(pictures(torch.randn(8, 3, 6, 6)))
    assert prediction.dtype == torch.bfloat16 and losses["square"].dtype == torch.float32
    assert next(lowered.module.parameters()).dtype == torch.float32


@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
def test_accumulation_steps_as_the_whole_batch_does_where_no_statistics_are_shared(engine: str):
    def steps(micro: int) -> dict[str, torch.Tensor]:
        train = settings(engine=engine, micro_batch=micro, optimizer="sgd")
        torch.manual_seed(0)
        still = opened(Net(), train)
        still.module.eval()  # and with it batch norm, while the step goes on measuring losses
        return trained(train, engine=still)

    assert_close(steps(8), steps(2))


@pytest.mark.parametrize("changes", [{"engine": "torch"}, {"zero": 0}, {"zero": 2}, {"zero": 3}])
def test_a_loaded_engine_goes_on_as_if_it_had_never_stopped(tmp_path: Path, changes: dict):
    train = settings(**changes)
    torch.manual_seed(0)
    whole = opened(Net(), train)
    trained(train, 2, whole)
    whole.save(tmp_path)
    resumed = opened(Net(), train)
    resumed.load(tmp_path)
    assert_close(trained(train, 2, whole), trained(train, 2, resumed), atol=0)


def test_a_parameter_takes_the_factor_of_its_longest_prefix():
    net = Net()
    optimizer = make_optimizer(net, settings(), {"first": 0.1, "first.bias": 0.5, "last": 0.0})
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert rates[id(net.first.weight)] == pytest.approx(0.001)
    assert rates[id(net.first.bias)] == pytest.approx(0.005)
    assert rates[id(net.norm.weight)] == pytest.approx(0.01)
    assert id(net.last.weight) not in rates
    assert not net.last.weight.requires_grad


@pytest.mark.parametrize(
    ("kinds", "spared"),
    [
        ((), set()),
        (("norm",), {"norm.weight", "norm.bias"}),
        (("bias",), {"first.bias", "last.bias"}),
        (("vector",), {"norm.weight", "norm.bias", "first.bias", "last.bias"}),
        (("position",), {"pos_embed"}),
    ],
)
def test_weight_decay_spares_the_kinds_of_parameters_that_are_named(kinds: tuple[str, ...], spared: set[str]):
    net = Net()
    net.pos_embed = nn.Parameter(torch.zeros(1, 4))
    optimizer = make_optimizer(net, settings(weight_decay=0.1, undecayed=kinds), {"first": 0.1})
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    names = {name for name, p in net.named_parameters() if decay[id(p)] == 0}
    assert names == spared


def test_the_rate_warms_up_and_steps_down():
    train = settings(warmup_steps=500, decay_at=(0.5, 0.9), decay=0.1)
    steps = 10_000
    factors = [rate_factor(step, steps, train) for step in range(steps)]
    assert factors[0] == pytest.approx(0.001)
    assert factors[499] < factors[500] == 1.0
    assert factors[4999] == 1.0
    assert factors[5000] == pytest.approx(0.1)
    assert factors[-1] == pytest.approx(0.01)


def test_the_warm_up_takes_a_tenth_of_a_short_run_at_most():
    assert rate_factor(10, 100, settings(warmup_steps=500)) == 1.0
    assert rate_factor(0, 1, settings()) == 1.0


def test_the_rate_scales_every_group_by_its_own_full_rate():
    optimizer = make_optimizer(Net(), settings(), {"first": 0.1})
    assert set_rate(optimizer, 0.5) == pytest.approx(0.005)
    assert sorted(g["lr"] for g in optimizer.param_groups) == pytest.approx([0.0005, 0.005])


def test_shared_batch_statistics_are_as_exact_in_bfloat16_as_those_of_torch():
    group = join_process_group()
    x = (10 + torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(0))).bfloat16()
    shared = synchronised(nn.Sequential(nn.BatchNorm2d(4)), group)
    given, expected = shared(x), nn.BatchNorm2d(4)(x.float())
    assert given.dtype == torch.bfloat16
    torch.testing.assert_close(given.float(), expected, rtol=0.02, atol=0.02)


def test_sgd_takes_a_parameter_whose_first_gradient_comes_late():
    net: Any = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])
    optimizer = make_optimizer(net, TrainConfig(optimizer="sgd", momentum=0.9), {})
    for heads in (net[:1], net):
        sum(head(torch.ones(1, 2)).sum() for head in heads).backward()
        optimizer.step()
        optimizer.zero_grad()
