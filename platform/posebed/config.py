"""The sections of ``params.yaml``, each with its types, bounds, defaults and sentences; ``params`` reads the file.

YAML holds what differs from the defaults. Unknown keys are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from posebed.forms import checked
from posebed.own_json import Kind, read_json

Share = Annotated[float, Field(ge=0, le=1)]
LARGEST = 10**9
"""Of whole numbers without a narrower bound: larger ones would overflow in the libraries that they are given to."""
Positive = Annotated[int, Field(gt=0, le=LARGEST)]
SMALLEST_SIDE, LARGEST_SIDE = 8, 4096
Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)]
"""Of a picture or crop, in pixels: below there is nothing to see, above one batch fills a machine."""
MOST_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
"""What generators of all libraries take."""
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
"""Keys become folder names and stage names, which have at most 255 bytes with what is added to them."""
LONGEST_TEXT = 4096
"""Characters of a text, such as a path: what the system takes."""


def _no_bool(value: object) -> object:
    """Python counts true as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number")
    return value


_NO_BOOL = core_schema.no_info_before_validator_function(_no_bool, core_schema.any_schema())["function"]


def _numbers_refuse_bools(schema: Any) -> Any:
    """A core schema of pydantic in which no number, at any depth, takes true or false. A validator of the fields would
    do so too, but would turn JSON into Python's values, and a strict tuple takes no list."""
    if isinstance(schema, list):
        return [_numbers_refuse_bools(part) for part in cast("list[Any]", schema)]
    parts = cast("dict[str, Any]", schema)
    if not isinstance(schema, dict) or parts.get("function") == _NO_BOOL:
        return parts
    if parts.get("type") in ("int", "float") or {int} == {*map(type, parts.get("expected", ()))}:
        return {"type": "function-before", "function": _NO_BOOL, "schema": parts}
    return {
        name: part if name in ("default", "metadata") else _numbers_refuse_bools(part) for name, part in parts.items()
    }


class Section(BaseModel):
    """A group of parameters: frozen, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, str_max_length=LONGEST_TEXT
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        return _numbers_refuse_bools(handler(source))


SectionT = TypeVar("SectionT", bound=Section)


class DataConfig(Section):
    source: str
    """As `posebed datasets` lists it, or the import path of a module."""
    path: str
    """Folder or file that the source reads."""
    options: dict[str, Any] = {}
    """The source's own options."""
    invalid: Literal["refuse", "drop"] = "refuse"
    """What to do with records that break a rule: stop with every problem listed, or drop and count them."""


class EpisodesConfig(Section):
    """Test episodes of category-agnostic models, drawn once and written down."""

    shots: Annotated[int, Field(gt=0, le=1000)] = 1
    """Support images per episode."""
    queries: Annotated[int, Field(gt=0, le=10_000)] = 15
    """Query images per episode."""
    episodes: Annotated[int, Field(gt=0, le=100_000)] = 200
    """Episodes per test category."""
    val_episodes: Annotated[int, Field(gt=0, le=100_000)] = 100
    """Episodes per validation category."""
    draw: Literal["seeded", "official"] = "seeded"
    """seeded: from the split's seed, each category for itself. official: as POMNet, CapeFormer and GraphCape draw them
    for MP-100, where the order of its files decides instead of a seed; with the default numbers, the very episodes of
    their published results."""


Orientation = Literal["stored", "displayed"]


class PictureOptions(Section):
    """Options of every dataset of annotated pictures."""

    orientation: Orientation = "stored"
    """Pictures that a camera noted an orientation for are taken as stored, or turned as viewers show them; sizes, boxes
    and keypoints of the annotation file then are those of the displayed picture."""
    linked: tuple[str, ...] = ()
    """Folders outside ``path`` that symbolic links below it may lead to, as seen from the working folder, such as
    another disk that the pictures lie on. The project's DVC cache needs no entry."""


