"""What freezing may fold, and what it must leave alone: whatever a model does, its numbers stay."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn.utils.parametrizations import weight_norm

from posebed.inference.freezing import frozen
from posebed.inference.packed_layers import PackedConv2d, PackedConvTranspose2d, PackedLinear
from posebed.pose import Batch, Keypoints

SIDE = 32


def batch_of(count: int = 2, seed: int = 1) -> Batch:
    image = torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    zeros = torch.zeros(count, dtype=torch.int64)
    return Batch(image, Keypoints(torch.zeros(count, 1, 2), torch.ones(count, 1)), zeros, zeros)


class Answers(nn.Module):
    def decode(self, prediction: Any, batch: Batch) -> Keypoints:
        return batch.keypoints


class Model(Answers):
    """Any network, on the pictures of a batch."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        return self.network(batch.image)


def conv(channels_in: int = 3, channels: int = 8, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, 3, padding=1, **settings)


class UsedTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.norm(x)


class OneNormForTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.norm = conv(), conv(), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.one(x)) + self.norm(self.other(x))


class OneConvForTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.other = conv(), nn.BatchNorm2d(8), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(self.conv(x)) + self.other(self.conv(2 * x))


class Doubling(nn.Conv2d):
    """Does more than its settings say, and leaves its bias out."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * nn.functional.conv2d(input, self.weight, padding=self.padding)


class Squaring(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).square()


def hooked() -> nn.Sequential:
    layers = nn.Sequential(conv(), nn.BatchNorm2d(8))
    layers[0].register_forward_hook(lambda module, inputs, output: output.mul(3))
    return layers


def tied() -> nn.Sequential:
    layers = nn.Sequential(conv(3, 3), nn.BatchNorm2d(3), conv(3, 3), nn.BatchNorm2d(3))
    layers[2].weight = layers[0].weight
    return layers


KEPT = {
    "a convolution whose output is used besides": UsedTwice,
    "a norm of two convolutions": OneNormForTwo,
    "a convolution of two norms": OneConvForTwo,
    "a subclass of the convolution": lambda: nn.Sequential(Doubling(3, 8, 3, padding=1), nn.BatchNorm2d(8)),
    "a subclass of the norm": lambda: nn.Sequential(conv(), Squaring(8)),
    "hooks": hooked,
    "tied weights": tied,
    "computed weights": lambda: nn.Sequential(weight_norm(conv()), nn.BatchNorm2d(8)),
    "a norm of the batch itself": lambda: nn.Sequential(conv(), nn.BatchNorm2d(8, track_running_stats=False)),
    "something between": lambda: nn.Sequential(conv(), nn.ReLU(), nn.BatchNorm2d(8)),
}
FOLDED = {
    "plain": lambda: nn.Sequential(conv(), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
    "a norm that learns nothing": lambda: nn.Sequential(conv(bias=False), nn.BatchNorm2d(8, affine=False)),
    "groups": lambda: nn.Sequential(conv(), nn.ReLU(), conv(8, 16, groups=4), nn.BatchNorm2d(16)),
    "synchronised norm": lambda: nn.Sequential(conv(), nn.SyncBatchNorm(8)),
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 2, 1), nn.BatchNorm2d(8)),
    "transposed in groups": lambda: nn.Sequential(
        conv(), nn.ConvTranspose2d(8, 12, 4, 2, 1, output_padding=1, groups=2, bias=False), nn.BatchNorm2d(12)
    ),
    "padding by name and by reflection": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same"), nn.BatchNorm2d(8), conv(8, 8, padding_mode="reflect"), nn.BatchNorm2d(8)
    ),
    "one of a residual block": lambda: timm.create_model("test_resnet", num_classes=0, global_pool=""),
    "norm with activation": lambda: timm.create_model("test_efficientnet", num_classes=0, global_pool=""),
}


def trained(network: nn.Module) -> Any:
    """With running statistics and factors that are not those at the start."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for tensor in (part.weight, part.running_var):
                if tensor is not None:
                    nn.init.uniform_(tensor, 0.5, 2)
            for tensor in (part.bias, part.running_mean):
                if tensor is not None:
                    nn.init.normal_(tensor)
    return Model(network).eval()


