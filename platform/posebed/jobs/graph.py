"""The benchmark as a graph of tasks: search, train, predict and score, what each needs and what decides its numbers.

Made from the parameters, the prepared data and the code alone. Imports no model and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from posebed.catalog import Catalog
from posebed.config import (
    SEARCH,
    UNDECIDING,
    ResourcesConfig,
    RunConfig,
    SearchConfig,
    SubmissionConfig,
    TrainConfig,
    TrainingConfig,
    merged,
)
from posebed.contracts import MetricSpec
from posebed.experiment import layers_of
from posebed.files import file_hash
from posebed.identity import Identity, content_hash, flattened
from posebed.listing import shortened, shown
from posebed.params import Params
from posebed.places import member_folder, pack_folder, run_folder, split_folder
from posebed.source_code import SourceCode

ABSENT = "absent"
"""Stands for the content of a split or pack that was not made yet."""
SPLIT_FILES = ("membership.parquet", "episodes.parquet")
PACK_FILES = ("index.parquet", "categories.json", "about.json")
ENTRIES: Mapping[str, Sequence[str]] = {
    "search": ("posebed.training.loop", "posebed.inference.untrained_validation"),
    "train": ("posebed.training.loop", "posebed.training.untrained"),
    "predict": ("posebed.inference.predict",),
    "score": ("posebed.scoring.scores", "posebed.scoring.members"),
}
"""Where the code that a kind of task can reach begins; of all but score the model's module is another entry."""
READS_ANSWERS = "posebed.submissions.answers"
"""Where the code begins that the score of a submission reaches beside a run's."""


@dataclass(frozen=True)
class Task:
    kind: str
    """search, train, predict or score."""
    key: str
    """Of the run, or of the search."""
    seed: int | None
    """Of the member; None where the task is the whole run's."""
    identity: Identity
    needs: tuple[str, ...]
    """Names of the tasks that must be done before."""
    model: str
    """Empty for a submission."""
    epochs: int | None = None
    """Of its run; None where the model's own settings decide."""
    workers: int = 1
    """The most that it takes."""
    fewest: int = 0
    """Workers that it can do with; 0 where it takes all or none."""
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)
    refused: str = ""
    """Why it cannot be done, whatever is done before, in a sentence: its model or preset is gone or broken."""

    @property
    def name(self) -> str:
        return name_of(self.kind, self.key, self.seed)

    @property
    def folder(self) -> Path:
        """Where its outcome lies."""
        if self.seed is None:
            return run_folder(SEARCH + self.key if self.kind == "search" else self.key)
        return member_folder(self.key, self.seed) / {"train": "train", "predict": "predicted"}[self.kind]

    @property
    def outcome(self) -> Path:
        """The file that there is when it was done."""
        names = {"search": "search.json", "train": "run.json", "predict": "predictions.parquet", "score": "result.json"}
        return self.folder / names[self.kind]

    @property
    def record(self) -> Path:
        """The file that says with which identity it was done."""
        return self.folder / "task.json"

    @property
    def job(self) -> str | None:
        """Name of its folder of checkpoints, where it has any: of a training as in its experiment; of a search and of
        what is refused, whose hash is not known, without the hash at the end."""
        if self.kind == "search":
            return SEARCH + self.key
        if self.kind == "train":
            return f"{self.key}-{self.seed}" + ("" if self.refused else f"-{self.identity.hash[:16]}")
        return None


def name_of(kind: str, key: str, seed: int | None = None) -> str:
    return f"{kind} {key}" if seed is None else f"{kind} {key} seed {seed}"


