"""Remove what no result and no task that is not done needs: in the project, in its database of studies, in the storage,
and in the caches of machines. ``runs/`` is never touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posebed.config import Key
from posebed.contents import Cache
from posebed.experiment import RUN
from posebed.files import locked
from posebed.forms import Form, checked
from posebed.jobs.graph import Graph
from posebed.jobs.outcomes import FAILURES, LOGS, failure_file, log_file
from posebed.jobs.ray_variables import check_variables, cluster_address
from posebed.jobs.requests import only_command
from posebed.leases import Lease, lease_of, project_identity, stored_leftovers, write_lease
from posebed.leftovers import Cleared, Leftover, at, cache_leftovers, clear, lines, unfinished
from posebed.own_json import Kind, read_json
from posebed.params import Params
from posebed.places import (
    LOCAL_JOBS,
    PROCESS_JOBS,
    RAY_JOBS,
    RUNS,
    menagerie_folder,
    pack_folder,
    prepared_folder,
    split_folder,
)
from posebed.records import PREPARED
from posebed.scoring.result import RESULT, RESULT_FILE
from posebed.scoring.search_result import SEARCH, SEARCH_FILE
from posebed.storage import Storage
from posestages.benchmark import Project, must_have_storage, read_project
from posestages.stage import PACKAGES


def gc(days: float, dry_run: bool, say: Callable[[str], None]) -> bool:
    """Remove all that, or only name it; whether nothing failed.

    Args:
        days: what others may need is kept so long after its last use.

    Raises:
        ValueError: the parameters or a result cannot be read, a command runs tasks in this folder, or a variable is
            wrong, which is told before anything is written.
        StorageError: the storage cannot be used.
    """
    whole = True
    storage = must_have_storage()

    def told(cleared: Iterable[Cleared]) -> list[Cleared]:
        nonlocal whole
        cleared = [*cleared]
        whole = whole and not any(one.failed for one in cleared)
        for line in lines(cleared, dry_run):
            say(line)
        return cleared

    with only_command():
        project = read_project()
        needed = needed_by(project)
        found = told(clear(project_leftovers(project, needed), dry_run))
        found += told(_clear_studies(needed, days, dry_run))
        if storage:
            found += told(clear(_stored(storage, needed.jobs.jobs, days, dry_run), dry_run))
    found += told(_clear_caches(days, dry_run))
    if not found:
        say("nothing to remove")
    elif dry_run:
        say("nothing was removed: --dry-run")
    return whole


@dataclass(frozen=True)
class Needed:
    """What the parameters, the results and the tasks that are not done name."""

    jobs: Lease
    studies: Collection[str]
    data: Collection[str]
    splits: Collection[str]
    packs: Collection[str]

    def study(self, name: str) -> bool:
        return name in self.studies or self.jobs.needs(name)


def needed_by(project: Project) -> Needed:
    """What a project needs.

    Raises:
        ValueError: a result cannot be read.
    """
    params, results = project.params, [*_results()]

    def named(name: str, section: Iterable[str]) -> set[str]:
        return {*section} | {str(result[name]) for result in results if result.get(name)}

    jobs = (project.graph.tasks[name].job for name in project.todo())
    return Needed(
        jobs=Lease(jobs=frozenset(job for job in jobs if job)),
        studies=named("study", [study for search in params.searches.values() for study in search.warm_start]),
        data=named("data", params.data),
        splits=named("split", params.splits),
        packs=named("pack", params.packs),
    )


class _Named(Form):
    """What a result names: keys, and no paths."""

    data: Key | None = None
    split: Key | None = None
    pack: Key | None = None
    study: str | None = None


def _results() -> Iterator[dict[str, Any]]:
    """What there is in ``runs/``: results, searches and trained runs, of the parameters or not."""
    kinds: dict[str, Kind] = {f"*/{RESULT_FILE}": RESULT, f"*/{SEARCH_FILE}": SEARCH, "*/seed-*/train/run.json": RUN}
    for files, kind in kinds.items():
        for path in sorted(RUNS.glob(files)):
            content = read_json(path, kind)
            checked(content, _Named, path, kind.name, kind.again)
            yield content


def project_leftovers(project: Project, needed: Needed) -> Iterator[Leftover]:
    """What of the project's folder is not needed, while no command runs tasks in it."""
    for folder in (PROCESS_JOBS, RAY_JOBS):
        yield from (at("jobs", path) for path in _folders(folder) if not needed.jobs.needs(path.name) and path != _TUNE)
    yield from (at("jobs", path) for path in _folders(_TUNE))
    for path in _folders(LOCAL_JOBS):
        if not needed.jobs.needs(path.name):
            yield _unless_locked(at("jobs", path), path)
    yield from _notes(project.graph)
    yield from _data(project.params, needed)


