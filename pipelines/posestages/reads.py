"""What of the project's files a task reads: all that a machine needs that does not have the project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from posebed.config import SEARCH, RunConfig, SubmissionConfig
from posebed.jobs.graph import Task, start_seed
from posebed.params import Params
from posebed.places import LOCK_FILE, member_folder, pack_folder, prepared_folder, run_folder, split_folder

DVC_LOCK = Path("dvc.lock")


def reads(task: Task, params: Params) -> list[Path]:
    """Files and folders; those that are not there are not needed."""
    run = params.searches[task.key] if task.kind == "search" else params.scored[task.key]
    split, pack = split_folder(run.split), pack_folder(run.pack)
    if task.kind == "score":
        prepared = prepared_folder(params.splits[run.split].data) / "about.json"
        return [*_scored(task, run, params), prepared, split, DVC_LOCK, LOCK_FILE]
    if task.kind == "predict":
        return [member_folder(task.key, task.seed or 0) / "train", split, pack]
    return [split, pack, *_starts(task, run, params), *_own_files(task, params)]


def _scored(task: Task, run: object, params: Params) -> list[Path]:
    """What there is to score, and for a submission the queries that it answers."""
    if isinstance(run, SubmissionConfig):
        return [Path(run.file), pack_folder(run.pack)]
    members = [member_folder(task.key, seed) for seed in params.runs[task.key].seeds]
    return [member / name for member in members for name in ("train", "predicted")]


def _starts(task: Task, run: object, params: Params) -> list[Path]:
    """Where a run starts."""
    if not isinstance(run, RunConfig):
        return []
    start, found = run.init_from, run.params_from
    seed = start_seed(params.runs[start], task.seed or 0) if start else 0
    return [
        *([member_folder(start, seed) / "train"] if start else []),
        *([run_folder(SEARCH + found)] if found else []),
    ]


def _own_files(task: Task, params: Params) -> list[Path]:
    """Files of the project, such as weights, that the model's settings name, or a search may choose among."""
    named: list[object] = [value for name, value in task.identity.settings.items() if name.startswith("config.")]
    found = task.key if task.kind == "search" else params.runs[task.key].params_from
    if found:
        named += [*params.searches[found].space.values()]
    paths = [Path(text) for value in named for text in _texts(value)]
    return [path for path in paths if not path.is_absolute() and ".." not in path.parts and path.is_file()]


def _texts(value: object) -> list[str]:
    """All texts in a value of YAML."""
    if isinstance(value, str):
        return [value] if value else []
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, Sequence) else ()
    return [text for one in cast("Iterable[object]", inner) for text in _texts(one)]
