"""How long the stages of one ``dvc repro`` took, so that its last stage can say where the time went."""

from __future__ import annotations

import time
from pathlib import Path

from posebed.files import Kind, read_json, write_json
from posebed.jobs.view import minutes

FILE = Path(".posebed/stages.json")
TIMES = Kind("times of stages")
BEGAN = time.time()
"""When this process was about to be a stage; the start of Python before it counts as between stages."""


def start() -> None:
    """Forget the stages of former commands; this process is the first of the present one."""
    write_json({"began": BEGAN, "stages": []}, FILE, TIMES)


def add(stage: str) -> None:
    """Note that this process was a stage, and how long it took."""
    if FILE.is_file():
        times = read_json(FILE, TIMES)
        entry = {"stage": stage, "seconds": time.time() - BEGAN}
        write_json({"began": times["began"], "stages": [*times["stages"], entry]}, FILE, TIMES)


def summary() -> str:
    """Seconds of every kind of stage that has run, and those in which none ran; said once, and nothing where the first
    stage did not run."""
    if not FILE.is_file():
        return ""
    times = read_json(FILE, TIMES)
    FILE.unlink()
    total, spent = time.time() - times["began"], dict[str, float]()
    for entry in times["stages"]:
        spent[entry["stage"]] = spent.get(entry["stage"], 0.0) + entry["seconds"]
    parts = [f"{stage} {minutes(seconds)}" for stage, seconds in spent.items()]
    return f"All stages in {minutes(total)}: {', '.join(parts)}, between them {minutes(total - sum(spent.values()))}"
