"""What must hold at the end of a round, whatever was killed: each promise returns a sentence for every violation."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, closing
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open

from campaign.project import ONE_WORKER, RUNS, SEARCH, TRIALS
from campaign.world import World, own_processes
from posebed.files import file_hash
from posebed.jobs.outcomes import State
from posebed.scoring.result import RESULT_FILE, read_result
from posebed.scoring.search_result import read_search

_JOBS = """
from posebed.jobs.workplace import JOBS
from posebed.storage import Storage
storage = Storage.of_environment()
there = storage.system.exists(storage.path(JOBS))
files = storage.system.find(storage.path(JOBS), detail=True) if there else {}
print(*(name for name, about in files.items() if about["size"]))  # a removed folder may leave its empty name
"""
Outcomes = dict[str, Any]  # as JSON has it
Identity = tuple[str | None, str | None, str | None]
"""Of a run in the tracker: the fingerprint of a result, or a study and the number of a trial."""
LEARNT = ("epoch", "loss", "losses", "validation", "learning_rate")
"""Of an epoch, what does not depend on the machine's speed."""
PATIENCE_SECONDS = 30.0
"""In which processes end whose command has ended."""


def outcomes(project: Path) -> Outcomes:
    """What a round found out: of every run its scores and curve, of those with one worker also the weights' hashes; of
    the search every trial."""
    search = read_search(project / f"runs/search@{SEARCH}")
    trials = {
        str(trial.number): [trial.params, trial.state, [[m.epoch, m.validation] for m in trial.curve]]
        for trial in search.trials
    }
    found: Outcomes = {
        "search": {"trials": trials, "best": [search.best.number, search.best.validation]},
        **{f"run {key}": _run(project / "runs" / key) for key in RUNS},
    }
    return json.loads(json.dumps(found))


def _run(folder: Path) -> Outcomes:
    result = json.loads((folder / "result.json").read_text())
    found: Outcomes = {
        score["metric"]: [score[name] for name in ("value", "low", "high")] for score in result["scores"]
    }
    found["curve"] = [[line[name] for name in LEARNT] for line in result["curve"]]
    if folder.name in ONE_WORKER:
        for path in sorted(folder.glob("seed-*/train/*.safetensors")):
            found[f"{path.parent.parent.name} {path.name}"] = file_hash(path)
    return found


def same_results(found: Outcomes, expected: Outcomes) -> Iterator[str]:
    for name in expected:
        different = [inner for inner in expected[name] if found[name].get(inner) != expected[name][inner]]
        if different:
            yield f"{name} must end as undisturbed, but differs in {', '.join(different)}"


def all_done(project: Path) -> Iterator[str]:
    from posestages.benchmark import read_project

    with chdir(project):
        for name, status in read_project().statuses.items():
            if status.state is not State.DONE:
                yield f"{name} must be done, but is {status.state}"


def trials_once(project: Path, before: Mapping[int, str]) -> Iterator[str]:
    """Args:
    before: of trials that had ended at some moment of the round, when that was.
    """
    trials = {trial.number: trial.ended for trial in read_search(project / f"runs/search@{SEARCH}").trials}
    if sorted(trials) != [*range(TRIALS)]:
        yield f"the search must have {TRIALS} trials, each once, but has {sorted(trials)}"
    for number, ended in before.items():
        if trials.get(number) != ended:
            yield f"trial {number} had ended at {ended} and must stay so, but ended at {trials.get(number)}"


def sound_checkpoints(world: World) -> Iterator[str]:
    """None was told to be damaged but those that their writers had not sealed when they were killed."""
    for number in range(1, world.commands + 1):
        for line in world.log_of_command(number).read_text(errors="replace").splitlines():
            if " is damaged in " in line and " is damaged in seal-" not in line:
                yield f"checkpoints must be whole, but command {number} said: {line}"


def whole_files(folders: Iterable[Path]) -> Iterator[str]:
    """Every file can be read, and no unfinished one is left, since all that was begun was done again."""
    readers: dict[str, Callable[[Path], Any]] = {
        ".json": lambda path: json.loads(path.read_text()),
        ".parquet": pd.read_parquet,
        ".safetensors": lambda path: safe_open(path, "numpy").keys(),
        ".db": _sound_database,
    }
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.name.endswith(".part"):
            yield f"{path} must be gone or have its name, but is left"
        elif path.suffix in readers and path.is_file():
            try:
                readers[path.suffix](path)
            except Exception as error:  # whatever a half-written file makes a library raise
                yield f"{path} must be whole, but cannot be read: {error}"


def _sound_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    if answer != "ok":
        raise ValueError(answer)


def tracked_once(world: World) -> Iterator[str]:
    """No run is doubled, and after ``posebed track`` none is missing."""
    yield from _doubled(world)
    if (ended := world.commanded("track")).returncode:
        yield f"posebed track must end with 0, but ended with {ended.returncode}: {ended.stdout[-500:]}"
    yield from _doubled(world)
    study = read_search(world.project / f"runs/search@{SEARCH}").study
    results = {key: read_result(world.project / "runs" / key / RESULT_FILE) for key in RUNS}
    wanted: dict[Identity, str] = {(result.fingerprint, None, None): key for key, result in results.items()}
    wanted |= {(None, study, None): "the search"}
    wanted |= {(None, study, str(number)): f"trial {number}" for number in range(TRIALS)}
    whole = {_identity(run) for run in _tracked(world) if run.info.status == "FINISHED"}
    if missing := [wanted[identity] for identity in wanted.keys() - whole]:
        yield f"the tracker must have every run and trial in full, but lacks {', '.join(sorted(missing))}"


def _doubled(world: World) -> Iterator[str]:
    for identity, count in Counter(_identity(run) for run in _tracked(world)).items():
        if count > 1:
            yield f"the tracker must have every run once, but has {count} of {identity}"


def _identity(run: Any) -> Identity:
    from posebed.reporting.search_tracking import STUDY, TRIAL
    from posebed.reporting.tracking import FINGERPRINT

    fingerprint, study, trial = (run.data.tags.get(tag) for tag in (FINGERPRINT, STUDY, TRIAL))
    return fingerprint, study, trial


def _tracked(world: World) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(world.settings["MLFLOW_TRACKING_URI"])
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [*client.search_runs(experiments, max_results=1000)]


def nothing_left(world: World) -> Iterator[str]:
    """The command has ended: neither its processes nor checkpoints of its jobs are there."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (busy := world.busy()) and time.monotonic() < end:
        time.sleep(0.2)
    if busy:
        yield f"no process must work after the command, but {', '.join(map(str, busy))} do"
    # In a process of its own, since fsspec remembers where the storage of the round before was.
    listed = subprocess.run([sys.executable, "-c", _JOBS], capture_output=True, text=True, timeout=300, check=True)
    if listed.stdout.strip():
        yield f"checkpoints of finished jobs must be gone, but the storage has {listed.stdout.strip()}"
    places = [world.project / ".posebed" / name for name in ("jobs", "ray")]
    if files := [path for place in places for path in place.rglob("*") if path.is_file()]:
        yield f"what jobs kept while they went on must be gone, but there is {', '.join(map(str, files))}"


def no_strays(world: World) -> Iterator[str]:
    """The cluster and all servers have ended, and every process of the round with them."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (left := own_processes(world.mark)) and time.monotonic() < end:
        time.sleep(0.2)
    if left:
        yield f"no process of the round must be left, but there is {', '.join(map(str, left))}"
    for process in left:
        process.kill()
