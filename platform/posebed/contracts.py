"""The page to read first: what a model and a dataset promise, and what they are given.

Three things travel: an Experiment goes down to the workers, Batches flow across the model, a Result comes up.
A model is one module whose last lines are its ``SPEC``, and so is a dataset; ``posebed.catalog`` finds them, in any
installed package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from posebed.config import Section, TrainConfig
from posebed.space import Choice, LogUniform, Space, Uniform, check_order

if TYPE_CHECKING:
    from torch import Tensor

    from posebed.pose import Batch, EpisodeBatch, Keypoints
    from posebed.records import Category, Dataset

ConfigT = TypeVar("ConfigT", bound=Section)
OptionsT = TypeVar("OptionsT", bound=Section)
BatchT = TypeVar("BatchT", bound="Batch", contravariant=True)
PredictionT = TypeVar("PredictionT")


CONTRACT = 1
"""Version of what this page says. It grows where a model or dataset that kept to the page would not do any more."""


class Task(StrEnum):
    CATEGORY_SPECIFIC = "category_specific"
    """One skeleton; ``Batch``."""
    CATEGORY_AGNOSTIC = "category_agnostic"
    """Any skeleton, shown by annotated support images; ``EpisodeBatch``."""


@dataclass(frozen=True)
class Setting:
    """What a model must know of the data before it is built."""

    size: tuple[int, int]
    """Height and width of the crops."""
    keypoints: int
    """K, the number of keypoints that batches are padded to."""
    categories: tuple[Category, ...]
    """Every category of the data; ``Batch.category`` counts in this order."""


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
    """A category-agnostic model that looks at supports without the query, so that in evaluation it does so once for
    all queries of an episode: ``locate(batch, encode_support(batch))`` is what ``forward`` would predict."""

    # Any: what a model hands to itself is its own, and isinstance, by which such models are found, tells no types.

    def encode_support(self, batch: EpisodeBatch) -> Any:
        """Encode the supports: a tensor, or a dataclass of tensors, of such dataclasses and of None, each tensor
        with one row for every row of the batch."""
        ...

    def locate(self, batch: EpisodeBatch, support: Any) -> Any:
        """Predict the queries' keypoints from the encoded supports, without the supports' pictures."""
        ...


@dataclass(frozen=True)
class Inner:
    """An intermediate result of a model, for inspection. A model may offer some by a further method,
    ``inspect(batch) -> Mapping[str, Inner]``."""

    maps: Tensor
    """(B, n, h, w), of any range."""
    labels: tuple[str, ...]
    """Of the n maps; of a matrix those of its rows and columns."""
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
    """A published result as a run: everything that ``params.yaml`` must say to get that row.

    ``PRESETS`` of a module of presets holds them by name.
    """

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
    init_from: str | None = None
    """The preset whose trained weights it starts from."""
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Paper:
    title: str
    year: int
    reference: str
    """arXiv number or DOI."""


def _no_factors(config: Section) -> Mapping[str, float]:
    return {}


SEARCHED_EVERYWHERE: Space = {
    "train.lr": LogUniform(1e-5, 1e-2),
    "train.weight_decay": Choice(0.0, 1e-4, 1e-2, 0.1),
    "train.augment.scale": Uniform(0.0, 0.5),
    "train.augment.rotation": Uniform(0.0, 60.0),
}
"""What a search may vary of any model; a model's own space may say otherwise of the same names."""


@dataclass(frozen=True)
class ModelSpec(Generic[ConfigT, PredictionT]):
    """A model, as the platform sees it."""

    tasks: tuple[Task, ...]
    config: type[ConfigT]
    """The model's own parameters, with their defaults."""
    model: Callable[[ConfigT, Setting], ComputedModel[EpisodeBatch, PredictionT]]
    """Builds the model from its config and the setting; called on every worker. Without ``compute`` it is a
    ``PoseModel``. One that takes any ``Batch`` takes an ``EpisodeBatch`` too."""
    space: Space
    """What a search may vary, beside ``SEARCHED_EVERYWHERE``: ``model.NAME`` of the config, ``train.NAME`` of
    TrainConfig."""
    paper: Paper | None = None
    train: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The published training settings, laid over TrainConfig's defaults."""
    compute: Callable[[Any, Keypoints, Tensor], None] | None = None  # the model is of the class that ``model`` builds
    """For a model with a closed form: sets its weights from the poses (N, K) of the labelled training records, in
    pixels of their exact crops, and the aspects (N,) of their boxes, both float64. Such a model is never trained: no
    epochs, no cluster, no search. A category-agnostic run takes all from its supports and computes nothing."""
    learning_rates: Callable[[ConfigT], Mapping[str, float]] = _no_factors
    """From the config, prefixes of parameter names to factors of the learning rate."""
    max_zero: int = 3
    """Highest ZeRO stage that the model's gradients allow."""
    released: Callable[[ConfigT, Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
    """From the config and the state dictionary of an official release to the model's own names. Tensors that it does
    not know keep their names, so that they can be reported; None where nothing was released."""
    small: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Overrides of the config that make it small and free of downloads, for the tests of ``posebed.testing``."""
    exceptions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Clauses of ``posebed.testing.ModelSuite`` that it does not hold, each with the reason."""
    contract: int = 1
    """The version of the contract that it was written for."""

    def __post_init__(self) -> None:
        check_order(self.space)
        known = {f"model.{n}" for n in self.config.model_fields} | {f"train.{n}" for n in TrainConfig.model_fields}
        unknown = [name for name in self.space if _head(name) not in known]
        if unknown:
            raise ValueError(
                f"a search space must name real parameters, but has {', '.join(unknown)}; there is "
                f"{', '.join(sorted(known))}"
            )


def _head(name: str) -> str:
    return ".".join(name.split(".")[:2])


@dataclass(frozen=True)
class DatasetSpec(Generic[OptionsT]):
    """A kind of dataset that ``prepare`` can read."""

    title: str
    options: type[OptionsT]
    read: Callable[[OptionsT, Path], Dataset]
    """Reads options and path; sound records and every problem in one pass. Raises nothing for bad content."""
    licence: str = ""
    source: str = ""
    """Where to get it."""
    skeleton: Category | None = None
    """The one skeleton of all its categories, where they share one."""
    contract: int = 1
    """The version of the contract that it was written for."""


# Any: of what kind the config and the rest of a named module are, only its name decides, which is a value.
SomeModelSpec = ModelSpec[Any, Any]
SomeDatasetSpec = DatasetSpec[Any]