def norms(model: nn.Module) -> int:
    return sum(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules())


@torch.no_grad()
def assert_the_same(model: Any, other: Any) -> None:
    for count in (2, 5, 2):  # layouts are of one shape
        expected = model(batch_of(count))
        torch.testing.assert_close(other(batch_of(count)), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_a_plain_pair_keeps_its_norm_and_its_numbers(name: str):
    model = trained(KEPT[name]())
    other = frozen(model, batch_of())
    assert norms(other) == norms(model)
    assert_the_same(model, other)


@pytest.mark.parametrize("name", FOLDED)
def test_a_norm_behind_a_convolution_is_folded_and_the_numbers_stay(name: str):
    model = trained(FOLDED[name]())
    stored = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    other = frozen(model, batch_of())
    assert norms(other) == 0
    assert_the_same(model, other)
    assert norms(model) > 0 and all(torch.equal(stored[key], of) for key, of in model.state_dict().items())


def test_a_frozen_model_shares_the_weights_that_it_does_not_fold():
    model = trained(nn.Sequential(conv(), nn.Flatten(2), nn.Linear(SIDE * SIDE, 4), nn.LayerNorm(4)))
    other = frozen(model, batch_of())
    assert all(own is theirs for own, theirs in zip(other.parameters(), model.parameters(), strict=True))
    assert_the_same(model, other)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="oneDNN lays out weights")
@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (conv(), PackedConv2d),
        (nn.ConvTranspose2d(3, 8, 4, 2, 1), PackedConvTranspose2d),
        (nn.Linear(SIDE, 8), PackedLinear),
    ],
    ids=["conv", "transposed", "linear"],
)
def test_a_laid_out_layer_gives_gradients_and_half_precision_as_it_did(layer: nn.Module, kind: type[nn.Module]):
    model: Any = Model(layer).eval()
    other: Any = frozen(model, batch_of())
    assert type(other.network) is kind
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            a, b = model(batch_of()), other(batch_of())
        assert a.requires_grad and b.requires_grad and torch.equal(a, b)


class Fitting(Answers):
    """Fits its convolution in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.passes = conv(), nn.BatchNorm2d(8), 0

    def forward(self, batch: Batch) -> Tensor:
        self.passes += 1
        with torch.enable_grad():
            return self.norm(self.conv(batch.image)).detach()


def test_a_model_that_learns_in_evaluation_stays_as_it_is():
    model: Any = Fitting().eval()
    assert frozen(model, batch_of()) is model


class Made(Answers):
    """A layer whose weights follow the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3)

    def forward(self, batch: Batch) -> Tensor:
        weights = {"weight": self.head.weight * batch.image.mean(), "bias": self.head.bias}
        return functional_call(self.head, weights, (batch.image,))


class Descends(Answers):
    """Takes a gradient step in every answer, as torch.func writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, batch: Batch) -> Tensor:
        start = {n: p.detach() for n, p in self.net.named_parameters()}
        slopes = grad(lambda w: functional_call(self.net, w, (batch.image,)).square().mean())(start)
        return functional_call(self.net, {n: start[n] - 0.5 * slopes[n] for n in start}, (batch.image,))


class Keeps(Answers):
    """Gives the map before batch norm away, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        seen = self.conv(batch.image)
        return seen, self.norm(seen)


class Functional(Answers):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, batch: Batch) -> Tensor:
        return self.norm(nn.functional.conv2d(batch.image, self.conv.weight))


@pytest.mark.parametrize("kind", [Made, Descends, Keeps, Functional])
@torch.no_grad()
def test_a_frozen_model_gives_the_same_for_every_batch(kind: Any):
    torch.manual_seed(0)
    model = kind().eval()
    other = frozen(model, batch_of(1))
    for seed in (1, 2):
        torch.testing.assert_close(other(batch_of(2, seed)), model(batch_of(2, seed)), rtol=1e-4, atol=1e-5)