class SplitConfig(Section):
    data: Key
    """Key of the dataset under ``data``."""
    by: Literal["image", "category", "family", "official"] = "image"
    """What is never divided between parts: a group of images, a whole category, a whole family; or the dataset's own
    parts."""
    val: Share | tuple[str, ...] = 0.1
    """Validation part: a share of the groups, categories or families; or, by category and family, the names held out.
    By category, a family's name stands for its categories."""
    test: Share | tuple[str, ...] = 0.2
    """As ``val``, for the test part."""
    few_shot: Positive | None = None
    """Keep the training records of this many images per category, drawn with the seed; a category that has fewer keeps
    all of them, which ``about.json`` of the split tells."""
    equal_pictures: Literal["count", "keep_together"] = "count"
    """Pictures whose files are equal byte for byte are only counted where several parts have them, or belong to one
    part as if they were one picture; an official split stays as it is."""
    seed: Seed = 0
    """Seed of the division, of ``few_shot`` and of the episodes."""
    episodes: EpisodesConfig | None = None
    """Test episodes, which category-agnostic models need; null for none."""

    @model_validator(mode="after")
    def _official_together(self) -> SplitConfig:
        if self.episodes and self.episodes.draw == "official" and self.by != "official":
            raise ValueError(f"episodes.draw: official must go with by: official, but by is {self.by}")
        if self.equal_pictures == "keep_together" and self.by == "official":
            raise ValueError("equal_pictures: keep_together must go with by: image, category or family, not official")
        return self


Convention = Literal["plain", "udp", "aligned"]


class PackConfig(Section):
    data: Key
    """Key of the dataset under ``data``."""
    crop_size: tuple[Side, Side] = (256, 256)
    """Height and width of the crops that models see."""
    padding: Annotated[float, Field(ge=1, le=100)] = 1.25
    """The box grows by this factor before it is cropped."""
    margin: Annotated[float, Field(ge=1, le=10)] = 1.5
    """Factor by which training crops are wider than the exact ones: augmentation then finds picture at their edges."""
    convention: Convention = "plain"
    """How box and crop are measured. plain: a side of n pixels spans n. udp: the crop's spans n - 1, from the centre of
    its first pixel to that of its last (Huang et al. 2020, section 3.1). aligned: the crop's and the box's do, with one
    scale for both axes, that of the widths, as in KITPose's code."""


