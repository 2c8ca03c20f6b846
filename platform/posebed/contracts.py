"""What a model, a dataset and a metric must do, and what they are given. Read this file first.

An Experiment goes to the workers, Batches go through the model, and a Result comes back. A model is one module whose
last lines are its ``SPEC``. So are a dataset, metrics that are measured together, a sampler of searches and the presets
of a paper. ``posebed.catalog`` finds them in any installed package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from pydantic.errors import PydanticInvalidForJsonSchema

from posebed.config import Section, TrainConfig
from posebed.space import Choice, LogUniform, Space, Uniform, check_order

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from posebed.pose import Batch, EpisodeBatch, Keypoints
    from posebed.predictions import Predictions
    from posebed.records import Category, Dataset

ConfigT = TypeVar("ConfigT", bound=Section)
OptionsT = TypeVar("OptionsT", bound=Section)
BatchT = TypeVar("BatchT", bound="Batch", contravariant=True)
PredictionT = TypeVar("PredictionT")


Precision = Literal["float32", "bfloat16"]
"""In which a model predicts in training; weights, losses and coordinates are in float32."""
Compile = Literal["eager", "default", "reduce-overhead"]
"""How a training step is run: as it is written, compiled, or compiled and, on an accelerator, as CUDA graphs."""

CONTRACT = 1
"""Version of this contract. It grows when models or datasets that kept to it would no longer work."""


class Task(StrEnum):
    CATEGORY_SPECIFIC = "category_specific"
    """One skeleton; ``Batch``."""
    CATEGORY_AGNOSTIC = "category_agnostic"
    """Any skeleton, given by annotated support images; ``EpisodeBatch``."""


@dataclass(frozen=True)
class Setting:
    """What a model is told about the data before it is built."""

    size: tuple[int, int]
    """Height and width of the crops."""
    keypoints: int
    """Number of keypoints K that batches are padded to."""
    categories: tuple[Category, ...]
    """Every category of the data; ``Batch.category`` is an index into it."""


class ComputedModel(Protocol[BatchT, PredictionT]):
    """A plain ``nn.Module`` with one more method. ``train()`` and ``eval()`` are its only modes.

    Padded keypoints have weight 0 and change nothing. The engine is always called with a whole batch, so that
    ``forward`` holds everything that takes gradients.
    """

    def forward(self, batch: BatchT) -> PredictionT: ...

    def decode(self, prediction: PredictionT, batch: BatchT) -> Keypoints:
        """(B, K) coordinates in crop pixels, with confidences in 0..1."""
        ...


class PoseModel(ComputedModel[BatchT, PredictionT], Protocol):
    """A model that is trained. The query's keypoints are for ``losses`` alone."""

    def losses(self, prediction: PredictionT, batch: BatchT) -> Mapping[str, Tensor]:
        """Named scalar terms, already weighted; their sum is minimised."""
        ...


@runtime_checkable
class SupportEncoder(Protocol):
    """A category-agnostic model that encodes supports without the query, so that in evaluation it does so once for all
    queries of an episode: ``locate(batch, encode_support(batch))`` equals ``forward(batch)``."""

    # Any: what a model hands to itself is its own, and isinstance, by which such models are found, tells no types.

    def encode_support(self, batch: EpisodeBatch) -> Any:
        """Encode the supports: a tensor, or a dataclass of tensors, of such dataclasses and of None, each tensor
        with one row for every row of the batch. A large one may be a ``pose.Shared``, of which rows are not copied
        for every query."""
        ...

    def locate(self, batch: EpisodeBatch, support: Any) -> Any:
        """Predict the queries' keypoints from the encoded supports, without the supports' pictures."""
        ...


@runtime_checkable
class RoundLearner(Protocol):
    """A category-agnostic model that in evaluation learns from the supports of all categories together before it
    answers any of their queries. A round is one episode of each category: the first of every one, then the second.
    Called as a whole, it learns from each episode's supports alone."""

    def learn_round(self, batch: EpisodeBatch) -> Any:
        """Learn from the supports of a round, of which the batch has one row per episode; its queries count for
        nothing. The model stays as it is, and the outcome depends on the supports alone, in whatever order they
        come."""
        ...

    def locate_after(self, batch: EpisodeBatch, learnt: Any) -> Any:
        """Predict the keypoints of a round's queries by what its supports taught."""
        ...


