"""Engines: whoever steps, the weights are the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from posebed.config import TrainConfig
from posebed.training.engine import make_optimizer, open_engine
from posebed.training.process_group import join_process_group
from posebed.training.schedule import rate_factor, set_rate


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)).relu().mean((2, 3)))


def settings(**changes: object) -> TrainConfig:
    return TrainConfig.model_validate({"batch_size": 8, "lr": 0.01, "precision": "float32", **changes})


def trained(train: TrainConfig, steps: int = 3, engine=None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    engine = engine or open_engine(Net(), train, {}, join_process_group())
    data = torch.Generator().manual_seed(1)
    for _ in range(steps):
        whole = torch.randn(8, 3, 6, 6, generator=data)
        for micro in whole.chunk(train.accumulation()):
            engine.backward(engine(micro).square().mean())
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
    opened = open_engine(Net(), settings(engine=engine, precision="bfloat16"), {}, join_process_group())
    assert opened(torch.randn(8, 3, 6, 6)).dtype == torch.bfloat16
    assert next(opened.module.parameters()).dtype == torch.float32


@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
def test_accumulation_steps_as_the_whole_batch_does_where_no_statistics_are_shared(engine: str):
    def steps(micro: int) -> dict[str, torch.Tensor]:
        train = settings(engine=engine, micro_batch=micro, optimizer="sgd")
        torch.manual_seed(0)
        opened = open_engine(Net().eval(), train, {}, join_process_group())
        opened.module.eval()
        return trained(train, engine=opened)

    assert_close(steps(8), steps(2))


@pytest.mark.parametrize("changes", [{"engine": "torch"}, {"zero": 0}, {"zero": 2}, {"zero": 3}])
def test_a_loaded_engine_goes_on_as_if_it_had_never_stopped(tmp_path: Path, changes: dict):
    train = settings(**changes)
    torch.manual_seed(0)
    whole = open_engine(Net(), train, {}, join_process_group())
    trained(train, 2, whole)
    whole.save(tmp_path)
    resumed = open_engine(Net(), train, {}, join_process_group())
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
