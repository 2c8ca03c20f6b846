"""What models with one heatmap per keypoint of one skeleton share: targets, loss, flip test and decoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from posebed.config import Section
from posebed.contracts import Setting
from posebed.data.codecs import HeatmapCodec, Kind
from posebed.pose import Batch, Keypoints
from posezoo.blocks.layout import channels_last
from posezoo.blocks.precision import at_least_single

# B batch, K keypoints, h w heatmap

FlipMode = Literal["off", "plain", "shifted"]


class HeatmapConfig(Section):
    target: Kind = "msra"
    """Codec between keypoints and heatmaps."""
    sigma: Annotated[float, Field(gt=0)] = 2.0
    """Standard deviation of the target's Gaussian, in heatmap cells; papers take 2 for 64 cells and 3 for 96."""
    flip_test: FlipMode = "shifted"
    """Average with the heatmaps of the mirrored picture: off, plain, or moved by one cell to the right before
    (shifted)."""


class HeatmapModel(nn.Module):
    """Backbone and head, trained by mean squared error. The backbone gives a list of maps; the head takes the first."""

    def __init__(
        self,
        normalise: nn.Module,
        backbone: nn.Module,
        head: nn.Module,
        heatmap_size: tuple[int, int],
        config: HeatmapConfig,
        setting: Setting,
    ) -> None:
        super().__init__()
        self.normalise, self.backbone, self.head = normalise, backbone, head
        self.codec = HeatmapCodec(setting.size, heatmap_size, config.sigma, config.target)
        self.flip_test = FlipTest(config.flip_test, setting)
        channels_last(self)

    def heatmaps(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..255 to (B, K, h, w)."""
        return at_least_single(self.head(self.backbone(self.normalise(image))[0]))

    def forward(self, batch: Batch) -> Tensor:
        """Heatmaps (B, K, h, w); in evaluation those of the flip test."""
        return self.heatmaps(batch.image) if self.training else self.flip_test(self.heatmaps, batch)

    def losses(self, prediction: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"heatmap": heatmap_loss(prediction, *self.codec.encode(batch.keypoints))}

    def decode(self, prediction: Tensor, batch: Batch) -> Keypoints:
        return decode(self.codec, prediction)


class FlipTest(nn.Module):
    """Averages the heatmaps of a picture and of its mirror image, in which left and right keypoints change places."""

    index: Tensor

    def __init__(self, mode: FlipMode, setting: Setting) -> None:
        super().__init__()
        self.mode = mode
        padding = tuple(range(setting.keypoints))
        table = [(*c.flip_index(), *padding[len(c.keypoints) :]) for c in setting.categories]
        self.register_buffer("index", torch.tensor(table), persistent=False)

    def forward(self, heatmaps: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        """(B, K, h, w), given the function from pictures to heatmaps."""
        return self.of(heatmaps, batch.image, batch.category)

    def of(self, heatmaps: Callable[[Tensor], Tensor], image: Tensor, category: Tensor) -> Tensor:
        """The same of pictures (B, 3, H, W) of categories (B,)."""
        maps = heatmaps(image)
        if self.mode == "off":
            return maps
        mirrored = heatmaps(image.flip(-1)).flip(-1)
        mirrored = mirrored.gather(1, self.index[category][:, :, None, None].expand_as(mirrored))
        if self.mode == "shifted":
            mirrored = torch.cat([mirrored[..., :1], mirrored[..., :-1]], -1)
        return (maps + mirrored) / 2


def heatmap_loss(heatmaps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error times the keypoint's weight, mean over batch, keypoints (padded ones too) and cells."""
    return ((heatmaps - target).square().mean((2, 3)) * weight).mean()


def decode(codec: HeatmapCodec, heatmaps: Tensor) -> Keypoints:
    """Points in crop pixels; the confidence is the peak, held within 0..1."""
    points = codec.decode(heatmaps)
    return Keypoints(points.xy, points.weight.clamp(0, 1))
