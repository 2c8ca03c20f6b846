"""ProtoPose: a vision transformer with a prompt for each named keypoint, fine-tuned on the supports of all categories.

Read from the released code; the paper's text was not available. Supports are never encoded: the whole network takes
some steps on them, while the prompts move towards the features at the annotated points. Where ours differs:

- A family's bank has a row for each keypoint name in the data, lower-cased; the release keeps a table of harmonised
  names. MP-100's "animal body" is one family here, and mammals, birds and insects there.
- A training batch has equally many episodes of each category, whose query and supports are its pictures; the release
  takes equally many pictures of each family.
- Fine-tuning is in single precision; the release's is in half precision with several shots. Supports are varied within
  their crop, which is black outside. Draws depend on the seed and the supports alone.
- Validation fine-tunes for as many steps as the test; the release's for 20.
- ``prompts: fresh`` and ``prompts: support`` are ours: see ``Config.prompts``.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from posebed.config import AugmentConfig, Positive, Share, TrainConfig
from posebed.contracts import ModelSpec, Paper, Setting, Task
from posebed.data.codecs import HeatmapCodec
from posebed.pose import EpisodeBatch, Keypoints
from posebed.space import Choice
from posebed.training.engine import make_optimizer
from posezoo.blocks import heatmap
from posezoo.blocks.adaptation import ANSWERS_LEARN, Supports, supports_of
from posezoo.blocks.heatmap import FlipTest
from posezoo.blocks.prompt_banks import PromptBanks, mean_of_seen, moved, prompts_at
from posezoo.blocks.prompted_vit import PromptedConfig, PromptedHeatmaps
from posezoo.blocks.support_variants import Samples, joined, varied

# B batch, S shots, K keypoints, N pictures, R rows of prompts, C channels, h w heatmap

UNDECAYED = ("vector", "position")
"""Parameters without weight decay, in training and in fine-tuning."""
TOLD = {
    "named": "keypoint names, trained on the supports of all test categories",
    "fresh": "keypoint names of the test categories alone, trained on the supports of all test categories",
}
"""What a model of these prompts learns of a category beyond its own supports."""


class Config(PromptedConfig):
    prompts: Literal["named", "fresh", "support"] = "named"
    """What a keypoint is looked for by. named: the row of its name in its family's bank, which training may have
    trained, as released. fresh: the same, but every test begins with untrained rows, so that no test keypoint's name
    was trained. support: the features at the episode's annotated points; no names, no mirrored partners, and each
    episode fine-tunes on its own supports."""
    flip_test: Literal["off", "plain"] = "plain"
    """Average with the heatmaps of the mirrored picture; off with ``prompts: support``."""
    sigma: Annotated[float, Field(gt=0)] = 2.0
    """Standard deviation of the target's Gaussian, in heatmap cells."""
    momentum: Share = 0.9
    """Share of a prompt that stays when it moves towards a keypoint's feature."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Factor of the learning rate from each block to the one before, in training and in fine-tuning."""
    steps: Annotated[int, Field(ge=0)] = 40
    """Steps of fine-tuning; 0 tells what training knows without supports."""
    inner_lr: Annotated[float, Field(gt=0)] = 1e-4
    """Learning rate of fine-tuning, by AdamW."""
    inner_decay: Annotated[float, Field(ge=0)] = 0.1
    """Weight decay of fine-tuning."""
    frozen: Annotated[int, Field(ge=0)] = 0
    """First blocks that fine-tuning leaves as they are, and the patches' embedding with them: 9 across
    super-categories."""
    copies: Positive = 4
    """Augmented copies of a support in each step of fine-tuning; of several supports half as many each."""
    single: tuple[str, ...] = ("clothes", "animal body", "animal face")
    """Families of whose supports each step takes one copy."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Scale augmentation in fine-tuning, as in ``AugmentConfig``."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 40.0
    """Rotation augmentation in fine-tuning, likewise."""
    shift: Share = 0.15
    """Shift augmentation of half of the copies, likewise."""
    flip: Share = 0.5
    """Share of the copies that are mirrored, with their partners exchanged; none with ``prompts: support``."""
    seed: int = 0
    """Seed of fine-tuning and of fresh prompts."""

    @model_validator(mode="before")
    @classmethod
    def _without_names(cls, given: Any) -> Any:
        """Without names there are no partners, unless they are asked for."""
        unpaired = isinstance(given, Mapping) and given.get("prompts") == "support"
        return {"flip_test": "off", "flip": 0.0, **given} if unpaired else given

    @model_validator(mode="after")
    def _partners_need_names(self) -> Config:
        if self.prompts == "support" and (self.flip_test != "off" or self.flip):
            raise ValueError(
                "prompts: support must go with flip_test: off and flip: 0, since it knows no mirrored partners, but "
                f"they are {self.flip_test} and {self.flip:g}"
            )
        return self


class Prediction(NamedTuple):
    heatmaps: Tensor
    """(B, n, K, h, w), of the query alone or in training of its supports as well."""
    features: Tensor | None = None
    """The patches' maps of the same pictures, (B n, C, h, w) without gradients; in training alone."""


