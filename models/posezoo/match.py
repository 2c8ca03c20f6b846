"""Nearest neighbours of frozen features: a keypoint is where the query's features are most like the supports'.

Nothing is trained: the row of a table that says what features alone can do. Published zero-shot correspondences (DIFT,
sd-dino, GECO) differ in their choices. Cosine similarity and the mean position in a window are those of GeoAware-SC
(Zhang et al., 2024), which need no training; bilinear descriptors, enlarged similarities and options are our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from posebed.config import Positive
from posebed.contracts import Inner, ModelSpec, Setting, Task
from posebed.on_device import numbers
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice
from posezoo.blocks.features import BackboneConfig, Features
from posezoo.blocks.layout import channels_last
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.peaks import mean_near, peak_of, position_of, told_apart, value_at
from posezoo.blocks.pose_prior import prior
from posezoo.blocks.precision import at_least_single

LAST = -1
"""The last block."""
MUTUAL_CELLS = 2
"""Cells of the map within which the way back from the query must end at the support's keypoint."""

# B batch, S shots, K keypoints, C channels, h w cells of the backbone's map, H W cells once similarities are enlarged

Block = Annotated[int, Field(lt=0)]


class Config(BackboneConfig):
    backbone: str = "vit_base_patch14_dinov2.lvd142m"
    """A model of timm, with or without the tag of its weights: a vision transformer or a convolutional network."""
    block: Block | tuple[Block, ...] = LAST
    """Transformer's block whose patch tokens are compared, after the final normalisation; -1 is the last. Tokens of
    several are concatenated, each divided by its length."""
    stride: Positive | tuple[Positive, ...] | None = None
    """Stride of the map that is compared, in the place of a block, for convolutional networks. Maps of several are
    brought to the finest and concatenated, each divided by its length."""
    resolution: Positive | None = 448
    """Longer side, in pixels, to which crops are resized before the backbone sees them; null leaves them as they are.
    Both sides must be multiples of the patch or stride."""
    descriptor: Literal["bilinear", "nearest"] = "bilinear"
    """What a support tells of a keypoint: unit vectors interpolated at its position, or that of its cell."""
    shots: Literal["mean", "max"] = "mean"
    """How several supports are combined: the mean of their descriptors, or the highest similarity to any."""
    upsample: Positive = 4
    """How many times finer similarities are interpolated before the highest is looked for."""
    window: Annotated[int, Field(ge=0)] = 5
    """Enlarged cells around the highest whose mean position is the answer; 0 takes the highest."""
    temperature: Annotated[float, Field(gt=0)] = 0.02
    """Temperature of the softmax that weights the cells of the window."""
    geometry: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a prior from the supports' layout: lowers similarities by the squared distance, in sides of the crop,
    from where a similarity transform of the best-fitting support has the keypoint. 0 does without."""
    mutual: bool = False
    """Halve the confidence of a keypoint whose match, looked for in the supports, is not the keypoint. Moves none."""
    sides: Literal["none", "assign", "pose"] = "none"
    """What is done about mirror partners, by the category's pairs, which the official protocol does not give: nothing,
    partners that share a peak take two (assign), or supports are also matched mirrored (pose)."""

    @field_validator("block", "stride")
    @classmethod
    def _each_once(cls, value: int | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
        if isinstance(value, tuple) and (not value or len({*value}) < len(value)):
            raise ValueError("a list must name one or more, each once")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Config:
        if self.stride is not None and self.block != LAST:
            raise ValueError(f"block must be left out beside stride, which takes its place, but is {self.block}")
        return self


@dataclass(frozen=True)
class Shown:
    """What supports tell of their keypoints."""

    descriptor: Tensor
    """(B, 1, K, C), their mean, or (B, S, K, C); of unit length, 0 where the keypoint is hidden."""
    maps: Tensor | None
    """(B, S, C, h, w), where the way back is looked for."""
    mirrored: Shown | None = None
    """The same of their mirror images."""


@dataclass(frozen=True)
class Found:
    """Where the queries' keypoints are."""

    similarity: Tensor
    """(B, K, H, W), cosine."""
    points: Keypoints
    """(B, K)"""


