"""What models, datasets and presets there are, and where each comes from: installed packages tell by entry points, and
a project names modules of its own. Nothing is imported before it is asked for, and nothing else ever is.

The value of an entry point is a module that holds one (``mylab.poses``), or a package whose modules each hold one,
named as their files are (``posezoo``).
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

from posebed.contracts import CONTRACT, DatasetSpec, ModelSpec, Preset, SomeDatasetSpec, SomeModelSpec
from posebed.listing import shortened
from posebed.source_code import module_file

MODELS, DATASETS, PRESETS = "posebed.models", "posebed.datasets", "posebed.presets"
"""Groups of entry points."""

Entries = Mapping[str, "Entry"]
SpecT = TypeVar("SpecT", SomeModelSpec, SomeDatasetSpec)


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
    presets: Entries = field(default_factory=dict[str, Entry])
    """Modules that hold ``PRESETS``, by their own names."""

    def with_project(self, models: Iterable[str], datasets: Iterable[str]) -> Catalog:
        """With the modules that the parameters of the project in the working directory name: by import path, or as a
        file beside ``params.yaml``."""
        return Catalog(_with_project(self.models, models), _with_project(self.datasets, datasets), self.presets)

    @property
    def packages(self) -> tuple[str, ...]:
        """The top-level packages of all of them."""
        entries = (e for group in (self.models, self.datasets, self.presets) for e in group.values() if not e.wrong)
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

    def every_preset(self) -> Mapping[str, Preset]:
        """Published runs by name, of all modules that import.

        Raises:
            ValueError: two modules have one of the same name.
        """
        return self._presets()[0]

    def preset(self, name: str) -> Preset:
        """A published run.

        Raises:
            LookupError: there is none of that name.
            ValueError: two modules have one of the same name.
        """
        known, wrong = self._presets()
        if name not in known:
            close = ", ".join(difflib.get_close_matches(name, known, cutoff=0.3)) or "none"
            more = "".join(f"; {sentence}" for sentence in wrong)
            raise LookupError(
                f"a preset must be one that `posebed presets` lists, but is {name!r}; close ones: {close}{more}"
            )
        return known[name]

    def _presets(self) -> tuple[dict[str, Preset], list[str]]:
        """All there are, and in sentences which modules have none."""
        found: dict[str, Preset] = {}
        origins: dict[str, Entry] = {}
        wrong: list[str] = []
        for entry in self.presets.values():
            try:
                own: Mapping[str, Preset] = entry.load().PRESETS
            except (LookupError, ValueError) as error:
                wrong.append(str(error))
                continue
            for name in own.keys() & found.keys():
                raise ValueError(f"preset {name!r} must come from one place, but {_both(origins[name], entry)}")
            found |= own
            origins |= dict.fromkeys(own, entry)
        return found, wrong


def installed() -> Catalog:
    """What installed packages have."""
    return _on_path(tuple(sys.path))


@lru_cache(maxsize=8)
def _on_path(path: tuple[str, ...]) -> Catalog:
    """Looked up once per path: a project of thousands of runs asks for as many presets."""
    points = entry_points()  # looks at every installed package
    return Catalog(*(_installed(points.select(group=group), group == PRESETS) for group in (MODELS, DATASETS, PRESETS)))


def _installed(points: Iterable[EntryPoint], whole: bool) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    ordered = sorted(points, key=lambda point: (point.value, point.name))
    for entry in (entry for point in ordered for entry in _entries(point, whole)):
        former = entries.get(entry.name)
        if former is None:
            entries[entry.name] = entry
        elif former.module != entry.module:  # the same distribution may be found twice on the path
            wrong = f"{entry.name!r} must come from one place, but {_both(former, entry)}"
            entries[entry.name] = Entry(entry.name, "", f"{former.origin} and {entry.origin}", wrong=wrong)
    return entries


def _entries(point: EntryPoint, whole: bool) -> Iterator[Entry]:
    """Of one entry point: of a package those of its modules, unless it is taken as a whole."""
    origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    file = module_file(point.value)
    if whole or file is None or file.name != "__init__.py":
        name = point.value if whole else point.name
        gone = f"{name!r} must be a module of {origin}, but there is no {point.value}"
        yield Entry(name, point.value, origin, wrong="" if file else gone)
        return
    for module in pkgutil.iter_modules([str(file.parent)]):
        if not module.ispkg and not module.name.startswith("_"):
            yield Entry(module.name, f"{point.value}.{module.name}", origin)


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


def _both(one: Entry, other: Entry) -> str:
    return f"{one.origin} has it in {one.module} and {other.origin} in {other.module}"