@runtime_checkable
class MovingAverages(Protocol):
    """A model with buffers that follow the data instead of gradients. After every micro batch, and the optimizer's step
    where one is due, they take new values, averaged over the workers."""

    def moved_buffers(self, prediction: Any, batch: Any) -> Mapping[str, Tensor]:
        """By name, what buffers become after a batch of training, given its prediction."""
        ...


@runtime_checkable
class LinkedSkeletons(Protocol):
    """A category-agnostic model that keeps the links of the data's categories in buffers. In a file that runs without
    posebed the links are an input, so that it answers for categories that training did not know."""

    def skeleton_buffers(self, count: int, links: Tensor) -> Mapping[str, Tensor]:
        """By name, what those buffers hold where the only category has ``count`` keypoints and ``links`` (L, 2), of
        which a row of -1 is none."""
        ...


@dataclass(frozen=True)
class Inner:
    """An intermediate result of a model, for inspection. A model may offer some by a further method,
    ``inspect(batch) -> Mapping[str, Inner]``."""

    maps: Tensor
    """(B, n, h, w), of any range."""
    labels: tuple[str, ...]
    """Names of the n maps; of a matrix, names of its rows and columns."""
    over_picture: bool = True
    """Each map covers the crop; otherwise n is 1 and the map a matrix."""
    header_size: int = 0
    """Number of leading rows and columns of a matrix that a line separates from the others."""


@dataclass(frozen=True)
class Claim:
    """A number that a paper publishes."""

    dataset: str
    split: str
    setting: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Preset:
    """A published result as a run: everything that ``params.yaml`` must say to repeat it."""

    model: str
    data: Mapping[str, Any]
    """The entry under ``data:``."""
    split: Mapping[str, Any]
    """The entry under ``splits:``, without ``data``."""
    pack: Mapping[str, Any]
    """The entry under ``packs:``, without ``data``."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    train: Mapping[str, Any] = field(default_factory=dict[str, Any])
    boxes: str = "annotated"
    protocol: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the model's ``protocol`` says of the config: numbers of other protocols stand in other tables."""
    init_from: str | None = None
    """The preset whose trained weights it starts from."""
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class PresetSpec:
    """A module of presets: what a paper, or several on one dataset, publish."""

    presets: Mapping[str, Preset]
    """By name. A config says backbone, first weights and flip test, which are part of what a number is, even where they
    are the model's defaults."""
    ablations: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict[str, Any])
    """Model to table to the presets that are its rows, in order."""
    unmeasured: Mapping[str, str] = field(default_factory=dict[str, str])
    """Data of claims to why it cannot be measured."""
    same_network: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict[Any, Any])
    """Backbone and weights that are another pair under other names."""
    contract: int = 1
    """The version of the contract that it was written for."""


@dataclass(frozen=True)
class Paper:
    """The paper of a model. Models of one paper state it alike."""

    title: str
    year: int
    reference: str
    """arXiv number or DOI."""
    name: str = ""
    """Its name in the sources of claims, such as ``KITPose`` in "KITPose README, table 2"."""


def _no_factors(config: Section) -> Mapping[str, float]:
    return {}


def _nothing_told(config: Section) -> Mapping[str, str]:
    return {}


SEARCHED_EVERYWHERE: Space = {
    "train.lr": LogUniform(1e-5, 1e-2),
    "train.weight_decay": Choice(0.0, 1e-4, 1e-2, 0.1),
    "train.augment.scale": Uniform(0.0, 0.5),
    "train.augment.rotation": Uniform(0.0, 60.0),
}
"""What a search may vary for every model that is trained; a model's own space overrides entries of the same name."""