class AugmentConfig(Section):
    """Training augmentation. Strengths of 0 and probabilities of 0 switch a part off."""

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """s: the crop's side is multiplied by 1 + s N(0,1), clipped to 1 - s .. 1 + s."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees, r: the angle is r N(0,1), clipped to two r, in a share ``rotation_share`` of the crops."""
    rotation_share: Share = 0.6
    """Share of the crops that are rotated."""
    shift: Share = 0.0
    """The centre moves by up to this share of the crop's side along each axis, in a share ``shift_share`` of the
    crops."""
    shift_share: Share = 1.0
    """Share of the crops that are shifted."""
    flip: Share = 0.0
    """Share of the crops that are mirrored, with ``flip_pairs`` exchanged."""
    half_body: Share = 0.0
    """Share of the crops reduced to the upper or lower body, where more than ``half_body_keypoints`` are labelled."""
    half_body_keypoints: Positive = 8
    """Labelled keypoints that a record must exceed for ``half_body``."""
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Brightness, contrast and per-channel gain vary by up to this share."""


Workers = Annotated[int, Field(gt=0, le=4096)]


class WorkersConfig(Section):
    """Workers of a training that goes on with fewer while machines are away, and takes more when it starts again."""

    min: Workers
    """Fewest workers to train with."""
    max: Workers
    """Most workers to train with."""

    @model_validator(mode="after")
    def _ordered(self) -> WorkersConfig:
        if self.min >= self.max:
            raise ValueError(f"workers.min must be below workers.max, but they are {self.min} and {self.max}")
        return self


UNDECIDING = frozenset({"checkpoint_seconds"})
"""Fields of TrainConfig that decide no number."""


class TrainConfig(Section):
    """How a model is trained. A model's own SPEC sets its paper's values; params.yaml overrides them."""

    epochs: Annotated[int, Field(ge=0, le=10**6)] = 210
    """0, in a run with ``init_from``, takes the weights as they are and evaluates them again, as with more shots."""
    batch_size: Annotated[int, Field(gt=0, le=10**6)] = 64
    """Images per optimizer step, over all workers."""
    micro_batch: Positive | None = None
    """Images that one worker holds at a time; by default as many as make up the batch without accumulation, or, where
    the number of workers may change, as many as do so for all numbers."""
    draws: Positive | None = None
    """Training samples of one epoch. By default every record once, or, for episodes, as many of each
    category as the largest has."""
    shots: Positive | None = None
    """Support images per training episode; by default as many as the split's test episodes show."""
    workers: Workers | WorkersConfig = 1
    """Number of workers that share every batch; ``{min: 2, max: 4}`` takes as many of them as there is room for."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimizer; adamw decouples weight decay."""
    lr: Annotated[float, Field(gt=0)] = 5e-4
    """Learning rate after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of the optimizer."""
    undecayed: tuple[Literal["norm", "bias", "vector", "position"], ...] = ()
    """Parameters without weight decay: those of normalisation layers, biases of all others, whatever has one axis, and
    tables of positions (``pos_embed``)."""
    momentum: Share = 0.9
    """Momentum of sgd."""
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    """Optimizer steps over which the learning rate rises linearly from a thousandth; at most a tenth of the run."""
    decay_at: tuple[Share, ...] = (0.81, 0.952)
    """Shares of the run after which the learning rate is multiplied by ``decay``."""
    decay: Share = 0.1
    """Factor of the learning rate at each share in ``decay_at``."""
    clip: Annotated[float, Field(ge=0)] = 0.0
    """Largest gradient norm; 0 leaves gradients as they are."""
    engine: Literal["deepspeed", "torch"] = "deepspeed"
    """Training engine: DeepSpeed, or plain torch."""
    zero: Literal[0, 1, 2, 3] = 0
    """DeepSpeed's ZeRO stage."""
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    """Precision of the forward pass in training; ``auto`` takes what is fastest for the model on the kind of device, by
    a table of measurements."""
    compile: Literal["eager", "default", "reduce-overhead", "auto"] = "auto"
    """How a step is run: as it is written (``eager``), compiled by torch (``default``), or compiled and, on an
    accelerator, recorded as CUDA graphs (``reduce-overhead``); ``auto`` as with ``precision``."""
    sync_batchnorm: bool = True
    """Share batch statistics between workers, so that their number changes no result."""
    checkpoint_every: Positive = 10
    """Epochs between checkpoints; validation takes place with each."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] | None = 600.0
    """Most seconds between checkpoints, within an epoch too: what a lost machine costs at most. null keeps those of
    ``checkpoint_every`` alone. It changes no number, and changing it makes no run stale."""
    judged_by: str = "PCK@0.2"
    """Metric on the validation part that chooses the best epoch, and that a search maximises."""
    augment: AugmentConfig = AugmentConfig()
    """Augmentation of the training crops."""

    @property
    def most_workers(self) -> int:
        return self.workers if isinstance(self.workers, int) else self.workers.max

    @property
    def fewest_workers(self) -> int:
        return self.workers if isinstance(self.workers, int) else self.workers.min

    def accumulation(self, workers: int | None = None) -> int:
        """Micro batches per optimizer step on each worker.

        Args:
            workers: how many there are now, where their number may change; by default the most.
        """
        shared = math.lcm(*range(self.fewest_workers, self.most_workers + 1))
        micro = self.micro_batch or self.batch_size // shared
        if not micro or self.batch_size % (micro * shared):
            numbers = "workers" if isinstance(self.workers, int) else "every number of workers"
            raise ValueError(
                f"batch_size must be a multiple of micro_batch x {numbers}, but {self.batch_size} is not a multiple "
                f"of {micro or 1} x {shared} = {(micro or 1) * shared}"
            )
        now = self.workers if isinstance(self.workers, int) else workers or self.most_workers
        return self.batch_size // (micro * now)

    @model_validator(mode="after")
    def _batch_divides(self) -> TrainConfig:
        self.accumulation()
        return self

    @model_validator(mode="after")
    def _graphs_keep_no_gradients(self) -> TrainConfig:
        if self.compile == "reduce-overhead" and self.accumulation(self.fewest_workers) > 1:
            raise ValueError(
                "compile must be eager, default or auto where several micro batches make up a step, since a recorded "
                f"step overwrites the gradients of the one before, but is {self.compile}"
            )
        return self

    @model_validator(mode="after")
    def _gathered_weights_are_not_compiled(self) -> TrainConfig:
        if self.zero == 3 and self.engine == "deepspeed" and self.compile not in ("eager", "auto"):
            raise ValueError(
                "compile must be eager or auto with zero: 3, which gathers weights layer by layer while a step runs, "
                f"but is {self.compile}"
            )
        return self

    @model_validator(mode="after")
    def _shards_are_of_one_number(self) -> TrainConfig:
        if self.zero and self.engine == "deepspeed" and not isinstance(self.workers, int):
            raise ValueError(
                "zero must be 0 where the number of workers may change, since DeepSpeed loads shards of other stages "
                f"for one number alone, but is {self.zero}"
            )
        return self


class ModelConfig(Section):
    """Settings shared by every run of one model."""

    config: dict[str, Any] = {}
    """Overrides of the model's own config."""
    train: dict[str, Any] = {}
    """Overrides of ``train``."""


