"""A plain copy of the repository, as on a machine where nothing can be installed, is used as if it were installed."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("platform", "models", "pipelines")


def made_usable() -> None:
    """Put the packages and what ``pyproject.toml`` names of them where Python looks, unless they are there."""
    if entry_points(group="posebed.models"):
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    place = Path(tempfile.mkdtemp(prefix="posebed-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    about = place / f"posebed-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: posebed\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(groups))
    sys.path += [str(place), *(str(ROOT / source) for source in SOURCES)]
