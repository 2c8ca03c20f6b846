"""One run, fully decided: which model with which settings, on which data, with which seed.

An Experiment is the only thing that goes down to the workers. ``decide`` makes it from the parameters and checks
all of them before anything is started; ``with_overrides`` is how a search varies it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from posebed.catalog import Catalog
from posebed.config import (
    Convention,
    Key,
    ModelConfig,
    RunConfig,
    SearchConfig,
    Section,
    TrainConfig,
    TrainingConfig,
    merged,
)
from posebed.contracts import MetricSpec, Preset, SomeModelSpec, Task
from posebed.files import Content, with_files
from posebed.forms import Form, Whole, sentence
from posebed.identity import Identity
from posebed.own_json import Kind
from posebed.params import Params
from posebed.records import Category, PlainCategory

SectionT = TypeVar("SectionT", bound=Section)


def _named_model(content: Content) -> Content:
    """Version 1 named the zoo's module."""
    return (
        {**content, "model": content["model"].rpartition(".")[2]} if isinstance(content.get("model"), str) else content
    )


MOST_PIXELS = 4096
"""Along a side of the crops that a run was trained on."""
MOST_KEYPOINTS = 10_000
"""Of a category; a model has outputs, and so memory, for as many as its description says."""
_SidePixels = Annotated[int, Field(gt=0, le=MOST_PIXELS)]


class DescribedRun(Form):
    """What ``run.json`` must hold. Keys of other things are keys, never paths."""

    key: Key
    model: str
    task: Literal["category_specific", "category_agnostic"]
    config: dict[str, Any]
    train: dict[str, Any]
    seed: Whole
    data: Key
    split: Key
    pack: Key
    shots: Annotated[int, Field(ge=0)]
    boxes: Literal["annotated", "detected"]
    fingerprint: str
    size: tuple[_SidePixels, _SidePixels]
    padding: Annotated[float, Field(ge=1, le=1000)]
    convention: Convention
    keypoints: Annotated[int, Field(gt=0, le=MOST_KEYPOINTS)]
    categories: list[PlainCategory]
    origin: str = ""
    preset: str | None = None
    init_from: str | None = None
    params_from: str | None = None
    imported: str = ""
    protocol: dict[str, str] = {}
    shortfalls: list[str] = []
    files: dict[str, str] = {}


RUN_AGAIN = "remove it, and `posebed run` trains again"
RUN = Kind(
    "the description of a trained run",
    (lambda content: content, _named_model, with_files),
    form=DescribedRun,
    again=RUN_AGAIN,
)
"""``run.json``: what ``Experiment.described`` gives, and what the model was built for."""


