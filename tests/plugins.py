"""Packages of plugins, installed into a folder as pip would leave them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SPEC = """
from posebed.config import Section
from posebed.contracts import ModelSpec, Task


class Config(Section):
    width: int = 8


def build(config, setting):
    raise NotImplementedError


SPEC = ModelSpec((Task.CATEGORY_SPECIFIC,), Config, build, {}, contract=CONTRACT)
"""
"""A model's module that imports no torch."""


def spec(contract: int = 1) -> str:
    return SPEC.replace("CONTRACT", str(contract))


def install(folder: Path, name: str, files: Mapping[str, str], points: Mapping[str, Mapping[str, str]]) -> None:
    """
    Args:
        folder: on ``sys.path``.
        name: of the distribution.
        files: path to text.
        points: group to name to value of its entry points.
    """
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in of.items()) for group, of in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
