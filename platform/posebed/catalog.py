"""Finds the modules of a package that carry a ``SPEC``, importing only the one that is asked for, and its presets."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from typing import Any


def names(package: str) -> list[str]:
    """The modules of a package, by file name; sub-packages and names with a leading underscore are no entries."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise LookupError(f"{package!r} must be an importable package, but none of that name is installed")
    modules = pkgutil.iter_modules(spec.submodule_search_locations)
    return sorted(m.name for m in modules if not m.ispkg and not m.name.startswith("_"))


def load(package: str, name: str) -> Any:
    """The ``SPEC`` of one module.

    Raises:
        LookupError: the package has no module of that name, or the module no ``SPEC``.
    """
    known = names(package)
    if name not in known:
        raise LookupError(f"{package} must hold a module {name!r}, but it has {', '.join(known)}")
    module = importlib.import_module(f"{package}.{name}")
    if not hasattr(module, "SPEC"):
        raise LookupError(f"{package}.{name} must define SPEC, but it does not")
    return module.SPEC


def presets(package: str) -> Mapping[str, Any]:
    """The ``PRESETS`` of the package's sub-package ``presets``: published runs by name."""
    return importlib.import_module(f"{package}.presets").PRESETS


def preset(package: str, name: str) -> Any:
    """A published run.

    Raises:
        LookupError: there is none of that name.
    """
    known = presets(package)
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known, cutoff=0.3)) or "none"
        raise LookupError(f"a preset must be one that `posebed presets` lists, but is {name!r}; close ones: {close}")
    return known[name]