class ResourcesConfig(Section):
    """What one task asks of the cluster. Changing it makes no run stale, though threads change the last digits."""

    cpus: Positive = 1
    """Processors of a worker, and its threads, where there is no accelerator."""
    gpus: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Accelerators of a worker, where there are any; 0.25 lets four tasks share one."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Main memory of a worker; tasks that state it never share a machine that has less for them."""


class TrainingConfig(Section):
    """What runs and searches have in common."""

    model: str
    """As `posebed models` lists it, or the import path of a module."""
    preset: str | None = None
    """A published result, whose settings replace those of ``models.MODEL``; ``posebed presets`` lists them."""
    split: Key
    """Key of the split under ``splits``."""
    pack: Key
    """Key of the pack under ``packs``."""
    task: Literal["category_specific", "category_agnostic"] | None = None
    """Only for models that serve both; by default category_agnostic where the split has episodes."""
    boxes: Literal["annotated", "detected"] = "annotated"
    """Boxes by which the test part is cropped; detected ones must be in the data."""
    config: dict[str, Any] = {}
    """Overrides of the model's own config."""
    train: dict[str, Any] = {}
    """Overrides of ``train``."""
    resources: ResourcesConfig = ResourcesConfig()
    """What each of its tasks asks of the cluster."""


class RunConfig(TrainingConfig):
    """One line of the report: a model trained once per seed."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1000)] = (0,)
    """The run has one member per seed, and is shown by their mean and spread."""
    init_from: Key | None = None
    """The run whose best weights each member starts from: those of the member with its seed, or of the first where
    there is none. Keypoints are matched by name."""
    params_from: Key | None = None
    """The search whose best trial is laid below the run's own settings."""
    method: Key | None = None
    """What runs are the same method, though on other splits: each holding out other categories, which makes a line of
    the table over held-out categories, or with other shots or training sizes, which makes a learning curve. By default
    a run is a method of its own, named like its key."""

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len({*seeds}) < len(seeds):
            raise ValueError("seeds must differ")
        return seeds


class BudgetConfig(Section):
    """What a search may spend; it starts no further trial once one of these is used up. Trials under way end."""

    trials: Positive | None = None
    """Number of trials that finished, were stopped early or failed."""
    epochs: Positive | None = None
    """Epochs of all trials together."""
    device_seconds: Annotated[float, Field(gt=0)] | None = None
    """Training and validation time of all trials together, times the workers of each."""

    @model_validator(mode="after")
    def _says_something(self) -> BudgetConfig:
        if not (self.trials or self.epochs or self.device_seconds):
            raise ValueError("a budget must say trials, epochs or device_seconds, but says none")
        return self


