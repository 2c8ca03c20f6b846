"""A run as one JSON file, whole at any time: what was measured, on which device, with which torch and code."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from figures import ROOT

from posebed.own_json import Kind, read_json, write_json
from posebed.provenance import commit, hardware, software
from posebed.training.process_group import device_name

RUN = Kind("a run of benchmarks/accelerator.py")
HISTORY = Path("benchmarks/history")
MOST_BEGINNINGS = 2
"""Calls in which an entry may end without an outcome: whatever ends the process twice is not begun again."""


@dataclass(frozen=True)
class About:
    """What entries of one run have in common."""

    device: str
    torch: str
    commit: str
    """Seven digits; with ``-changed`` where files differ from it, and ``none`` outside of a repository."""
    reduced: bool
    date: str
    """Of the first call, ISO 8601."""
    hardware: str
    software: Mapping[str, str]

    @classmethod
    def of_this_machine(cls, device: torch.device, reduced: bool, known: str | None = None) -> About:
        """Args:
        known: the commit, where there is no repository.
        """
        if not known:
            with contextlib.chdir(ROOT):
                head, changed = commit() if shutil.which("git") else ("none", True)
            known = head[:7] + ("-changed" if changed and head != "none" else "")
        today = datetime.now(UTC).date().isoformat()
        return cls(device_name(device), torch.__version__, known, reduced, today, hardware(), software())

    @property
    def is_card(self) -> bool:
        return self.device != "cpu" and not self.reduced

    @property
    def file(self) -> Path:
        words = (re.sub(r"[^A-Za-z0-9.+]+", "-", word) for word in (self.device, self.torch, self.commit))
        return HISTORY / f"accelerator-{'-'.join(words)}.json"


@dataclass
class Run:
    path: Path
    about: About
    entries: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By name, seconds that it took and its ``outcome``, or an ``error`` in a sentence."""
    begun: dict[str, int] = field(default_factory=dict[str, int])
    """Entries without an outcome that a call ended in, and in how many."""

    @classmethod
    def read(cls, path: Path) -> Run:
        """Raises as ``read_json``."""
        content = read_json(path, RUN)
        return cls(path, About(**content["about"]), content["entries"], content["begun"])

    @classmethod
    def open(cls, path: Path, about: About) -> Run:
        """The run in a file to go on with, or a new one.

        Raises:
            ValueError: it is a run of another device, torch or commit.
        """
        if not path.is_file():
            return cls(path, about)
        run = cls.read(path)
        for name in ("device", "torch", "commit", "reduced"):
            known, now = getattr(run.about, name), getattr(about, name)
            if known != now:
                raise ValueError(f"{path} must be a run whose {name} is {now}, but is of {known}; name another --out")
        return run

    def outcome(self, name: str) -> Mapping[str, Any]:
        """What an entry found; empty where it is not done or ended in an error."""
        return self.entries.get(name, {}).get("outcome", {})

    def begin(self, name: str) -> None:
        self.begun[name] = self.begun.get(name, 0) + 1
        self._write()

    def end(self, name: str, seconds: float, **what: Any) -> None:
        """Keep an entry's ``outcome`` or ``error``."""
        self.begun.pop(name, None)
        self.entries[name] = {"seconds": round(seconds, 2), **what}
        self._write()

    def interrupted(self, name: str) -> None:
        """The user ended the call within an entry, which says nothing about it."""
        self.begun.pop(name, None)
        self._write()

    def _write(self) -> None:
        about = asdict(self.about)
        write_json({"about": about, "entries": self.entries, "begun": self.begun}, self.path, RUN)


def runs_in(folder: Path) -> list[Run]:
    """Whole runs of a folder that are not reduced, the oldest first."""
    runs = [Run.read(path) for path in sorted(folder.glob("accelerator-*.json"))]
    return sorted((run for run in runs if not run.about.reduced), key=lambda run: run.about.date)
