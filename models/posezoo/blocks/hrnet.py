"""The high-resolution network (Sun et al. 2019, arXiv 1902.09212); parameters are named as in the released weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from posebed.training.state_dict import fill
from posezoo.blocks.pointwise import Pointwise
from posezoo.blocks.weights import read_weights

STRIDES = (4, 8, 16, 32)
"""Of the branches."""

_CLASSIFIER = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")


def conv_bn(channels_in: int, channels: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> list[nn.Module]:
    """``stride`` is that of kernels above 1."""
    if kernel == 1:
        conv: nn.Module = Pointwise(channels_in, channels)
    else:
        conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
    layers = [conv, nn.BatchNorm2d(channels)]
    return [*layers, nn.ReLU(inplace=True)] if relu else layers


class Basic(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(channels, channels, relu=False)
        self.conv2, self.bn2 = conv_bn(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_()
        return self.bn2(self.conv2(y)).add_(x).relu_()


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
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        return self.bn3(self.conv3(y)).add_(self.downsample(x)).relu_()


class Parallel(nn.ModuleList):
    """One layer per branch."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self, maps, strict=True)]


class Sum(Parallel):
    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        first, second, *others = super().forward(maps)
        total = first + second  # a new tensor, as the first may be a branch's own map
        for other in others:
            total.add_(other)
        return total.relu_()


class Exchange(nn.Module):
    """Residual blocks on every branch, then each output is the sum of all branches, resampled to its resolution.

    Branch i has stride 4 * 2^i. Only the sums for the branches in ``outputs`` are made.
    """

    def __init__(self, channels: Sequence[int], blocks: int, outputs: Sequence[int]) -> None:
        super().__init__()
        self.branches = Parallel(nn.Sequential(*(Basic(c) for _ in range(blocks))) for c in channels)
        self.fuse_layers = nn.ModuleDict(
            {
                str(target): Sum(_resampling(channels, source, target) for source in range(len(channels)))
                for target in outputs
            }
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        maps = self.branches(maps)
        return [total(maps) for total in self.fuse_layers.values()]


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

    Branch i, of stride 4 * 2^i, has ``width`` * 2^i channels.
    """

    channels: tuple[int, ...]
    """Of each map."""

    def __init__(
        self,
        width: int,
        weights: str,
        blocks: int = 4,
        modules: tuple[int, int, int] = (1, 4, 3),
        strides: Sequence[int] = STRIDES[:1],
    ) -> None:
        """
        Args:
            width: channels of the finest branch.
            weights: as in ``weights.read_weights``; files may have timm's or the original layout.
            blocks: residual blocks per module and branch.
            modules: of exchange in stages 2, 3 and 4.
            strides: of the maps that are wanted, from fine to coarse.

        Raises:
            LookupError: no such weights, or no branch of such a stride.
            ValueError: weights of another width, depth or architecture.
        """
        super().__init__()
        self.conv1, self.bn1 = conv_bn(3, 64, stride=2, relu=False)
        self.conv2, self.bn2 = conv_bn(64, 64, stride=2, relu=False)
        self.layer1 = nn.Sequential(*(Bottleneck(256 if i else 64, 64) for i in range(blocks)))
        c = tuple(width * 2**branch for branch in range(4))
        self.transition1 = _transition((256,), c[:2])
        self.stage2 = _stage(c[:2], blocks, [range(2)] * modules[0])
        self.transition2 = _transition(c[:2], c[:3])
        self.stage3 = _stage(c[:3], blocks, [range(3)] * modules[1])
        self.transition3 = _transition(c[:3], c)
        wanted = _branches(strides)
        self.channels = tuple(c[branch] for branch in wanted)
        self.stage4 = _stage(c, blocks, [range(4)] * (modules[2] - 1) + [wanted])
        self.apply(_initialise)
        state = read_weights(weights, f"hrnet_w{width}.ms_in1k")
        if state is not None:
            # A classifier sums up all four branches, of which a pose model may need fewer.
            fill(self, state, (*_CLASSIFIER, f"stage4.{modules[2] - 1}.fuse_layers."), weights)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised (B, 3, H, W), H and W multiples of 32, to maps (B, C, H / stride, W / stride)."""
        x = self.bn1(self.conv1(image)).relu_()
        x = self.bn2(self.conv2(x)).relu_()
        x = self.layer1(x)
        # A new branch, last, starts from the coarsest map that there is.
        maps = self.stage2(self.transition1([x, x]))
        maps = self.stage3(self.transition2([*maps, maps[-1]]))
        return self.stage4(self.transition3([*maps, maps[-1]]))


def _branches(strides: Sequence[int]) -> list[int]:
    unknown = [stride for stride in strides if stride not in STRIDES]
    if unknown:
        raise LookupError(f"stride must be one of {', '.join(map(str, STRIDES))}, which HRNet has, but is {unknown[0]}")
    return [STRIDES.index(stride) for stride in strides]


def _stage(channels: Sequence[int], blocks: int, outputs: Sequence[Sequence[int]]) -> nn.Sequential:
    """One module of exchange after the other, each with its own outputs."""
    return nn.Sequential(*(Exchange(channels, blocks, branches) for branches in outputs))


def _transition(before: Sequence[int], after: Sequence[int]) -> Parallel:
    """Fit the channels of the branches that there are, and open one more at half the resolution of the last."""
    kept = [nn.Identity() if a == b else nn.Sequential(*conv_bn(a, b)) for a, b in zip(before, after, strict=False)]
    return Parallel([*kept, nn.Sequential(nn.Sequential(*conv_bn(before[-1], after[-1], stride=2)))])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
