"""A project in a folder of its own: parameters, pipeline, and a page that says what to do next."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from posebed.files import locked, scratch_folder, write_text
from posebed.places import PARAMS

EXAMPLES = ("quadrupeds", "mixed", "photographs", "plugin")
PLUGIN = "plugin"
"""The example that comes with a package, which has a model, a dataset and a metric of its own."""
KEPT = ("README.md", ".gitignore", ".dvcignore")
"""What may be there before."""


def init(folder: Path, example: str | None) -> list[str]:
    """Make the folder a project: that of the demo, or of an example.

    Returns:
        The commands to give next.

    Raises:
        ValueError: there is no such example, or the folder holds a file that would be overwritten.
    """
    if example not in (None, *EXAMPLES):
        raise ValueError(f"--example must be one of {', '.join(EXAMPLES)}, but is {example!r}")
    content = dict(_content(example))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / PARAMS):
        if taken := _taken(content, folder):
            raise ValueError(f"{folder} must not have {taken} yet, but has; name another folder")
        _version_data(folder)
        for name, text in content.items():
            _write(text, folder / name)
    enter = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    return [*enter, "dvc repro"]


def _taken(content: Mapping[str, str], folder: Path) -> str | None:
    """A file that would be overwritten. What a killed command wrote of the same project may stay."""
    own = {folder / name: text for name, text in content.items() if name not in KEPT}
    there = [place for place in own if place.exists()]
    whole = len(there) == len(own)
    differs = (place.name for place in there if whole or place.read_bytes() != own[place].encode())
    return next(differs, None)


def _write(text: str, place: Path) -> None:
    """Of files that a repository may have before: a list of what it ignores gets longer, a page stays as it is."""
    if place.exists() and place.suffix == ".md":
        return
    former = place.read_text(encoding="utf-8").splitlines() if place.exists() else []
    more = [line for line in text.splitlines() if line not in former]
    write_text("".join(f"{line}\n" for line in [*former, *more]) if former else text, place)


def _content(example: str | None) -> Iterator[tuple[str, str]]:
    """Path below the folder and text of every file."""
    if example == PLUGIN:
        yield from _texts(_shipped("examples/plugin"))
    else:
        yield PARAMS.name, _shipped(f"examples/{example}.yaml" if example else PARAMS.name).read_text(encoding="utf-8")
    yield "dvc.yaml", _shipped("dvc.yaml").read_text(encoding="utf-8")
    for template, name in (("README.md", "README.md"), ("gitignore", ".gitignore"), ("dvcignore", ".dvcignore")):
        yield name, (files("posestages") / "templates/project" / template).read_text(encoding="utf-8")


def _shipped(name: str) -> Traversable:
    """What lies at the top of a checkout, and in a wheel with the templates."""
    package = files("posestages")
    packed = package / "templates/project" / name
    return packed if packed.is_file() or packed.is_dir() else Path(str(package)).parents[1] / name


def _texts(folder: Traversable, place: str = "") -> Iterator[tuple[str, str]]:
    """Of a folder's files; its README is about the package as part of a checkout."""
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _texts(entry, f"{place}{entry.name}/")
        elif entry.is_file() and entry.name != "README.md":
            yield f"{place}{entry.name}", entry.read_text(encoding="utf-8")


def _version_data(folder: Path) -> None:
    """Make it a project of DVC, unless it is one: alone, or as a folder of a git repository."""
    if (folder / ".dvc").is_dir():
        return
    inside = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=folder, capture_output=True, text=True)
    where = "--no-scm" if inside.returncode else "--subdir"
    own = "    no_scm = True\n" if inside.returncode else ""
    # Elsewhere at first: killed half-way here, the next command would take its settings, with telemetry on, for ours.
    with scratch_folder(folder / ".dvc") as scratch:
        made = subprocess.run(
            [sys.executable, "-m", "dvc", "init", "--quiet", where], cwd=scratch, capture_output=True, text=True
        )
        if made.returncode:
            raise ValueError(f"`dvc init {where}` must make {folder} a project of DVC, but says: {made.stderr.strip()}")
        write_text(f"[core]\n    analytics = false\n    check_update = false\n{own}", scratch / ".dvc/config")
        (scratch / ".dvcignore").rename(folder / ".dvcignore")
        (scratch / ".dvc").rename(folder / ".dvc")