_TUNE = RAY_JOBS / "tune"
"""Ray Tune's own files, which are of no use once a search has stopped."""


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def _unless_locked(leftover: Leftover, path: Path) -> Leftover:
    """A job that another process may train without Ray; it holds a lock meanwhile."""

    def remove() -> None:
        with locked(path, wait=False):
            leftover.remove()

    return Leftover(leftover.kind, leftover.name, leftover.size, remove)


def _notes(graph: Graph) -> Iterator[Leftover]:
    """Logs and notes of failures of tasks that there are no more."""
    known = {file(task) for task in graph.tasks.values() for file in (log_file, failure_file)}
    for path in (*sorted(LOGS.glob("*.log")), *sorted(FAILURES.glob("*.json"))):
        if path not in known:
            yield at("logs and notes of tasks", path)
    yield from unfinished(FAILURES)


def _data(params: Params, needed: Needed) -> Iterator[Leftover]:
    for kind, folder, keys in (
        ("packs", pack_folder(""), needed.packs),
        ("splits", split_folder(""), needed.splits),
        ("prepared data", prepared_folder(""), needed.data),
    ):
        yield from _entries(kind, folder, lambda path, keys=keys: path.name in keys)
    pictures = [path.resolve() for path in _pictures(params, needed)]

    def used(path: Path) -> bool:
        return path.name in params.menagerie or any(_overlap(path.resolve(), other) for other in pictures)

    yield from _entries("drawn pictures", menagerie_folder(""), used)


def _pictures(params: Params, needed: Needed) -> Iterator[Path]:
    """Where the pictures of entries and of prepared data lie; relative paths begin in the project."""
    yield from (Path(data.path) for data in params.data.values())
    for key in needed.data:
        about = prepared_folder(key) / "about.json"
        if about.is_file():
            yield Path(read_json(about, PREPARED)["root"])


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _entries(kind: str, folder: Path, used: Callable[[Path], bool]) -> Iterator[Leftover]:
    """Folders in a folder that nobody uses, and what killed writers left there. What lies elsewhere, behind a link, may
    be other projects' as well."""
    if folder.resolve() != Path.cwd().resolve() / folder:
        return
    for path in _folders(folder):
        if not path.name.startswith(".") and not used(path):
            yield at(kind, path)
    yield from unfinished(folder)


def _clear_studies(needed: Needed, days: float, dry_run: bool) -> Iterator[Cleared]:
    from posebed.jobs.study_leftovers import shrunk_database, study_leftovers

    found = [*clear(study_leftovers(needed.study, days), dry_run)]
    yield from found
    if found and not dry_run:
        yield from (one for one in clear(shrunk_database(), dry_run) if one.failed)


def _stored(storage: Storage, jobs: Collection[str], days: float, dry_run: bool) -> Iterator[Leftover]:
    """What of the storage no project needs. This one's lease is renewed: its trainings may have waited for long."""
    own = project_identity()
    lease = Lease(contents=lease_of(storage, own).contents, jobs=frozenset(jobs))
    if not dry_run:
        write_lease(storage, own, lease)
    yield from stored_leftovers(storage, own, lease, days)


def _clear_caches(days: float, dry_run: bool) -> Iterator[Cleared]:
    """Of all machines of the cluster, or of this one where there is no cluster."""
    if not cluster_address():
        return clear(cache_leftovers(Cache(), days), dry_run)
    try:
        check_variables()
    except ValueError as error:
        return iter([Cleared("", "leftovers of the cluster's machines", None, str(error))])
    from posebed.jobs.node_leftovers import clear_nodes

    return clear_nodes(days, dry_run, PACKAGES)