class Match(nn.Module):
    partner: Tensor
    """(categories, K), the number of each keypoint's mirror partner, its own where it has none."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.crop = config, setting.size
        self.resized = _resized(setting.size, config.resolution)
        self.names = tuple(category.keypoints for category in setting.categories)
        partner = torch.arange(setting.keypoints).repeat(len(setting.categories), 1)
        for row, category in zip(partner, setting.categories, strict=True):
            row[: len(category.keypoints)] = torch.tensor(category.flip_index())
        self.register_buffer("partner", partner, persistent=False)
        strides, blocks = _several(config.stride), _several(config.block)
        self.backbone = Features(
            config.backbone,
            config.weights,
            sorted(strides),
            self.resized,
            blocks=() if strides else blocks,
            final_norm=not strides,
        )
        if strides and isinstance(self.backbone.trunk, VisionTransformer):
            raise ValueError(
                f"stride must be left out with {config.backbone}, a vision transformer, whose layers block names, "
                f"but is {config.stride}"
            )
        _must_divide(self.resized, max(self.backbone.strides), config)
        self.normalise = Normalise(self.backbone.mean, self.backbone.std)
        channels_last(self)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Frozen features know one mode."""
        return super().train(False)

    def forward(self, batch: EpisodeBatch) -> Found:
        return self.locate(batch, self.encode_support(batch))

    def encode_support(self, batch: EpisodeBatch) -> Shown:
        """
        Raises:
            ValueError: sides are told apart in a program, which is given no mirror partners.
        """
        if self.config.sides != "none" and torch.compiler.is_exporting():
            raise ValueError(
                "sides must be none in a file that runs without posebed, as it is given no mirror partners, but is "
                f"{self.config.sides}"
            )
        shown = self._shown(batch.support_image, batch.support)
        if self.config.sides != "pose":
            return shown
        return replace(shown, mirrored=self._shown(batch.support_image.flip(-1), self._mirrored(batch)))

    def locate(self, batch: EpisodeBatch, support: Shown) -> Found:
        query = self._maps(batch.image)
        with torch.autocast(query.device.type, enabled=False):
            found = self._found(query, support, batch.support, batch.category)
            if support.mirrored is None:
                return found
            points = self._mirrored(batch)
            mirrored = self._found(query, support.mirrored, points, batch.category)
            return _more_similar(found, mirrored, _is_shown(batch.support) & _is_shown(points))

    def decode(self, prediction: Found, batch: EpisodeBatch) -> Keypoints:
        """The confidence is the similarity, which is no probability; it is 0 where no support shows the keypoint."""
        return prediction.points

    def inspect(self, batch: EpisodeBatch) -> Mapping[str, Inner]:
        """How similar the first query is everywhere to each keypoint of its category."""
        names = self.names[int(batch.category[0])]
        return {"similarity": Inner(self(batch).similarity[:, : len(names)], names)}

    def _maps(self, images: Tensor) -> Tensor:
        """Unit vectors (B, C, h, w) of pictures (B, 3, H, W)."""
        picture = self.normalise(images)
        if self.resized != self.crop:
            smaller = self.resized[0] < self.crop[0]
            picture = functional.interpolate(picture, self.resized, mode="bilinear", antialias=smaller)
        maps = [at_least_single(each) for each in self.backbone(picture)]
        with torch.autocast(images.device.type, enabled=False):
            if len(maps) == 1:
                return _unit(maps[0], 1)
            fine = maps[0].shape[-2:]
            same = [m if m.shape[-2:] == fine else functional.interpolate(m, fine, mode="bilinear") for m in maps]
            return _unit(torch.cat([_unit(each, 1) for each in same], 1), 1)

    def _shown(self, images: Tensor, points: Keypoints) -> Shown:
        shots = images.shape[:2]
        maps = self._maps(images.flatten(0, 1))
        with torch.autocast(maps.device.type, enabled=False):
            each = _read(maps, self._share(points.xy).flatten(0, 1), self.config.descriptor).unflatten(0, shots)
            descriptor = _unit(each, 3) * points.weight[..., None]
            if self.config.shots == "mean":
                descriptor = _unit(descriptor.sum(1, keepdim=True), 3)
        return Shown(descriptor, maps.unflatten(0, shots) if self.config.mutual else None)

    def _mirrored(self, batch: EpisodeBatch) -> Keypoints:
        """The keypoints of the supports' mirror images."""
        partner = self.partner[batch.category][:, None].expand_as(batch.support.weight)
        x, y = batch.support.xy.unbind(-1)
        x = self.crop[1] - 1 - x
        xy = torch.stack([x.gather(2, partner), y.gather(2, partner)], -1)
        return Keypoints(xy, batch.support.weight.gather(2, partner))

    def _similarity(self, query: Tensor, support: Shown, points: Keypoints) -> Tensor:
        """(B, K, H, W), cosine; 0 where the keypoint is hidden."""
        maps = torch.einsum("bskc,bchw->bskhw", support.descriptor, query)
        # Hidden ones, which are 0, are higher than what is unlike.
        maps = maps.masked_fill((points.weight == 0)[..., None, None], -1) if self.config.shots == "max" else maps
        maps = maps.amax(1) * _is_shown(points)[..., None, None]
        if self.config.upsample == 1:
            return maps
        return functional.interpolate(maps, scale_factor=float(self.config.upsample), mode="bilinear")

    def _found(self, query: Tensor, support: Shown, points: Keypoints, category: Tensor) -> Found:
        config, shown = self.config, _is_shown(points)
        maps = self._similarity(query, support, points)
        likely = self._with_prior(maps, points) if config.geometry else maps
        assign = config.sides == "assign"
        peak = told_apart(likely, self.partner[category], shown) if assign else peak_of(likely)
        confidence = value_at(maps, peak).clamp(0, 1) * shown
        cell = position_of(peak, maps.shape[-1]).to(maps.dtype)
        if support.maps is not None:
            returns = self._returns(query, self._pixel(cell, maps), support.maps, points)
            confidence = confidence * torch.where(returns, 1.0, 0.5)
        if config.window:
            lower = (likely - value_at(likely, peak)[..., None, None]).clamp(max=0)  # a second peak has higher cells
            weight = (lower / config.temperature).exp()
            cell, _ = mean_near(weight, peak, config.window)
        middle = numbers([(self.crop[1] - 1) / 2, (self.crop[0] - 1) / 2], cell)
        xy = torch.where(shown[..., None], self._pixel(cell, maps), middle)
        return Found(maps, Keypoints(xy, confidence))

    def _with_prior(self, maps: Tensor, points: Keypoints) -> Tensor:
        """Similarities less the squared distance from where a support's layout has the keypoint. In the fit a peak
        counts by how far it stands above its map's mean."""
        peak, side = peak_of(maps), max(self.crop)
        width, height = maps.shape[-1], maps.shape[-2]
        found = self._pixel(position_of(peak, width).to(maps.dtype), maps)
        trust = (value_at(maps, peak) - maps.mean((2, 3))).clamp(min=0)
        there, known = prior(points.xy.to(maps.dtype), points.weight, found, trust, side)
        away_x, away_y = (
            (self._pixel(torch.arange(count, device=maps.device), maps) - there[..., axis, None]).square() / side**2
            for axis, count in ((0, width), (1, height))
        )
        away = away_y[..., :, None] + away_x[..., None, :]
        return maps - self.config.geometry * away * known[..., None, None]

    def _returns(self, query: Tensor, xy: Tensor, supports: Tensor, points: Keypoints) -> Tensor:
        """(B, K), whether the cell of a support that is most like the query's at ``xy`` is the keypoint's."""
        vector = _unit(_read(query, self._share(xy), "bilinear"), 2)
        back = torch.einsum("bkc,bschw->bskhw", vector, supports)
        width, height = back.shape[-1], back.shape[-2]
        cell = position_of(back.flatten(3).argmax(3), width)
        own = self._share(points.xy) * numbers([width, height], points.xy) - 0.5
        near = (cell - own).square().sum(-1) <= MUTUAL_CELLS**2
        return (near & (points.weight > 0)).any(1)

    def _pixel(self, cell: Tensor, maps: Tensor) -> Tensor:
        """From cells of maps to pixels of the crop, along either axis."""
        return (cell + 0.5) * (self.crop[1] / maps.shape[-1]) - 0.5

    def _share(self, xy: Tensor) -> Tensor:
        """From pixels of the crop to shares of it, 0 and 1 at its edges."""
        return (xy + 0.5) / numbers([self.crop[1], self.crop[0]], xy)


