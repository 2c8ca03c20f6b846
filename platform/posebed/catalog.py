"""What models, datasets, metrics, samplers and presets there are: installed packages tell by entry points, and a
project names modules of its own. Nothing is imported before it is asked for, and nothing else ever is.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from posebed.contracts import (
    CONTRACT,
    DatasetSpec,
    MetricSpec,
    ModelSpec,
    Preset,
    PresetSpec,
    SamplerSpec,
    SomeDatasetSpec,
    SomeModelSpec,
)
from posebed.entries import Entries, Entry, both, importable, installed_entries, no_module, of_project, with_project
from posebed.listing import shortened
from posebed.source_code import module_file
from posebed.spec_text import Stated, stated_by

MODELS, DATASETS, METRICS = "posebed.models", "posebed.datasets", "posebed.metrics"
SAMPLERS, PRESETS = "posebed.samplers", "posebed.presets"
"""Groups of entry points."""

SpecT = TypeVar("SpecT", SomeModelSpec, SomeDatasetSpec, MetricSpec, SamplerSpec, PresetSpec)
T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """All that can be named. Plain values, so that workers are sent it."""

    models: Entries = field(default_factory=dict[str, Entry])
    datasets: Entries = field(default_factory=dict[str, Entry])
    metrics: Entries = field(default_factory=dict[str, Entry])
    """Modules of metrics, by their import paths."""
    samplers: Entries = field(default_factory=dict[str, Entry])
    presets: Entries = field(default_factory=dict[str, Entry])
    """Modules of presets, by their import paths."""

    def with_project(
        self,
        models: Iterable[str] = (),
        datasets: Iterable[str] = (),
        metrics: Iterable[str] = (),
        samplers: Iterable[str] = (),
    ) -> Catalog:
        """With the modules that the parameters of the project in the working directory name: by import path, or as a
        file beside ``params.yaml``."""
        return Catalog(
            models=with_project(self.models, models),
            datasets=with_project(self.datasets, datasets),
            metrics={**self.metrics, **{name: of_project(name) or no_module(name) for name in metrics}},
            samplers=with_project(self.samplers, samplers),
            presets=self.presets,
        )

    @property
    def packages(self) -> tuple[str, ...]:
        """The top-level packages of all of them."""
        groups = (self.models, self.datasets, self.metrics, self.samplers, self.presets)
        entries = (e for group in groups for e in group.values() if not e.wrong)
        return tuple(sorted({entry.module.partition(".")[0] for entry in entries}))

    def model_entry(self, name: str) -> Entry:
        """Where a model comes from; ``name`` may also be the import path of its module.

        Raises:
            LookupError: there is none of that name, or it cannot be used.
        """
        return _entry("model", self.models, name)

    def model(self, name: str) -> SomeModelSpec:
        """
        Raises:
            LookupError: there is none of that name, it cannot be used, or its module holds no ``SPEC``.
            ValueError: its module does not import, or was written for another contract.
        """
        return _spec(self.model_entry(name), ModelSpec)

    def dataset_entry(self, name: str) -> Entry:
        """As ``model_entry``."""
        return _entry("source", self.datasets, name)

    def dataset(self, name: str) -> SomeDatasetSpec:
        """As ``model``."""
        return _spec(self.dataset_entry(name), DatasetSpec)

    def sampler_entry(self, name: str) -> Entry:
        """As ``model_entry``."""
        return _entry("sampler", self.samplers, name)

    def sampler(self, name: str) -> SamplerSpec:
        """As ``model``."""
        return _spec(self.sampler_entry(name), SamplerSpec)

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
                where = both(owners[twice[0]], entry)
                wrong.append(f"metrics are left out: {twice[0]!r} must come from one place, but {where}")
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
        importable(entry.folder)
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
        models=installed_entries(points.select(group=MODELS)),
        datasets=installed_entries(points.select(group=DATASETS)),
        metrics=installed_entries(points.select(group=METRICS), by_path=True),
        samplers=installed_entries(points.select(group=SAMPLERS)),
        presets=installed_entries(points.select(group=PRESETS), by_path=True),
    )


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
            raise ValueError(f"{kind} {name!r} must come from one place, but {both(origins[name], entry)}")
        found |= own
        origins |= dict.fromkeys(own, entry)
    return found