@dataclass(frozen=True)
class Experiment:
    key: str
    """Name of the run in ``params.yaml``."""
    model: str
    """Its name, as the parameters say."""
    module: str
    """Import path of the model's module, such as ``posezoo.hrnet``."""
    origin: str
    """Where that module comes from, such as ``posebed 0.1.0``."""
    judge_module: str
    """Import path of the module of the metric ``train.judged_by``."""
    task: Task
    config: Section
    """The model's own config."""
    train: TrainConfig
    seed: int
    data: str
    split: str
    pack: str
    shots: int
    """Support images per query that is validated or tested; 0 for category-specific models."""
    split_folder: Path
    pack_folder: Path
    boxes: str = "annotated"
    """Whose boxes the test part is cropped by: annotated or detected. Training knows annotated ones alone."""
    preset: str | None = None
    init_from: str | None = None
    """The run whose best weights it starts from."""
    init_folder: Path | None = None
    """Where that run lies."""
    params_from: str | None = None
    """The search whose best trial it takes parameters from; they stand in ``config`` and ``train``."""
    identity: Identity = field(default_factory=Identity)
    """What decides its numbers."""

    @property
    def name(self) -> str:
        """The run, and which of its members this is."""
        return f"{self.key} seed {self.seed}"

    @property
    def training_shots(self) -> int:
        """Support images per query in training."""
        return self.train.shots or self.shots

    @property
    def spec(self) -> SomeModelSpec:
        return importlib.import_module(self.module).SPEC

    @property
    def judge(self) -> MetricSpec:
        """Which measures ``train.judged_by``, beside others."""
        return importlib.import_module(self.judge_module).SPEC

    def with_overrides(self, overrides: Mapping[str, Any]) -> Experiment:
        """The same experiment with dotted names changed: ``model.NAME`` or ``train.NAME``.

        Raises:
            ValueError: a name or value that the sections refuse.
        """
        config, train = _layers(overrides)
        return replace(
            self,
            config=_validated(type(self.config), self.key, self.config.model_dump(), config),
            train=_validated(TrainConfig, self.key, self.train.model_dump(), train),
        )

    def value_of(self, name: str) -> Any:
        """What is decided under a dotted name.

        Raises:
            LookupError: nothing is named so.
        """
        head, _, rest = name.partition(".")
        place: Any = {"model": self.config, "train": self.train}.get(head)
        for part in rest.split("."):
            known = type(place).model_fields if isinstance(place, Section) else {}
            if part not in known:
                raise LookupError(
                    f"{self.key}: {name} must name a parameter, but {part!r} is none; there is "
                    f"{', '.join(known) or 'model and train'}"
                )
            place = getattr(place, part)
        return place

    def described(self) -> dict[str, Any]:
        """Everything decided, as plain values for JSON."""
        return {
            "key": self.key,
            "model": self.model,
            "origin": self.origin,
            "task": str(self.task),
            "config": self.config.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json"),
            "seed": self.seed,
            "data": self.data,
            "split": self.split,
            "pack": self.pack,
            "shots": self.shots,
            "boxes": self.boxes,
            "preset": self.preset,
            "init_from": self.init_from,
            "params_from": self.params_from,
        }

    def check_fits(self, categories: Sequence[Category]) -> None:
        """Refuse data that the task cannot take.

        Raises:
            ValueError: a category-specific model is given categories with different keypoints.
        """
        skeletons = {c.keypoints: c.key for c in categories}
        if self.task is Task.CATEGORY_SPECIFIC and len(skeletons) > 1:
            raise ValueError(
                f"{self.key} is category-specific and must be given data of one skeleton, but {self.data} has "
                f"{len(skeletons)}, among them those of {' and '.join(list(skeletons.values())[:2])}"
            )

    @property
    def job(self) -> str:
        """Name of the folder of its checkpoints while it trains."""
        return f"{self.key}-{self.seed}-{self.fingerprint[:16]}"

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the weights: equal fingerprints train to equal weights."""
        return self.identity.hash


def _layers(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Dotted names as nested settings of the model's config and of the training."""
    layers: dict[str, dict[str, Any]] = {"model": {}, "train": {}}
    for name, value in overrides.items():
        head, _, rest = name.partition(".")
        if head not in layers or not rest:
            raise ValueError(f"an override must be named model.NAME or train.NAME, but is {name!r}")
        for part in reversed(rest.split(".")):
            value = {part: value}
        layers[head] = merged(layers[head], value)
    return layers["model"], layers["train"]


def decide(
    params: Params,
    key: str,
    seed: int,
    catalog: Catalog,
    split_folder: Path,
    pack_folder: Path,
    init_folder: Path | None = None,
    best_params: Mapping[str, Any] | None = None,
    identity: Identity | None = None,
) -> Experiment:
    """The experiment of one member of a run, or of the search ``search@KEY``.

    The settings are laid over one another: TrainConfig's defaults, the model's published settings, the entry under
    ``models:`` or, in its place, the preset, what a search found, and the run's own.

    Args:
        init_folder: of a run that starts from another one, where that lies.
        best_params: of a run that takes them from a search, dotted names to values.

    Raises:
        LookupError: no run, model, preset or metric of that name.
        ValueError: settings that a section refuses, or that do not go together; or the model's module does not import.
    """
    place, run = params.place_of(key)
    entry, spec = catalog.model_entry(run.model), catalog.model(run.model)
    config, train, boxes = layers_of(params, place, run, catalog, best_params or {})
    train = _validated(TrainConfig, place, spec.train, train)
    if not spec.trained:
        train = train.model_copy(update={"epochs": 0, "workers": 1})
    if train.engine == "deepspeed" and train.zero > spec.max_zero:
        raise ValueError(f"{place}.train.zero must be at most {spec.max_zero} for {run.model}, but is {train.zero}")
    if isinstance(run, SearchConfig) and not isinstance(train.workers, int):
        raise ValueError(f"{place}.train.workers must be one number in a search, but is {train.workers}")
    start = run.init_from if isinstance(run, RunConfig) else None
    if spec.trained and not (train.epochs or start):
        raise ValueError(f"{place}.train.epochs must be 1 or more, as it starts from no other run, but is 0")
    episodes = params.splits[run.split].episodes
    task = _task(place, run, boxes, spec, episodes is not None)
    if spec.compute:
        _must_be_computed(place, run, task)
    if not spec.trained and isinstance(run, SearchConfig) and run.budget.epochs:
        raise ValueError(
            f"{place}.budget must say trials or device_seconds for {run.model}, which is not trained, but says epochs"
        )
    if train.shots and task is Task.CATEGORY_SPECIFIC:
        raise ValueError(f"{place}.train.shots must be left out for a category-specific model, but is {train.shots}")
    return Experiment(
        key=key,
        model=run.model,
        module=entry.module,
        origin=entry.origin,
        judge_module=catalog.judge(train.judged_by),
        task=task,
        config=_validated(spec.config, place, config),
        train=train,
        seed=seed,
        data=params.splits[run.split].data,
        split=run.split,
        pack=run.pack,
        shots=episodes.shots if episodes and task is Task.CATEGORY_AGNOSTIC else 0,
        split_folder=split_folder,
        pack_folder=pack_folder,
        boxes=boxes,
        preset=run.preset,
        init_from=start,
        init_folder=init_folder,
        params_from=run.params_from if isinstance(run, RunConfig) else None,
        identity=identity or Identity(),
    )


