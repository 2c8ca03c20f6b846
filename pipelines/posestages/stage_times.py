"""How long the stages of one ``dvc repro`` took, so that its last stage can say where the time went."""

from __future__ import annotations

import os
import time
from pathlib import Path

from posebed.files import Content, remove
from posebed.forms import Form
from posebed.jobs.view import minutes
from posebed.own_json import Kind, read_json, write_json

FILE = Path(".posebed/stages.json")


class _Spent(Form):
    stage: str
    seconds: float


class _Times(Form):
    began: float
    stages: list[_Spent]


TIMES = Kind("times of stages", form=_Times)
BEGAN = time.time()
"""When this process was about to be a stage; the start of Python before it counts as between stages."""


def start() -> None:
    """Forget the stages of former commands; this process is the first of the present one."""
    write_json({"began": BEGAN, "stages": []}, FILE, TIMES)


def add(stage: str) -> None:
    """Note that this process was a stage, and how long it took."""
    if times := _times():
        entry = {"stage": stage, "seconds": time.time() - BEGAN}
        write_json({"began": times["began"], "stages": [*times["stages"], entry]}, FILE, TIMES)


def summary() -> str:
    """Seconds of every kind of stage that has run, and those in which none ran; said once, and nothing where the first
    stage did not run."""
    times = _times()
    if times is None:
        return ""
    FILE.unlink()
    total, spent = time.time() - times["began"], dict[str, float]()
    for entry in times["stages"]:
        spent[entry["stage"]] = spent.get(entry["stage"], 0.0) + entry["seconds"]
    parts = [f"{stage} {minutes(seconds)}" for stage, seconds in spent.items()]
    return f"All stages in {minutes(total)}: {', '.join(parts)}, between them {minutes(total - sum(spent.values()))}"


def _times() -> Content | None:
    """None where the first stage did not run. A damaged file costs these times and nothing else."""
    if not os.path.lexists(FILE):
        return None
    try:
        return read_json(FILE, TIMES)
    except ValueError:
        remove(FILE)
        return None