class Learnt(NamedTuple):
    """What a round's supports taught."""

    network: PromptedHeatmaps
    vectors: Tensor
    """(R, C) prompts."""


class ProtoPose(nn.Module, ABC):
    """What all prompts have in common. Subclasses say where they start."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.size = config, setting.size
        self.network = PromptedHeatmaps(config, setting.size)
        height, width = (config.upsample * side for side in self.network.encoder.grid)
        self.codec = HeatmapCodec(setting.size, (height, width), config.sigma, "udp")
        self.flip_test = FlipTest(config.flip_test, setting)
        self.single = tuple(category.family in config.single for category in setting.categories)
        strengths = {name: getattr(config, name) for name in ("scale", "rotation", "shift", "flip")}
        self.augment = AugmentConfig(**strengths, shift_share=0.5)
        self.inner = TrainConfig(
            optimizer="adamw", lr=config.inner_lr, weight_decay=config.inner_decay, undecayed=UNDECAYED
        )
        self._last: tuple[object, Learnt] | None = None

    @abstractmethod
    def start(self, samples: Samples) -> Tensor:
        """The prompts (R, C) that fine-tuning on these starts from."""

    @abstractmethod
    def rows_of(self, category: Tensor) -> Tensor:
        """The rows (N, K) of the keypoints of categories (N,)."""

    def train(self, mode: bool = True) -> Self:
        """The mode; what the last supports taught is forgotten, as stored weights may change before the next."""
        self._last = None
        return super().train(mode)

    # --- in evaluation

    def answered(self, batch: EpisodeBatch) -> Prediction:
        """Predictions of the queries, each by what its own supports alone teach, learnt once for all queries of the
        same supports. The last are kept for the next batch, which may begin with more of their queries."""
        supports, category = supports_of(batch), batch.category.tolist()
        rows: dict[object, list[int]] = {}
        for row, each in enumerate(supports):
            rows.setdefault((category[row], each.digests), []).append(row)
        heatmaps: dict[int, Tensor] = {}
        for key, queries in rows.items():
            if self._last is None or self._last[0] != key:
                self._last = key, self.learnt([supports[queries[0]]], [category[queries[0]]])
            found = self.located(batch.image[queries], batch.category[queries], self._last[1])
            heatmaps |= dict(zip(queries, found, strict=True))
        return Prediction(torch.stack([heatmaps[row] for row in range(len(batch))])[:, None])

    def located(self, image: Tensor, category: Tensor, learnt: Learnt) -> Tensor:
        """Heatmaps (N, K, h, w), by the flip test."""
        prompts = prompts_at(learnt.vectors, self.rows_of(category))
        return self.flip_test.of(lambda picture: learnt.network(picture, prompts)[0], image, category)

    def learnt(self, supports: Sequence[Supports], category: Sequence[int]) -> Learnt:
        """What the supports of some categories teach a copy of the network, and the prompts. It depends on nothing else
        but the seed, and not on the order of the categories."""
        samples, digests = joined(supports, category)
        device, shots = samples.image.device, len(supports[0].digests)
        several = max(1, self.config.copies // min(2, shots))
        copies = [1 if self.single[each] else several for each in samples.category.tolist()]
        seed, steps, partner = self.config.seed, self.config.steps, self.flip_test.index
        varying = varied(samples, digests, copies, steps, self.augment, partner, seed)
        accelerators = [device] if device.type == "cuda" else []
        # Small steps get lost in half precision.
        with torch.autocast(device.type, enabled=False), torch.random.fork_rng(accelerators):
            torch.manual_seed(int(np.random.default_rng([seed, *digests]).integers(2**62)))
            return self.fine_tuned(self.start(samples), varying)

    def fine_tuned(self, vectors: Tensor, steps: Iterator[Samples]) -> Learnt:
        """The network after a step of AdamW on each of the samples, and the prompts after they moved with each: by the
        features of before the step."""
        network = copy.deepcopy(self.network)
        optimizer = make_optimizer(network, self.inner, self.inner_rates())
        network.train()
        for samples in steps:
            rows = self.rows_of(samples.category)
            with torch.enable_grad():
                heatmaps, patches = network(samples.image, prompts_at(vectors, rows))
                self.error(heatmaps, samples.keypoints).backward()
            optimizer.step()
            optimizer.zero_grad()
            features, seen = network.features_at(patches, samples.keypoints, self.size)
            vectors = moved(vectors, rows, features, seen, self.config.momentum)
        return Learnt(network.eval().requires_grad_(False), vectors)

    def inner_rates(self) -> Mapping[str, float]:
        """Factors of the learning rate in fine-tuning."""
        rates = dict(rates_of("", self.config))
        first = ("encoder.trunk.patch_embed.", *(f"encoder.trunk.blocks.{i}." for i in range(self.config.frozen)))
        return rates | dict.fromkeys(first if self.config.frozen else (), 0.0)

    # --- in training

    def error(self, heatmaps: Tensor, keypoints: Keypoints) -> Tensor:
        """``half_squared_error`` of heatmaps (N, K, h, w)."""
        return half_squared_error(heatmaps, *self.codec.encode(keypoints))

    def losses(self, prediction: Prediction, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        shown = _annotated(batch, prediction.heatmaps.shape[1])
        return {"heatmap": self.error(prediction.heatmaps.flatten(0, 1), shown)}

    def decode(self, prediction: Prediction, batch: EpisodeBatch) -> Keypoints:
        """Peaks of the queries' heatmaps; the confidence is 0 where a keypoint has no trained name and no support shows
        it."""
        points = heatmap.decode(self.codec, prediction.heatmaps[:, 0])
        if self.config.prompts == "named":
            return points
        return Keypoints(points.xy, points.weight * (batch.support.weight.amax(1) > 0))


class NamedPrompts(ProtoPose):
    """Prompts of banks. In evaluation it learns from the supports of a whole round (``RoundLearner``)."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__(config, setting)
        self.banks = PromptBanks(setting, config.width)

    def start(self, samples: Samples) -> Tensor:
        return self.banks.fresh(self.config.seed) if self.config.prompts == "fresh" else self.banks.vectors

    def rows_of(self, category: Tensor) -> Tensor:
        return self.banks.rows[category]

    def learn_round(self, batch: EpisodeBatch) -> Learnt:
        return self.learnt(supports_of(batch), batch.category.tolist())

    def locate_after(self, batch: EpisodeBatch, learnt: Learnt) -> Prediction:
        return Prediction(self.located(batch.image, batch.category, learnt)[:, None])

    def forward(self, batch: EpisodeBatch) -> Prediction:
        if not self.training:
            return self.answered(batch)
        images = torch.cat([batch.image[:, None], batch.support_image], 1)
        heatmaps, patches = self.network(images.flatten(0, 1), prompts_at(self.banks.vectors, self._rows(batch)))
        return Prediction(heatmaps.unflatten(0, images.shape[:2]), patches)

    def _rows(self, batch: EpisodeBatch) -> Tensor:
        """Of the query and the supports in turn, (B (1 + S), K)."""
        return self.rows_of(batch.category.repeat_interleave(1 + batch.support_image.shape[1]))

    def moved_buffers(self, prediction: Prediction, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        if prediction.features is None:
            return {}
        shown = _annotated(batch, prediction.heatmaps.shape[1])
        features, seen = self.network.features_at(prediction.features, shown, self.size)
        rows, momentum = self._rows(batch), self.config.momentum
        return {"banks.vectors": moved(self.banks.vectors, rows, features, seen, momentum)}


class SupportPrompts(ProtoPose):
    """Prompts of an episode: the mean features of its supports at the annotated points."""

    def start(self, samples: Samples) -> Tensor:
        with torch.no_grad():
            patches, _ = self.network.encoder(self.network.normalise(samples.image))
        return mean_of_seen(*self.network.features_at(patches, samples.keypoints, self.size))

    def rows_of(self, category: Tensor) -> Tensor:
        return torch.arange(self.flip_test.index.shape[1], device=category.device).expand(len(category), -1)

    def forward(self, batch: EpisodeBatch) -> Prediction:
        if not self.training:
            return self.answered(batch)
        of = zip(batch.support_image, batch.support.xy, batch.support.weight, batch.category, strict=True)
        starts = [self.start(Samples(image, Keypoints(xy, weight), category)) for image, xy, weight, category in of]
        return Prediction(self.network(batch.image, torch.stack(starts))[0][:, None])

    def losses(self, prediction: Prediction, batch: EpisodeBatch) -> Mapping[str, Tensor]:
        """Over the query's keypoints that some support shows."""
        weight = batch.keypoints.weight * (batch.support.weight.amax(1) > 0)
        return {"heatmap": self.error(prediction.heatmaps[:, 0], Keypoints(batch.keypoints.xy, weight))}


def half_squared_error(heatmaps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half the squared error of maps (N, K, h, w), mean over cells, then over keypoints by their weights (N, K); 0
    where all weights are."""
    squared = (heatmaps - target).square().mean((2, 3))
    return 0.5 * (squared * weight).sum() / torch.where(weight.sum() > 0, weight.sum(), 1)


def _annotated(batch: EpisodeBatch, pictures: int) -> Keypoints:
    """Of so many pictures of each row, the query first: (B n, K)."""
    xy = torch.cat([batch.keypoints.xy[:, None], batch.support.xy], 1)[:, :pictures]
    weight = torch.cat([batch.keypoints.weight[:, None], batch.support.weight], 1)[:, :pictures]
    return Keypoints(xy.flatten(0, 1), weight.flatten(0, 1))


def build(config: Config, setting: Setting) -> ProtoPose:
    return (SupportPrompts if config.prompts == "support" else NamedPrompts)(config, setting)


def rates_of(prefix: str, config: Config) -> Mapping[str, float]:
    """The decoder and the last normalisation at the full rate, each block slower than the next, the patches slowest."""
    trunk, decay, depth = f"{prefix}encoder.trunk.", config.layer_decay, config.depth
    slowest = decay ** (depth + 1)
    blocks = {f"{trunk}blocks.{i}.": decay ** (depth - i) for i in range(depth)}
    return {f"{trunk}patch_embed.": slowest, f"{trunk}pos_embed": slowest, **blocks}


def learning_rates(config: Config) -> Mapping[str, float]:
    return rates_of("network.", config)


def protocol(config: Config) -> Mapping[str, str]:
    return {"told": TOLD[config.prompts]} if config.prompts in TOLD else {}


def released(config: Config, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The network's names in the authors' code. Their banks stay as they are called: rows have harmonised names there,
    which the data's files do not have."""
    return {_renamed(name): tensor for name, tensor in state.items()}


def _renamed(name: str) -> str:
    name = name.replace("decoder.conv_", "network.decoder.")
    return f"network.encoder.trunk.{name.removeprefix('encoder.')}" if name.startswith("encoder.") else name


SPEC = ModelSpec(
    tasks=(Task.CATEGORY_AGNOSTIC,),
    config=Config,
    model=build,
    space={
        "model.inner_lr": Choice(3e-5, 1e-4),
        "model.steps": Choice(0, 10, 20, 40),
        "model.momentum": Choice(0.5, 0.9),
        "model.frozen": Choice(0, 9, 12),
        "model.copies": Choice(1, 4),
        "train.lr": Choice(3e-5, 1e-4),
    },
    paper=Paper(
        "Effective Category-Agnostic Pose Estimation via Prototype Embeddings",
        2025,
        "github.com/AnonymityAuthor/ProtoPose",
        name="ProtoPose",
    ),
    answering=("prompts", "steps", "flip_test", "backbone", "width", "weights"),
    train={
        "epochs": 50,
        "batch_size": 30,
        "optimizer": "adamw",
        "lr": 1e-4,
        "weight_decay": 0.1,
        "undecayed": ("vector", "position"),
        "warmup_steps": 500,
        "decay_at": (),
        "augment": {"scale": 0.5, "rotation": 40.0, "shift": 0.15, "shift_share": 0.5, "flip": 0.5},
    },
    fastest={"cpu-avx512-bf16": ("eager", "bfloat16")},
    learning_rates=learning_rates,
    protocol=protocol,
    # A round's network is copied whole, which stage 3 scatters.
    max_zero=2,
    released=released,
    small={
        "weights": "none",
        "backbone": "test_vit",
        "width": 64,
        "depth": 2,
        "heads": 2,
        "drop_path": 0.0,
        "steps": 2,
        "copies": 1,
    },
    not_exported="is trained anew on the supports of every round",
    exceptions={
        **ANSWERS_LEARN,
        "the_order_of_the_keypoints_does_not_matter": "each keypoint has a prompt of its own, found by its name",
    },
)
