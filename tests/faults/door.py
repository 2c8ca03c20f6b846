"""A malformed input and the command that meets it, whatever it comes through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

Opened = Callable[[Path], AbstractContextManager[Mapping[str, str]]]
"""Makes the input in a folder, for as long as the context lasts, and gives the variables of the command."""

RUN = "{run}"
"""In a command, the folder of a trained run."""


@dataclass(frozen=True)
class Door:
    area: str
    """Data, our own files, or what lies outside of a project."""
    kind: str
    """Of input."""
    name: str
    command: tuple[str, ...]
    """Run in the folder; begins with ``posebed`` or ``python``."""
    opened: Opened
    codes: tuple[int, ...]
    """With which the command may end: by 2, it refuses in one sentence."""
    says: str = ""
    """What the command must print."""
    in_project: bool = True
    """Whether the folder is a copy of ``artefact_project``'s project; else it is empty."""
    seconds: float = 60.0
    """In which the command must end, also on a machine that has other work."""
