"""Names and the modules behind them, found without importing any: those that entry points of installed packages name,
and those of the project in the working directory.

The value of an entry point is a module that holds a ``SPEC`` (``mylab.poses``), or a package (``mylab.models``) whose
modules each hold one. Models, datasets and samplers of a package are named as their files are.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, packages_distributions, version
from pathlib import Path
from types import ModuleType

from posebed.source_code import module_file

Entries = Mapping[str, "Entry"]


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
        importable(self.folder)
        try:
            return importlib.import_module(self.module)
        except Exception as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise ValueError(f"{self.module} of {self.origin} must be importable, but raises {what}") from error


def installed_entries(points: Iterable[EntryPoint], by_path: bool = False) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    ordered = sorted(points, key=lambda point: (point.value, point.name))
    for entry in (entry for point in ordered for entry in _entries(point, by_path)):
        former = entries.get(entry.name)
        if former is None:
            entries[entry.name] = entry
        elif former.module != entry.module:  # the same distribution may be found twice on the path
            wrong = f"{entry.name!r} must come from one place, but {both(former, entry)}"
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


def with_project(entries: Entries, names: Iterable[str]) -> dict[str, Entry]:
    own = {name: entry for name in names if name not in entries and (entry := of_project(name))}
    return {**entries, **own}


def of_project(name: str) -> Entry | None:
    """A module that the parameters name; None where there is none."""
    top, dot, _ = name.partition(".")
    here = Path.cwd()
    beside = next((place for place in (here / f"{top}.py", here / top / "__init__.py") if place.is_file()), None)
    if beside and _is_taken(top, here):
        called = beside.relative_to(here).as_posix()
        wrong = f"{name!r} must have a name of its own, but {called} is called as an installed package; rename it"
        return Entry(name, name, called, wrong=wrong)
    if beside:
        importable(str(here))
        return Entry(name, name, beside.relative_to(here).as_posix(), str(here)) if module_file(name) else None
    return Entry(name, name, _distribution(top)) if dot and module_file(name) else None


def no_module(name: str) -> Entry:
    wrong = f"{name!r} must be an import path or a file beside params.yaml, but there is no module of that name"
    return Entry(name, name, "params.yaml", wrong=wrong)


def _distribution(package: str) -> str:
    names = packages_distributions().get(package, ())
    return ", ".join(f"{name} {version(name)}" for name in dict.fromkeys(names)) or f"the package {package}"


def _is_taken(top: str, here: Path) -> bool:
    elsewhere = [path for path in sys.path if path and Path(path) != here]
    return top in sys.stdlib_module_names or PathFinder.find_spec(top, elsewhere) is not None


def importable(folder: str) -> None:
    # At the end: nothing that is installed is hidden by a file of the project.
    if folder and folder not in sys.path:
        sys.path.append(folder)


def both(one: Entry, other: Entry) -> str:
    return f"{one.origin} has it in {one.module} and {other.origin} in {other.module}"