def _unit(vectors: Tensor, axis: int) -> Tensor:
    return functional.normalize(vectors, dim=axis, eps=1e-8)


def _is_shown(points: Keypoints) -> Tensor:
    """(B, K), whether any support shows the keypoint."""
    return points.weight.amax(1) > 0


def _read(maps: Tensor, share: Tensor, how: Literal["bilinear", "nearest"]) -> Tensor:
    """What maps (N, C, h, w) hold at shares (N, K, 2), (N, K, C); beyond the outermost cells, what those hold."""
    grid = (2 * share - 1)[:, :, None].to(maps.dtype)
    read = functional.grid_sample(maps, grid, mode=how, padding_mode="border", align_corners=False)
    return read[..., 0].transpose(1, 2)


def _more_similar(one: Found, other: Found, both: Tensor) -> Found:
    """Of two answers, for each query the one whose highest similarities are higher in the mean over the keypoints that
    ``both`` (B, K) know; the first keeps the other keypoints."""
    gain = (other.similarity.amax((2, 3)) - one.similarity.amax((2, 3))) * both
    use = (gain.sum(1) > 0)[:, None] & both
    return Found(
        torch.where(use[..., None, None], other.similarity, one.similarity),
        Keypoints(
            torch.where(use[..., None], other.points.xy, one.points.xy),
            torch.where(use, other.points.weight, one.points.weight),
        ),
    )