@dataclass(frozen=True)
class ModelSpec(Generic[ConfigT, PredictionT]):
    """A model, as the platform sees it."""

    tasks: tuple[Task, ...]
    config: type[ConfigT]
    """The model's own parameters, with their defaults."""
    model: Callable[[ConfigT, Setting], ComputedModel[EpisodeBatch, PredictionT]]
    """Builds the model from its config and the setting; called on every worker. One that is ``trained`` is a
    ``PoseModel``. One that takes any ``Batch`` takes an ``EpisodeBatch`` too."""
    space: Space
    """What a search may vary, beside ``SEARCHED_EVERYWHERE``: ``model.NAME`` of the config, ``train.NAME`` of
    TrainConfig."""
    paper: Paper | None = None
    answering: tuple[str, ...] = ()
    """Fields of the config that a result shows beside its numbers, as they decide its predictions. The report compares
    ``backbone``, ``weights`` and ``flip_test`` with what is published; without a field ``backbone``, the backbone is
    the model itself."""
    widths: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of backbones that come in several widths, the field of the config that says which: the report compares it, too.
    Like tasks, paper and ``answering``, they are written as plain values, since they are read without an import."""
    train: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The published training settings, laid over TrainConfig's defaults."""
    compute: Callable[[Any, Keypoints, Tensor], None] | None = None  # the model is of the class that ``model`` builds
    """For a model with a closed form: sets its weights from the poses (N, K) of the labelled training records, in
    pixels of their exact crops, and the aspects (N,) of their boxes, both float64. Such a model is not ``trained``, and
    has nothing to search. A category-agnostic run takes all from its supports and computes nothing."""
    trained: bool = True
    """Whether gradients train it. A model that is not needs no ``losses``: it answers with the weights that it is built
    with, or that ``compute`` sets. Its runs have no epochs and read no training part; a trial of a search is one
    validation. False wherever there is ``compute``; written as a plain value."""
    learning_rates: Callable[[ConfigT], Mapping[str, float]] = _no_factors
    """From the config, prefixes of parameter names to factors of the learning rate."""
    protocol: Callable[[ConfigT], Mapping[str, str]] = _nothing_told
    """From the config, what decides with which runs the model's may be compared, by names of a result's protocol. A
    category-agnostic model that learns more of a category than its annotated supports says so by ``told``, such as
    ``keypoint names``, and one that is shown no support pictures by ``shots``, "0": such runs stand in tables of their
    own."""
    max_zero: int = 3
    """Highest ZeRO stage that the model's gradients allow."""
    released: Callable[[ConfigT, Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
    """From the config and the state dictionary of an official release to the model's own names. Tensors that it does
    not know keep their names, so that they can be reported; None where nothing was released."""
    fastest: Mapping[str, tuple[Compile, Precision]] = field(default_factory=dict[str, tuple[Compile, Precision]])
    """By kind of device (``posebed.training.device_kind``), what ``auto`` takes for ``train.compile`` and
    ``train.precision``: the fastest, as ``benchmarks/precision.py`` or ``benchmarks/accelerator.py`` measured it. On
    kinds that are left out steps run as they are written, in bfloat16 on accelerators that have it. Plain values."""
    small: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Overrides of the config that make it small and free of downloads, for the tests of ``posebed.testing``."""
    exceptions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Clauses of ``posebed.testing.ModelSuite`` that it does not hold, each with the reason."""
    not_exported: str = ""
    """Why the model cannot be a file that runs without posebed, if it cannot: what follows its name in a sentence."""
    floor: bool = False
    """Whether it ignores the picture; the best such model is the floor of a table."""
    contract: int = 1
    """The version of the contract that it was written for."""

    def __post_init__(self) -> None:
        _must_be_plain(self.config)
        if self.compute:
            object.__setattr__(self, "trained", False)
        check_order(self.space)
        known = {f"model.{n}" for n in self.config.model_fields} | {f"train.{n}" for n in TrainConfig.model_fields}
        unknown = [name for name in self.space if _head(name) not in known]
        if unknown:
            raise ValueError(
                f"a search space must name real parameters, but has {', '.join(unknown)}; there is "
                f"{', '.join(sorted(known))}"
            )
        unknown = [n for n in (*self.answering, *self.widths.values()) if n not in self.config.model_fields]
        if unknown:
            raise ValueError(
                f"answering and widths must name fields of the config, but name {', '.join(unknown)}; there is "
                f"{', '.join(self.config.model_fields)}"
            )


def _must_be_plain(config: type[Section]) -> None:
    """Settings are written down and travel as JSON.

    Raises:
        ValueError: a field is of a type that JSON has not.
    """
    try:
        config.model_json_schema()
    except PydanticInvalidForJsonSchema as error:
        raise ValueError(f"fields of {config.__name__} must be of types that JSON has, but: {error.message}") from error


def _head(name: str) -> str:
    return ".".join(name.split(".")[:2])


@dataclass(frozen=True)
class DatasetSpec(Generic[OptionsT]):
    """A kind of dataset that the stage ``prepare`` can read."""

    title: str
    options: type[OptionsT]
    read: Callable[[OptionsT, Path], Dataset]
    """Reads the dataset at a path: sound records, and every problem, in one pass. Raises nothing for bad content."""
    licence: str = ""
    source: str = ""
    """Where to get the data."""
    skeleton: Category | None = None
    """The one skeleton of all its categories, where they share one."""
    contract: int = 1
    """The version of the contract that it was written for."""


# Any: a name decides which module it is, and so of what type its config, prediction and options are.
SomeModelSpec = ModelSpec[Any, Any]
SomeDatasetSpec = DatasetSpec[Any]


Statistic = Callable[["np.ndarray"], "np.ndarray"]
"""From how often each of U units was drawn, (U, R) for R resamples, to the values (R, M) of M metrics; nan where a
resample has nothing to measure."""


@dataclass(frozen=True)
class Units:
    """What a bootstrap draws with replacement."""

    kind: Literal["images", "categories"]
    row: np.ndarray
    """(N,) the number, from 0, of the unit of every row of the table."""


class Need(StrEnum):
    """What a metric needs of a table of predictions."""

    TRUTHS = "truths"
    """Every prediction has a truth of its own, as those in a detector's boxes have not."""
    ONE_SKELETON = "one skeleton"
    """All categories have the same keypoints, and there are no episodes."""


@dataclass(frozen=True)
class Metric:
    """One number of a result. Two definitions never share a name."""

    name: str
    definition: str
    """One sentence."""
    unit: str = ""
    """Such as ``pixels``; empty for a share, within 0..1."""
    better: Literal["higher", "lower"] = "higher"
    leads: int = 0
    """The metric of a run that leads with the highest number orders its table; 0 orders none."""
    column: bool = False
    """Stands in the table of its protocol; any other stands with its run alone."""
    paired: bool = False
    """Runs are compared by it query by query, on common ground."""

    def __post_init__(self) -> None:
        if self.leads and self.better == "lower":
            raise ValueError(f"a metric that orders tables must be better when it is higher, but {self.name} is not")


@dataclass(frozen=True)
class MetricSpec:
    """M metrics that are measured together.

    Raises:
        ValueError: there is none, or not exactly one way to measure them.
    """

    metrics: tuple[Metric, ...]
    per_query: Callable[[Predictions], np.ndarray] | None = None
    """(N, M) values of every row of the table, whose means over the queries are the metrics."""
    measure: Callable[[Predictions], Callable[[Units], Statistic]] | None = None
    """For metrics that are no means over queries: from a table, and then from the units that are drawn, to the metrics
    of resamples."""
    needs: tuple[Need, ...] = ()
    """Tables that do not offer these are not measured."""
    centred: bool = False
    """Values of resampled images lie to one side of the value and are moved back to it."""
    on_common_ground: Callable[[Predictions], Callable[[Units], Statistic]] | None = None
    """A faster ``measure`` of the paired ones alone, for a table in which every row is a picture of its own with one
    truth and one prediction, and for categories as units."""
    exceptions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Clauses of ``posebed.testing.MetricSuite`` that they do not hold, each with the reason."""
    contract: int = 1
    """The version of the contract that it was written for."""

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ValueError("a MetricSpec must have at least one metric, but has none")
        if (self.per_query is None) == (self.measure is None):
            raise ValueError(
                f"metrics must be given per_query or measure, but {', '.join(m.name for m in self.metrics)} have "
                f"{'neither' if self.measure is None else 'both'}"
            )


@dataclass(frozen=True)
class SamplerSpec:
    """Who proposes the settings of a search."""

    make: Callable[[int, Space], object]
    """An ``optuna.samplers.BaseSampler``, from a seed and the space that it proposes from. The seed is another one
    whenever a search goes on."""
    contract: int = 1
    """The version of the contract that it was written for."""