def layers_of(
    params: Params, place: str, run: TrainingConfig, catalog: Catalog, best_params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The model's config and the training settings as far as they are written in the parameters, in a preset or by a
    search, and whose boxes the test part is cropped by. Imports no model.

    Raises:
        LookupError: no preset of that name.
        ValueError: the preset is one of another model.
    """
    # What a project sets for all runs of a model would make a published result another one.
    shared = ModelConfig() if run.preset else params.models[run.model]
    layers: list[dict[str, Any]] = [{"config": shared.config, "train": shared.train, "boxes": "annotated"}]
    if run.preset is not None:
        preset: Preset = catalog.preset(run.preset)
        if preset.model != run.model:
            raise ValueError(
                f"{place}.model must be {preset.model}, as its preset {run.preset} says, but is {run.model}"
            )
        layers.append({"config": preset.config, "train": preset.train, "boxes": preset.boxes})
    config, train = _layers(best_params)
    layers.append({"config": config, "train": train})
    layers.append(run.model_dump(include={"config", "train", "boxes"}, exclude_unset=True))
    together = merged(*layers)
    return together["config"], together["train"], together["boxes"]


def _must_be_computed(place: str, run: TrainingConfig, task: Task) -> None:
    """Refuse what has no meaning for a model whose weights have a closed form."""
    if isinstance(run, SearchConfig) or (isinstance(run, RunConfig) and run.params_from):
        raise ValueError(f"{place}.model must be one that is trained, but {run.model} is computed from the data alone")
    if isinstance(run, RunConfig) and run.init_from and task is Task.CATEGORY_SPECIFIC:
        raise ValueError(
            f"{place}.init_from must be left out for {run.model}, which is computed from its own training records, "
            f"but is {run.init_from}"
        )


def _task(place: str, run: TrainingConfig, boxes: str, spec: SomeModelSpec, episodes: bool) -> Task:
    if run.task:
        task = Task(run.task)
    elif len(spec.tasks) == 1:
        task = spec.tasks[0]
    else:
        task = Task.CATEGORY_AGNOSTIC if episodes else Task.CATEGORY_SPECIFIC
    if task not in spec.tasks:
        raise ValueError(f"{place}.task must be one of {', '.join(spec.tasks)} for {run.model}, but is {task}")
    if task is Task.CATEGORY_AGNOSTIC and boxes == "detected":
        raise ValueError(f"{place}.boxes must be annotated for episodes, whose queries are annotated, but is detected")
    if task is Task.CATEGORY_AGNOSTIC and not episodes:
        raise ValueError(f"{place}.split must have episodes for {run.model}, but splits.{run.split} has none")
    return task


def _validated(section: type[SectionT], place: str, *layers: Mapping[str, Any]) -> SectionT:
    try:
        return section.model_validate(merged(*layers))
    except ValidationError as error:
        raise ValueError(sentence(error, place)) from error