class SearchConfig(TrainingConfig):
    """A run whose settings are varied. Its trials are judged on the validation part and never see the test part."""

    budget: BudgetConfig
    """What the search may spend."""
    seed: Seed = 1000
    """Seed of every trial and of the sampler. A run that takes its parameters from this search must have another."""
    space: dict[str, Any] = {}
    """Narrows or widens the model's own space: dotted names to a list, to ``{low, high}`` with ``log: true`` or a
    ``step``, or, to leave a dimension out, to null; ``when: {NAME: [values]}`` makes one depend on an earlier one."""
    only: tuple[str, ...] = ()
    """Dimensions of the model's own space to vary; empty for all."""
    sampler: str = "tpe"
    """What proposes trials: tpe, random, gp, cmaes, nsga2, an installed one, or the import path of a module."""
    scheduler: Literal["asha", "median", "none"] = "asha"
    """What stops poor trials early: asynchronous successive halving (asha), the median of the others, or nothing."""
    grace: Positive = 1
    """Epochs before a trial may be stopped."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """ASHA's reduction factor n: 1/n of the trials are promoted at each rung, and each rung lies n times as far."""
    cost: Literal["gflops", "parameters"] | None = None
    """A second objective, which is minimised while the validation metric is maximised."""
    warm_start: Annotated[tuple[str, ...], Field(validation_alias=AliasChoices("from", "warm_start"))] = ()
    """``from``: names of studies in the same storage whose finished trials the sampler learns from."""
    at_once: Positive | None = None
    """Trials that run at the same time; by default as many as there is room for beside the other searches."""

    @field_validator("warm_start", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


ANSWERS = (".parquet", ".json")
"""Endings of files that hold submitted answers, or queries to answer."""


class SubmissionConfig(Section):
    """Answers to the queries of a test part that were made elsewhere; scored like those of a run, and marked."""

    file: str
    """Parquet or JSON, within the project's folder; `posebed submit` puts it into ``submissions/``."""
    split: Key
    """Key of the split under ``splits`` whose test part is answered."""
    pack: Key
    """Key of the pack under ``packs``, whose crops hold what the report shows."""
    task: Literal["category_specific", "category_agnostic"] | None = None
    """By default category_agnostic where the split has episodes: each query is answered with the supports of its
    episode. Answers of a category_specific method are one for each record, without supports."""
    method: Key | None = None
    """As of a run: submissions of one method on several splits are compared together. By default the key."""
    made_by: str = ""
    """What made the answers, in words; shown in the report."""
    paper: str = ""
    """Where that is described."""
    shots: Annotated[int, Field(ge=0)] | None = None
    """Supports of an episode that the method was shown, where it was not all of them."""
    told: str = ""
    """What the method learnt of a category beside the supports, such as ``keypoint names``; it then stands in tables of
    its own."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Like those of a run: it has one member."""
        return (0,)

    @field_validator("file")
    @classmethod
    def _within_the_project(cls, file: str) -> str:
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise ValueError("file must lie within the project's folder")
        if Path(file).suffix not in ANSWERS:
            raise ValueError(f"file must end with {' or '.join(ANSWERS)}")
        return file


SEARCH = "search@"
"""Stands before the key of a search where runs and searches are named alike; no key of a run has an @."""


class ScoringConfig(Section):
    resamples: Annotated[int, Field(gt=0, le=10**6)] = 1000
    """Bootstrap resamples behind every interval."""
    seed: Seed = 0
    """Seed of the resamples."""
    metrics: tuple[str, ...] = ()
    """Modules of further metrics, beside those of installed packages: import paths, or files beside ``params.yaml``."""


class LimitsConfig(Section):
    """What a command may spend. A task that is over its limit fails; one that was not offered yet stays undone."""

    run_hours: Annotated[float, Field(gt=0)] | None = None
    """Hours of each training or search."""
    total_hours: Annotated[float, Field(gt=0)] | None = None
    """Hours of the whole command."""


def read_section(model: type[SectionT], path: Path, kind: Kind) -> SectionT:
    """A section that ``own_json.write_json`` wrote.

    Raises:
        ValueError: as ``own_json.read_json``, or the content is not the model's.
    """
    return checked(read_json(path, kind), model, path, kind.name, kind.again)


Layer = Mapping[str, Any]


def merged(*layers: Layer) -> dict[str, Any]:
    """Mappings laid over one another; later ones win, nested mappings are merged key by key."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            both = isinstance(below, Mapping) and isinstance(value, Mapping)
            result[key] = merged(cast("Layer", below), cast("Layer", value)) if both else value
    return result
