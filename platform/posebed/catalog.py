"""What models, datasets, metrics and presets there are, and where each comes from: installed packages tell by entry
points, and a project names modules of its own. Nothing is imported before it is asked for, and nothing else ever is.

The value of an entry point is a module that holds a ``SPEC`` (``mylab.poses``), or a package (``mylab.models``) whose
modules each hold one. Models and datasets of a package are named as their files are.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from posebed.contracts import CONTRACT, DatasetSpec, MetricSpec, ModelSpec, Preset, PresetSpec
from posebed.listing import shortened
from posebed.source_code import module_file
from posebed.spec_text import Stated, stated_by

MODELS, DATASETS, METRICS, PRESETS = "posebed.models", "posebed.datasets", "posebed.metrics", "posebed.presets"
"""Groups of entry points."""

Entries = Mapping[str, "Entry"]
SpecT = TypeVar("SpecT", ModelSpec, DatasetSpec, MetricSpec, PresetSpec)
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """A name, and the module behind it."""

    name: str
    module: str
    """Import path."""
    origin: str
    """Distribution and version (``posebed 0.1.0``), or the file or folder of the project."""
    folder: str = ""
    """Of the project, where the module lies there."""
    wrong: str = ""
    """Why the name cannot be used, in a sentence."""

    def load(self) -> ModuleType:
        """Import the module.

        Raises:
            LookupError: the name cannot be used.
            ValueError: the module does not import.
        """
        if self.wrong:
            raise LookupError(self.wrong)
        _importable(self.folder)
        try:
            return importlib.import_module(self.module)
        except Exception as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise ValueError(f"{self.module} of {self.origin} must be importable, but raises {what}") from error


@dataclass(frozen=True)
class Catalog:
    """All that can be named. Plain values, so that workers are sent it."""

    models: Entries = field(default_factory=dict[str, Entry])
    datasets: Entries = field(default_factory=dict[str, Entry])
    metrics: Entries = field(default_factory=dict[str, Entry])
    """Modules of metrics, by their import paths."""
    presets: Entries = field(default_factory=dict[str, Entry])
    """Modules of presets, by their import paths."""

    def with_project(
        self, models: Iterable[str] = (), datasets: Iterable[str] = (), metrics: Iterable[str] = ()
    ) -> Catalog:
        """With the modules that the parameters of the project in the working directory name: by import path, or as a
        file beside ``params.yaml``."""
        return Catalog(
            models=_with_project(self.models, models),
            datasets=_with_project(self.datasets, datasets),
            metrics={**self.metrics, **{name: _of_project(name) or _no_module(name) for name in metrics}},
            presets=self.presets,
        )

    @property
    def packages(self) -> tuple[str, ...]:
        """The top-level packages of all of them."""
        groups = (self.models, self.datasets, self.metrics, self.presets)
        entries = (e for group in groups for e in group.values() if not e.wrong)
        return tuple(sorted({entry.module.partition(".")[0] for entry in entries}))

    def model_entry(self, name: str) -> Entry:
        """Where a model comes from; ``name`` may also be the import path of its module.

        Raises:
            LookupError: there is none of that name, or it cannot be used.
        """
        return _entry("model", self.models, name)

    def model(self, name: str) -> ModelSpec:
        """
        Raises:
            LookupError: there is none of that name, it cannot be used, or its module holds no ``SPEC``.
            ValueError: its module does not import, or was written for another contract.
        """
        return _spec(self.model_entry(name), ModelSpec)

    def dataset_entry(self, name: str) -> Entry:
        """As ``model_entry``."""
        return _entry("source", self.datasets, name)

    def dataset(self, name: str) -> DatasetSpec:
        """As ``model``."""
        return _spec(self.dataset_entry(name), DatasetSpec)

    def measured(self) -> tuple[dict[str, MetricSpec], list[str]]:
        """What measures tables of predictions, by import paths, those that order tables first; and in sentences what
        does not: modules that are no metrics, and those with a name that another one, or the engine, has."""
        known: dict[str, MetricSpec] = {}
        owners: dict[str, Entry] = {}
        wrong: list[str] = []
        for entry in sorted(self.metrics.values(), key=lambda e: (not e.module.startswith("posebed."), e.module)):
            try:
                spec = _spec(entry, MetricSpec)
            except (LookupError, ValueError) as error:
                wrong.append(f"metrics are left out: {error}")
                continue
            twice = [metric.name for metric in spec.metrics if metric.name in owners]
            if twice:
                both = _both(owners[twice[0]], entry)
                wrong.append(f"metrics are left out: {twice[0]!r} must come from one place, but {both}")
                continue
            known[entry.module] = spec
            owners |= {metric.name: entry for metric in spec.metrics}
        return dict(sorted(known.items(), key=lambda item: -max(m.leads for m in item[1].metrics))), wrong

    def judge(self, metric: str) -> str:
        """The import path of the module of a metric that trainings may be judged by.

        Raises:
            LookupError: there is none of that name, or less of it is better.
        """
        known, wrong = self.measured()
        raised = {m.name: path for path, spec in known.items() for m in spec.metrics if m.better == "higher"}
        if metric not in raised:
            more = "".join(f"; {sentence}" for sentence in wrong)
            raise LookupError(
                f"train.judged_by must be a metric that is better when it is higher, one of {', '.join(raised)}, but "
                f"is {metric!r}{more}"
            )
        return raised[metric]

    def stated(self, name: str) -> Stated:
        """What the ``SPEC`` of a model states in plain values, read from its module's text.

        Raises:
            LookupError: there is none of that name, or its module is gone.
            ValueError: its module is no Python, or has no ``SPEC``.
        """
        entry = self.model_entry(name)
        _importable(entry.folder)
        file = module_file(entry.module)
        if file is None:
            raise LookupError(f"model {name!r} must be a module of {entry.origin}, but there is no {entry.module}")
        return stated_by(file)

    def published(self) -> PresetSpec:
        """What the modules of presets that import state, as if one did.

        Raises:
            ValueError: two modules have a preset, or a model's table, of the same name.
        """
        return self._published()[0]

    def preset(self, name: str) -> Preset:
        """A published run.

        Raises:
            LookupError: there is none of that name.
            ValueError: as ``published``.
        """
        published, wrong = self._published()
        known = published.presets
        if name not in known:
            close = ", ".join(difflib.get_close_matches(name, known, cutoff=0.3)) or "none"
            more = "".join(f"; {sentence}" for sentence in wrong)
            raise LookupError(
                f"a preset must be one that `posebed presets` lists, but is {name!r}; close ones: {close}{more}"
            )
        return known[name]

    def _published(self) -> tuple[PresetSpec, list[str]]:
        """All there is, and in sentences which modules cannot be used."""
        specs: list[tuple[Entry, PresetSpec]] = []
        wrong: list[str] = []
        for entry in self.presets.values():
            try:
                specs.append((entry, _spec(entry, PresetSpec)))
            except (LookupError, ValueError) as error:
                wrong.append(str(error))
        models = dict.fromkeys(model for _, spec in specs for model in spec.ablations)
        return PresetSpec(
            presets=_unique("preset", ((entry, spec.presets) for entry, spec in specs)),
            ablations={
                model: _unique(f"{model}'s table", ((entry, spec.ablations.get(model, {})) for entry, spec in specs))
                for model in models
            },
            unmeasured={data: why for _, spec in specs for data, why in spec.unmeasured.items()},
            same_network={pair: other for _, spec in specs for pair, other in spec.same_network.items()},
        ), wrong


def installed() -> Catalog:
    """What installed packages have."""
    return _on_path(tuple(sys.path))


@lru_cache(maxsize=8)
def _on_path(path: tuple[str, ...]) -> Catalog:
    """Looked up once per path: a project of thousands of runs asks for as many presets."""
    points = entry_points()  # looks at every installed package
    return Catalog(
        models=_installed(points.select(group=MODELS)),
        datasets=_installed(points.select(group=DATASETS)),
        metrics=_installed(points.select(group=METRICS), by_path=True),
        presets=_installed(points.select(group=PRESETS), by_path=True),
    )


def _installed(points: Iterable[EntryPoint], by_path: bool = False) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    ordered = sorted(points, key=lambda point: (point.value, point.name))
    for entry in (entry for point in ordered for entry in _entries(point, by_path)):
        former = entries.get(entry.name)
        if former is None:
            entries[entry.name] = entry
        elif former.module != entry.module:  # the same distribution may be found twice on the path
            wrong = f"{entry.name!r} must come from one place, but {_both(former, entry)}"
            entries[entry.name] = Entry(entry.name, "", f"{former.origin} and {entry.origin}", wrong=wrong)
    return entries


def _entries(point: EntryPoint, by_path: bool) -> Iterator[Entry]:
    """Of one entry point, of a package those of its modules; named by import path, or else as point or file are."""
    origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    file = module_file(point.value)
    if file is None or file.name != "__init__.py":
        name = point.value if by_path else point.name
        gone = f"{name!r} must be a module of {origin}, but there is no {point.value}"
        yield Entry(name, point.value, origin, wrong="" if file else gone)
        return
    for module in pkgutil.iter_modules([str(file.parent)]):
        if not module.ispkg and not module.name.startswith("_"):
            path = f"{point.value}.{module.name}"
            yield Entry(path if by_path else module.name, path, origin)


def _with_project(entries: Entries, names: Iterable[str]) -> dict[str, Entry]:
    own = {name: entry for name in names if name not in entries and (entry := _of_project(name))}
    return {**entries, **own}


def _of_project(name: str) -> Entry | None:
    """A module that the parameters name; None where there is none."""
    top, dot, _ = name.partition(".")
    here = Path.cwd()
    beside = next((place for place in (here / f"{top}.py", here / top / "__init__.py") if place.is_file()), None)
    if beside and _is_taken(top, here):
        called = beside.relative_to(here).as_posix()
        wrong = f"{name!r} must have a name of its own, but {called} is called as an installed package; rename it"
        return Entry(name, name, called, wrong=wrong)
    if beside:
        _importable(str(here))
        return Entry(name, name, beside.relative_to(here).as_posix(), str(here)) if module_file(name) else None
    return Entry(name, name, _distribution(top)) if dot and module_file(name) else None


def _no_module(name: str) -> Entry:
    wrong = f"{name!r} must be an import path or a file beside params.yaml, but there is no module of that name"
    return Entry(name, name, "params.yaml", wrong=wrong)


def _distribution(package: str) -> str:
    names = packages_distributions().get(package, ())
    return ", ".join(f"{name} {version(name)}" for name in dict.fromkeys(names)) or f"the package {package}"


def _is_taken(top: str, here: Path) -> bool:
    elsewhere = [path for path in sys.path if path and Path(path) != here]
    return top in sys.stdlib_module_names or PathFinder.find_spec(top, elsewhere) is not None


def _importable(folder: str) -> None:
    # At the end: nothing that is installed is hidden by a file of the project.
    if folder and folder not in sys.path:
        sys.path.append(folder)


def _entry(kind: str, entries: Entries, name: str) -> Entry:
    entry = entries.get(name) or next((e for e in entries.values() if e.module == name), None)
    if entry is None:
        raise LookupError(
            f"{kind} must be one of {shortened(sorted(entries), none='nothing')}, or a module that params.yaml names, "
            f"but is {name!r}"
        )
    if entry.wrong:
        raise LookupError(f"{kind} {entry.wrong}")
    return entry


def _spec(entry: Entry, kind: type[SpecT]) -> SpecT:
    spec: Any = getattr(entry.load(), "SPEC", None)
    if not isinstance(spec, kind):
        found = "no SPEC" if spec is None else f"one of type {type(spec).__name__}"
        raise LookupError(f"{entry.module} of {entry.origin} must hold a SPEC of type {kind.__name__}, but has {found}")
    if spec.contract != CONTRACT:
        raise ValueError(
            f"{entry.module} of {entry.origin} must be written for contract {CONTRACT}, but is for {spec.contract}"
        )
    return spec


def _unique(kind: str, stated: Iterable[tuple[Entry, Mapping[str, T]]]) -> dict[str, T]:
    """All that modules state, by name."""
    found: dict[str, T] = {}
    origins: dict[str, Entry] = {}
    for entry, own in stated:
        for name in own.keys() & found.keys():
            raise ValueError(f"{kind} {name!r} must come from one place, but {_both(origins[name], entry)}")
        found |= own
        origins |= dict.fromkeys(own, entry)
    return found


def _both(one: Entry, other: Entry) -> str:
    return f"{one.origin} has it in {one.module} and {other.origin} in {other.module}"