def _several(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _resized(crop: tuple[int, int], resolution: int | None) -> tuple[int, int]:
    """Height and width of a crop whose longer side is resized.

    Raises:
        ValueError: the shorter one would be no whole number of pixels.
    """
    if resolution is None:
        return crop
    longer = max(crop)
    if any(side * resolution % longer for side in crop):
        raise ValueError(
            f"resolution must keep the shape of crops of {crop[0]} x {crop[1]} in whole pixels, but is {resolution}"
        )
    return crop[0] * resolution // longer, crop[1] * resolution // longer


def _must_divide(resized: tuple[int, int], cell: int, config: Config) -> None:
    if any(side % cell for side in resized):
        raise ValueError(
            f"height and width of what {config.backbone} sees must be multiples of {cell}, but are {resized[0]} x "
            f"{resized[1]}, as resolution is {'null' if config.resolution is None else config.resolution}"
        )


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=Match,
    trained=False,
    space={
        "model.backbone": Choice(
            "vit_small_patch14_dinov2.lvd142m",
            "vit_base_patch14_dinov2.lvd142m",
            "vit_large_patch14_dinov2.lvd142m",
            "vit_small_patch16_dinov3.lvd1689m",
            "vit_base_patch16_dinov3.lvd1689m",
            "vit_base_patch16_clip_quickgelu_224.openai",
            "vit_base_patch16_224.augreg_in1k",  # without the others' training, for comparison
        ),
        "model.block": Choice(-1, -2, -3, (-1, -3)),
        "model.resolution": Choice(224, 448, 672),
        "model.descriptor": Choice("bilinear", "nearest"),
        "model.shots": Choice("mean", "max"),
        "model.upsample": Choice(1, 4, 8),
        "model.window": Choice(0, 3, 5, 10),
        "model.temperature": Choice(0.005, 0.02, 0.05),
        "model.geometry": Choice(0.0, 0.5, 2.0),
    },
    answering=("backbone", "weights"),
    protocol=lambda config: {} if config.sides == "none" else {"told": "mirror pairs"},
    small={"weights": "none", "backbone": "test_resnet", "stride": 8, "resolution": None},
)