@dataclass(frozen=True)
class Graph:
    tasks: Mapping[str, Task]
    """By name; whatever a task needs stands before it."""

    @cached_property
    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the tasks that need a task, by its name."""
        dependents: dict[str, list[str]] = {name: [] for name in self.tasks}
        for task in self.tasks.values():
            for needed in task.needs:
                dependents[needed].append(task.name)
        return {name: tuple(names) for name, names in dependents.items()}

    def below(self, names: Iterable[str]) -> set[str]:
        """These tasks and all that they need."""
        return _closure(names, lambda name: self.tasks[name].needs)

    def above(self, names: Iterable[str]) -> set[str]:
        """These tasks and all that need them."""
        return _closure(names, lambda name: self.dependents[name])

    def of(self, keys: Collection[str]) -> Graph:
        """The tasks of these runs and searches, and what they need.

        Raises:
            LookupError: there is no run or search of that name.
        """
        known = {SEARCH + t.key if t.kind == "search" else t.key for t in self.tasks.values()}
        for key in keys:
            if key not in known:
                raise LookupError(
                    f"KEY must name a run or search, but is {shown(key)}; there is {shortened(sorted(known))}"
                )
        own = [t.name for t in self.tasks.values() if (SEARCH + t.key if t.kind == "search" else t.key) in keys]
        wanted = self.below(own)
        return Graph({name: task for name, task in self.tasks.items() if name in wanted})


def _closure(names: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    closure, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in closure:
            closure.add(name)
            waiting += following(name)
    return closure


class GraphMaker:
    """Makes tasks from parameters; content of data and code is looked at once.

    Args:
        effective_hash: of a task, as those that need it see it; by default its identity's.
    """

    def __init__(
        self,
        params: Params,
        catalog: Catalog,
        code: SourceCode,
        effective_hash: Callable[[Task], str] = lambda task: task.identity.hash,
    ) -> None:
        self._params, self._catalog, self._code, self._effective_hash = params, catalog, code, effective_hash
        self._contents: dict[Path, str] = {}
        self._judges: dict[str, str] = {}
        self._reachable: dict[tuple[str, ...], dict[str, str]] = {}
        self._tasks: dict[str, Task] = {}

    def graph(self) -> Graph:
        """Every task of every run, search and submission; those of a model, preset or file that cannot be used are
        refused."""
        for key in self._params.searches:
            self._add_search(key)
        for key in self._in_order():
            self._add_run(key, self._params.runs[key])
        for key, submission in self._params.submissions.items():
            self._add_submission(key, submission)
        return Graph(self._tasks)

    def _in_order(self) -> Iterator[str]:
        """Keys of runs, such that a run stands behind the one it starts from; there are no circles."""
        done: set[str] = set()
        for key in self._params.runs:
            way = [key]
            while (start := self._params.runs[way[-1]].init_from) and start not in done:
                way.append(start)
            yield from (k for k in reversed(way) if k not in done)
            done.update(way)

    def _add_search(self, key: str) -> None:
        search = self._params.searches[key]
        training, refused = self._training(SEARCH + key, search, search.seed)
        own = {"budget", "space", "only", "sampler", "scheduler", "grace", "reduction", "cost", "warm_start"}
        settings = search.model_dump(mode="json", include=own)
        try:
            settings["code"] = self._sampler_code(search)
        except (LookupError, ValueError) as error:
            refused = refused or str(error)
        identity = replace(training, settings={**training.settings, **flattened({"search": settings})})
        self._add("search", key, search, identity=identity, needs=(), refused=refused)

    def _sampler_code(self, search: SearchConfig) -> dict[str, str]:
        """It stands beside the settings of the search, since trials are the same whoever proposed them."""
        return self._code.reachable([self._catalog.sampler_entry(search.sampler).module])

    def _add_run(self, key: str, run: RunConfig) -> None:
        predictions: list[str] = []
        refused = ""
        for seed in run.seeds:
            needs = tuple(self._starts(run, seed))
            identity, refused = self._training(key, run, seed)
            identity = replace(identity, after=self._after(needs))
            train = self._add("train", key, run, seed=seed, identity=identity, needs=needs, refused=refused)
            code = {} if refused else self.code_of("predict", run)
            identity = Identity(data=self.data_of(run), after=self._after([train]), code=code)
            predictions.append(self._add("predict", key, run, seed=seed, identity=identity, needs=(train,)))
        preset = None if refused else self._preset(run)
        settings = flattened({"scoring": self._params.scoring.model_dump(mode="json"), "preset": preset})
        settings |= {"method": run.method} if run.method else {}
        identity = Identity(settings, after=self._after(predictions), code=self.code_of("score"))
        self._add("score", key, run, identity=identity, needs=tuple(predictions))

    def _add_submission(self, key: str, submission: SubmissionConfig) -> None:
        scoring = self._params.scoring.model_dump(mode="json")
        settings = flattened({"scoring": scoring, "submission": submission.model_dump(mode="json")})
        file, data, refused = Path(submission.file), self.data_of(submission), ""
        if file.is_file():
            data[f"file {file}"] = file_hash(file)
        else:
            refused = f"submissions.{key}.file must be there, but there is no {file}"
        code = {**self.code_of("score"), **self._code.reachable([READS_ANSWERS])}
        task = Task("score", key, None, Identity(settings, data=data, code=code), (), "", refused=refused)
        self._tasks[task.name] = task

    def _training(self, key: str, run: RunConfig | SearchConfig, seed: int) -> tuple[Identity, str]:
        """What decides the weights of a training, and why it is refused, if it is."""
        try:
            return training_identity(self, key, run, seed), ""
        except (KeyError, IndexError):
            raise  # a mistake of this program
        except (LookupError, ValueError) as error:
            return Identity({"model": run.model, "preset": run.preset, "seed": seed}), str(error)

    def _starts(self, run: RunConfig, seed: int) -> Iterator[str]:
        if run.params_from:
            yield name_of("search", run.params_from)
        if run.init_from:
            yield name_of("train", run.init_from, start_seed(self._params.runs[run.init_from], seed))

    def _after(self, needs: Iterable[str]) -> dict[str, str]:
        return {name: self._effective_hash(self._tasks[name]) for name in needs}

    def _preset(self, run: RunConfig) -> dict[str, Any] | None:
        """What a result says of the preset that it repeats."""
        if run.preset is None:
            return None
        preset = self._catalog.preset(run.preset)
        return {"name": run.preset, "data": preset.data, "split": preset.split, "pack": preset.pack}

    def _add(
        self,
        kind: str,
        key: str,
        run: TrainingConfig,
        *,
        seed: int | None = None,
        identity: Identity,
        needs: tuple[str, ...],
        refused: str = "",
    ) -> str:
        workers = _workers(identity) if kind in ("train", "search") else (1, 0)
        epochs = self._epochs(key, run) if kind == "train" and not refused else None
        task = Task(
            kind=kind,
            key=key,
            seed=seed,
            identity=identity,
            needs=needs,
            model=run.model,
            epochs=epochs,
            workers=workers[0],
            fewest=workers[1],
            resources=run.resources,
            refused=refused,
        )
        self._tasks[task.name] = task
        return task.name

    def _epochs(self, key: str, run: TrainingConfig) -> int | None:
        """As far as they are written."""
        return layers_of(self._params, f"runs.{key}", run, self._catalog, {})[1].get("epochs")

    def settings_of(self, key: str, run: TrainingConfig, seed: int) -> dict[str, Any]:
        """By value: what is written, over the defaults of ``TrainConfig``. A model's own defaults enter as its code,
        hence a value that is written although it is the default is noted: the model may have had another."""
        config, train, boxes = layers_of(self._params, self._params.place_of(key)[0], run, self._catalog, {})
        train = {name: value for name, value in train.items() if name not in UNDECIDING}
        defaults = TrainConfig().model_dump(mode="json", exclude={*UNDECIDING})
        return flattened(
            {
                "model": run.model,
                "task": run.task,
                "boxes": boxes,
                "seed": seed,
                "config": config,
                "train": merged(defaults, train),
                "written defaults": _equal_values(flattened(train), flattened(defaults)),
            }
        )

    def data_of(self, run: TrainingConfig | SubmissionConfig) -> dict[str, str]:
        return {
            f"split {run.split}": self._content(split_folder(run.split), SPLIT_FILES),
            f"pack {run.pack}": self._content(pack_folder(run.pack), PACK_FILES),
        }

    def code_of(self, kind: str, run: TrainingConfig | None = None, judge: str | None = None) -> dict[str, str]:
        """
        Args:
            run: whose model the task needs.
            judge: the metric that it is judged by.
        """
        model = (self._catalog.model_entry(run.model).module,) if run else ()
        judged = (self._judge(judge),) if judge else ()
        measured = tuple(self._measured) if kind == "score" else ()
        entries = (*ENTRIES[kind], *model, *judged, *measured)
        if entries not in self._reachable:
            self._reachable[entries] = self._code.reachable(entries)
        return self._reachable[entries]

    def _judge(self, metric: str) -> str:
        if metric not in self._judges:
            self._judges[metric] = self._catalog.judge(metric)
        return self._judges[metric]

    @cached_property
    def _measured(self) -> Mapping[str, MetricSpec]:
        return self._catalog.measured()[0]

    def _content(self, folder: Path, names: tuple[str, ...]) -> str:
        if folder not in self._contents:
            self._contents[folder] = content_hash(folder, names) if (folder / names[0]).is_file() else ABSENT
        return self._contents[folder]


def _workers(identity: Identity) -> tuple[int, int]:
    """The most workers of a training, and the fewest where that is another number."""
    settings = identity.settings
    if "train.workers.max" in settings:
        return settings["train.workers.max"], settings.get("train.workers.min", 1)
    return settings.get("train.workers", 1), 0


def _equal_values(settings: dict[str, Any], others: dict[str, Any]) -> list[str]:
    """Names that have the same value in both."""
    return sorted(name for name in settings.keys() & others.keys() if settings[name] == others[name])


def training_identity(maker: GraphMaker, key: str, run: RunConfig | SearchConfig, seed: int) -> Identity:
    """What decides the weights of one training, but for what it starts from."""
    settings = maker.settings_of(key, run, seed)
    code = maker.code_of("train", run, judge=settings["train.judged_by"])
    return Identity(settings=settings, data=maker.data_of(run), code=code)


def training_identity_of(search: Task) -> Identity:
    """What decides a trial of a search, but for what is varied: trials of a search with a larger budget are others'
    as well."""
    settings = {name: value for name, value in search.identity.settings.items() if not name.startswith("search.")}
    return replace(search.identity, settings=settings)


def start_seed(start: RunConfig, seed: int) -> int:
    """Which member of the run that it starts from a member with this seed takes."""
    return seed if seed in start.seeds else start.seeds[0]
