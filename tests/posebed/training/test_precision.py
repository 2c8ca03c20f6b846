"""What is computed in bfloat16, and what stays in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from posebed.config import TrainConfig
from posebed.pose import Batch, Keypoints
from posebed.training.engine import open_engine
from posebed.training.precision import computing, keep_float32
from posebed.training.process_group import join_process_group

CPU = torch.device("cpu")


class Same(nn.Conv2d):
    """A convolution with a forward pass of its own, as timm's with padding as in TensorFlow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, (0, 1, 0, 1)))


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.Conv2d(8, 8, 3, groups=8),
        Same(8, 8, 3, stride=2, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Conv2d(8, 2, 1),
    )


class Convolved(TorchDispatchMode):
    """Notes in what every convolution within it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.dtypes.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


def test_grouped_convolutions_with_strides_or_large_kernels_compute_in_float32_and_no_others():
    model, x = net(), torch.randn(2, 3, 16, 16)
    keep_float32(model, CPU)
    half, single = torch.bfloat16, torch.float32
    with computing("bfloat16", CPU), Convolved() as convolved:
        assert model(x).dtype == half
    assert convolved.dtypes == [half, half, single, single, half]


def test_what_stays_in_float32_changes_no_names_and_nothing_in_float32():
    plain, kept = net(), net()
    keep_float32(kept, CPU)
    keep_float32(kept, CPU)
    before, after = plain.state_dict(), kept.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(plain(x), kept(x))
    assert isinstance(kept[2], Same)


def test_bfloat16_is_near_float32_and_gradients_are_of_float32():
    model, x = net(), torch.randn(2, 3, 16, 16)
    expected = model(x)
    keep_float32(model, CPU)
    with computing("bfloat16", CPU):
        given = model(x)
    torch.testing.assert_close(given.float(), expected, rtol=0.05, atol=0.05)
    given.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 and p.grad.any() for p in model[2:].parameters())


def test_a_model_with_parts_in_float32_compiles_without_a_break():
    model, x = net(), torch.randn(2, 3, 16, 16)
    keep_float32(model, CPU)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with computing("bfloat16", CPU):
        one, other = model(x), compiled(x)
    torch.testing.assert_close(one, other)


def test_attention_in_bfloat16_is_that_of_float32_and_switches_are_put_back():
    draw = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 10, 8, generator=draw).unbind()
    expected = functional.scaled_dot_product_attention(query, key, value)
    switch = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed
    before = switch(), torch.backends.cuda.flash_sdp_enabled()
    with computing("bfloat16", CPU):
        given = functional.scaled_dot_product_attention(query, key, value)
        assert switch()
    assert (switch(), torch.backends.cuda.flash_sdp_enabled()) == before
    assert given.dtype == torch.bfloat16
    torch.testing.assert_close(given.float(), expected, rtol=0.02, atol=0.02)


def test_float32_leaves_everything_as_it_is():
    with computing("float32", CPU):
        assert not torch.is_autocast_enabled("cpu")
        assert torch.backends.cuda.flash_sdp_enabled()


@pytest.mark.parametrize("changes", [{"engine": "torch"}, {"zero": 0}, {"zero": 3}])
class Measured(nn.Module):
    """That net over a batch's pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.net(batch.image)

    def losses(self, prediction: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        return {"square": prediction.float().square().mean()}


@pytest.mark.parametrize("changes", [{"engine": "torch"}, {"zero": 0}, {"zero": 3}])
def test_every_engine_trains_a_model_with_parts_in_float32(changes: dict):
    row = torch.zeros(4, dtype=torch.int64)
    points = Keypoints(torch.zeros(4, 1, 2), torch.zeros(4, 1))
    batch = Batch(torch.randn(4, 3, 16, 16), points, row, row)
    train = TrainConfig.model_validate({"batch_size": 4, "lr": 0.01, **changes})
    model: Any = Measured()
    names = model.state_dict().keys()
    engine, seen = open_engine(model, train, {}, join_process_group(), "bfloat16"), list[float]()
    for _ in range(8):
        with Convolved() as convolved:
            prediction, losses = engine(batch)
        assert prediction.dtype == torch.bfloat16 and {*convolved.dtypes} == {torch.bfloat16, torch.float32}
        engine.backward(losses["square"])
        engine.step()
        seen.append(losses["square"].item())
    weights = engine.weights()
    assert seen[-1] < seen[0]
    assert weights is not None
    assert weights.keys() == names
    assert all(w.dtype == torch.float32 for w in weights.values() if w.is_floating_point())
