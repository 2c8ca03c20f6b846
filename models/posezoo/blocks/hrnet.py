"""The high-resolution network (Sun et al. 2019, arXiv 1902.09212); parameters are named as in the released weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from posezoo.blocks.weights import fill, read_weights

_CLASSIFIER = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")


def conv_bn(channels_in: int, channels: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> list[nn.Module]:
    layers = [
        nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
    ]
    return [*layers, nn.ReLU(inplace=True)] if relu else layers


class Basic(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(channels, channels, relu=False)
        self.conv2, self.bn2 = conv_bn(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions to four times the channels, and a shortcut."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(channels_in, channels, 1, relu=False)
        self.conv2, self.bn2 = conv_bn(channels, channels, relu=False)
        self.conv3, self.bn3 = conv_bn(channels, 4 * channels, 1, relu=False)
        same = channels_in == 4 * channels
        self.downsample = nn.Identity() if same else nn.Sequential(*conv_bn(channels_in, 4 * channels, 1, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.downsample(x) + self.bn3(self.conv3(y)))


class Parallel(nn.ModuleList):
    """One layer per branch."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self, maps, strict=True)]


class Sum(Parallel):
    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.relu(reduce(torch.add, super().forward(maps)))


class Exchange(nn.Module):
    """Residual blocks on every branch, then each output is the sum of all branches, resampled to its resolution.

    Branch i has stride 4 * 2^i. With ``outputs`` below the number of branches only so many sums are made.
    """

    def __init__(self, channels: Sequence[int], blocks: int, outputs: int) -> None:
        super().__init__()
        self.branches = Parallel(nn.Sequential(*(Basic(c) for _ in range(blocks))) for c in channels)
        self.fuse_layers = nn.ModuleList(
            Sum(_resampling(channels, source, target) for source in range(len(channels))) for target in range(outputs)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        maps = self.branches(maps)
        return [total(maps) for total in self.fuse_layers]


def _resampling(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """From one branch to another: up by nearest neighbours after a 1 x 1 convolution, down by strided convolutions."""
    c = channels[source]
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            *conv_bn(c, channels[target], 1, relu=False), nn.Upsample(scale_factor=2 ** (source - target))
        )
    halvings = [nn.Sequential(*conv_bn(c, c, stride=2)) for _ in range(target - source - 1)]
    return nn.Sequential(*halvings, nn.Sequential(*conv_bn(c, channels[target], stride=2, relu=False)))


class HRNet(nn.Module):
    """Stem, one bottleneck stage and three stages of exchange with two, three and four branches.

    Gives one map, of stride 4, or with ``multi_scale_output`` all four, of strides 4 to 32; branch i has
    ``width`` * 2^i channels.
    """

    def __init__(
        self,
        width: int,
        weights: str,
        blocks: int = 4,
        modules: tuple[int, int, int] = (1, 4, 3),
        multi_scale_output: bool = False,
    ) -> None:
        """As published there are 4 residual ``blocks`` per module and branch, and 1, 4 and 3 ``modules`` of exchange.

        ``weights`` as in ``weights.read_weights``; files may have timm's or the original layout.

        Raises:
            LookupError: no such weights.
            ValueError: weights of another width, depth or architecture.
        """
        super().__init__()
        self.conv1, self.bn1 = conv_bn(3, 64, stride=2, relu=False)
        self.conv2, self.bn2 = conv_bn(64, 64, stride=2, relu=False)
        self.layer1 = nn.Sequential(*(Bottleneck(256 if i else 64, 64) for i in range(blocks)))
        c = tuple(width * 2**branch for branch in range(4))
        self.transition1 = _transition((256,), c[:2])
        self.stage2 = _stage(c[:2], blocks, [2] * modules[0])
        self.transition2 = _transition(c[:2], c[:3])
        self.stage3 = _stage(c[:3], blocks, [3] * modules[1])
        self.transition3 = _transition(c[:3], c)
        self.stage4 = _stage(c, blocks, [4] * (modules[2] - 1) + [4 if multi_scale_output else 1])
        self.apply(_initialise)
        state = read_weights(weights, f"hrnet_w{width}.ms_in1k")
        if state is not None:
            # A classifier sums up all four branches where a pose model may need the finest alone.
            fill(self, state, (*_CLASSIFIER, f"stage4.{modules[2] - 1}.fuse_layers."), weights)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised (B, 3, H, W), H and W multiples of 32, to maps (B, C, H / stride, W / stride)."""
        x = torch.relu(self.bn1(self.conv1(image)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        # A new branch, last, starts from the coarsest map that there is.
        maps = self.stage2(self.transition1([x, x]))
        maps = self.stage3(self.transition2([*maps, maps[-1]]))
        return self.stage4(self.transition3([*maps, maps[-1]]))


def _stage(channels: Sequence[int], blocks: int, outputs: Sequence[int]) -> nn.Sequential:
    """One module of exchange after the other, with so many outputs each."""
    return nn.Sequential(*(Exchange(channels, blocks, count) for count in outputs))


def _transition(before: Sequence[int], after: Sequence[int]) -> Parallel:
    """Fit the channels of the branches that there are, and open one more at half the resolution of the last."""
    kept = [nn.Identity() if a == b else nn.Sequential(*conv_bn(a, b)) for a, b in zip(before, after, strict=False)]
    return Parallel([*kept, nn.Sequential(nn.Sequential(*conv_bn(before[-1], after[-1], stride=2)))])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
