"""A package of a model, dataset or metric of one's own: a working example, its test and its entry point."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from posebed.catalog import installed
from posebed.files import write_text, writing_folder
from posebed.source_code import place_of

KINDS = ("model", "dataset", "metric")
EXAMPLE = "sketch"
"""What the templates call it."""


def new(kind: str, name: str, folder: Path) -> Path:
    """Write the package into ``folder / name`` and return that.

    Raises:
        ValueError: the kind is none, the name cannot be that of a package or is taken, or the folder is there.
    """
    if kind not in KINDS:
        raise ValueError(f"KIND must be one of {', '.join(KINDS)}, but is {kind!r}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(f"NAME must be small letters, digits and _, as of a Python package, but is {name!r}")
    catalog = installed()
    taken = {"model": catalog.models, "dataset": catalog.datasets, "metric": catalog.metrics}[kind]
    if name in taken or name in sys.stdlib_module_names or place_of(name):
        raise ValueError(f"NAME must be free, but {name!r} is that of an installed {kind} or package")
    out = folder / name
    if out.exists():
        raise ValueError(f"{out} must not be there yet, but is")
    with writing_folder(out) as unfinished:
        _copy(files("posestages") / "templates" / kind, unfinished, name)
    return out


def _copy(template: Traversable, out: Path, name: str) -> None:
    for entry in template.iterdir():
        place = out / entry.name.replace(EXAMPLE, name)
        if entry.is_dir() and not entry.name.startswith("__pycache__"):
            _copy(entry, place, name)
        elif entry.is_file():
            text = entry.read_text(encoding="utf-8")
            camel = "".join(word.capitalize() for word in name.split("_"))
            write_text(text.replace(EXAMPLE, name).replace(EXAMPLE.capitalize(), camel), place)
