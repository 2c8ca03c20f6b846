"""The member of a run that a command takes: which, and where it lies."""

from __future__ import annotations

import os
import re
from pathlib import Path

from posebed.listing import shortened
from posebed.places import RUNS, is_run, run_folder

_MEMBER = re.compile(r"seed-(-?[0-9]+)")


def member_of(run: str) -> Path:
    """The folder of a trained member.

    Args:
        run: a key below ``runs/``, for the first member that is trained, by seed; a key and a member, ``KEY/seed-N``;
            or the folder of a trained run itself, published or not.

    Raises:
        LookupError: the run has no such member, or none.
    """
    if is_run(Path(run)):
        return Path(run)
    key, _, member = run.partition("/")
    if not key or key.startswith("."):
        raise LookupError(f"RUN must name a run, or a member as RUN/seed-0, but is {run!r}")
    trained = _members(run_folder(key))
    if not trained:
        known = sorted(folder.name for folder in RUNS.glob("*") if _members(folder))
        raise LookupError(f"{run_folder(key)} must hold a trained run, but does not; there is {shortened(known)}")
    if member and member not in trained:
        raise LookupError(f"{run} must name a trained member of {key}, but there is {shortened(trained)}")
    return trained[member or next(iter(trained))]


def _members(folder: Path) -> dict[str, Path]:
    """Name of a member to where its weights lie, by seed."""
    there = (path / "train" for path in folder.glob("seed-*") if os.path.lexists(path / "train/run.json"))
    found = {path.parent.name: path for path in there}
    seeds = {name: int(match[1]) for name in found if (match := _MEMBER.fullmatch(name))}
    return {name: found[name] for name in sorted(seeds, key=seeds.__getitem__)}
