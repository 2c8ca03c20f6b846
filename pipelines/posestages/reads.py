"""What of the project's files a task reads: all that a machine needs that does not have the project."""

from __future__ import annotations

from pathlib import Path

from posebed.config import SEARCH, Params, RunConfig
from posebed.jobs.graph import Task, start_seed
from posebed.places import LOCK_FILE, member_folder, pack_folder, prepared_folder, run_folder, split_folder

DVC_LOCK = Path("dvc.lock")


def reads(task: Task, params: Params) -> list[Path]:
    """Files and folders; those that are not there are not needed."""
    run = params.searches[task.key] if task.kind == "search" else params.runs[task.key]
    split, pack = split_folder(run.split), pack_folder(run.pack)
    if task.kind == "score":
        members = [member_folder(task.key, seed) for seed in params.runs[task.key].seeds]
        prepared = prepared_folder(params.splits[run.split].data) / "about.json"
        outcomes = [member / name for member in members for name in ("train", "predicted")]
        return [*outcomes, prepared, split, DVC_LOCK, LOCK_FILE]
    if task.kind == "predict":
        return [member_folder(task.key, task.seed or 0) / "train", split, pack]
    return [split, pack, *_starts(task, run, params), *_own_files(task)]


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


def _own_files(task: Task) -> list[Path]:
    """Files of the project, such as weights, that the model's settings name."""
    named = [value for name, value in task.identity.settings.items() if name.startswith("config.")]
    paths = [Path(value) for value in named if isinstance(value, str) and value]
    return [path for path in paths if not path.is_absolute() and ".." not in path.parts and path.is_file()]
