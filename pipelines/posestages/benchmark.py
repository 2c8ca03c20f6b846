"""Stage ``benchmark``: every task of every run and search that is not done, on one cluster.

Usage: python -m posestages.benchmark
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posebed import provenance
from posebed.catalog import Catalog
from posebed.contents import Cache
from posebed.files import write_text
from posebed.jobs.graph import ABSENT, Graph, GraphMaker, Task
from posebed.jobs.outcomes import Outcomes, State, Status
from posebed.jobs.ray_variables import check_variables, cluster_address
from posebed.jobs.requests import only_command
from posebed.jobs.shelf import Shelf
from posebed.own_json import Kind, write_json
from posebed.params import Params, read_params
from posebed.places import PARAMS, RUNS, must_be_in_text, prepared_folder
from posebed.provenance import Origin
from posebed.source_code import SourceCode
from posebed.storage import Storage, StorageError
from posestages.reads import reads
from posestages.stage import PACKAGES, catalog_here, run_stage, usable_metrics

METRICS = Path("metrics.json")
INDEX, RESULTS = RUNS / "index.json", Kind("an index of results")
"""Of every result that is there a hash: DVC's stage ``report`` looks at this file instead of all others."""
RUN_AGAIN = "the same command tries the failed tasks again"


@dataclass(frozen=True)
class Project:
    """The graph of a project's tasks, and how each of them stands."""

    params: Params
    catalog: Catalog
    graph: Graph
    statuses: dict[str, Status]

    def todo(self, graph: Graph | None = None) -> list[str]:
        """Names of the tasks of the graph, or of a part of it, that are not done."""
        return [name for name in (graph or self.graph).tasks if self.statuses[name].state is not State.DONE]


def read_project(running: Sequence[str] = ()) -> Project:
    """The project in the working directory.

    Raises:
        ValueError: the parameters have mistakes.
    """
    params, outcomes = read_params(PARAMS), Outcomes()
    catalog = catalog_here(params)
    graph = GraphMaker(params, catalog, SourceCode(("posebed", *catalog.packages)), outcomes.effective_hash).graph()
    return Project(params, catalog, graph, outcomes.statuses(graph, running))


def run_tasks(keys: Sequence[str] = ()) -> dict[str, str]:
    """Do what is not done of these runs and searches and of what they need, or of all; returns the names of the tasks
    that failed, were skipped or stopped, each with the reason.

    Raises:
        LookupError: there is no run or search of that name.
        ValueError: data was not prepared, another command is under way, the studies cannot be opened, or
            the cluster does not start.
    """
    # What another command does meanwhile would be done once more.
    with only_command():
        project = read_project()
        graph = project.graph.of(keys) if keys else project.graph
        todo = project.todo(graph)
        for name in todo:
            must_have_data(graph.tasks[name])
        _must_have_studies([graph.tasks[name] for name in todo])
        if todo:
            must_be_in_text()
            check_variables()
            must_have_storage()
        try:
            if todo:
                return _do(project, graph, todo)
        finally:
            RUNS.mkdir(exist_ok=True)
            write_metrics(project.params)
            write_index(project.params)
    print(f"nothing to do: {len(graph.tasks)} tasks are done")
    return {}


def _do(project: Project, graph: Graph, todo: Sequence[str]) -> dict[str, str]:
    from posebed.jobs.estimate import Estimates
    from posebed.jobs.schedule import Plan, Schedule
    from posebed.jobs.view import View
    from posestages.live_tracking import LiveTracking, out_of_reach
    from posestages.tasks import perform

    for sentence in usable_metrics(project.catalog)[1]:
        print(sentence, file=sys.stderr)
    estimates = Estimates(project.statuses)
    tasks = [graph.tasks[name] for name in todo]
    seconds = sum(estimates.seconds(task) for task in tasks)
    with LiveTracking(graph.tasks, out_of_reach()) as tracking, View(len(todo), seconds, tracking.epoch) as view:
        packages = _packages(project.catalog, tasks)
        shelf = _shelf(project, tasks, view.say)
        does = partial(perform, origins=_origins(project, tasks), tracked=tracking.in_reach)
        plan = Plan(graph, todo, project.params, project.catalog, does, packages, tracking.done, shelf)
        schedule = Schedule(plan, estimates, view)
        schedule.run()
        _renew(shelf)
    print(view.breakdown())
    return {
        **schedule.failed,
        **{name: f"skipped, since it needs {needed}" for name, needed in schedule.skipped.items()},
        **dict.fromkeys(sorted(schedule.stopped), "stopped"),
    }


def _origins(project: Project, todo: Sequence[Task]) -> dict[str, Origin]:
    """Of each set of data that is scored on. They are found here, since a task may work where neither the repository
    nor the data is."""
    scored, splits = project.params.scored, project.params.splits
    names = {splits[scored[task.key].split].data for task in todo if task.kind == "score"}
    return {name: provenance.origin(prepared_folder(name)) for name in names}


def _shelf(project: Project, todo: Sequence[Task], say: Callable[[str], None]) -> Shelf | None:
    """With what the tasks read, where a storage is set: then no machine of the cluster needs the project's folder."""
    storage = Storage.of_environment()
    if storage is None:
        return None
    unfinished = [project.graph.tasks[name] for name in project.todo()]
    shelf = Shelf(storage, lambda task: reads(task, project.params), unfinished)
    shelf.fill(todo, say)
    return shelf


def _renew(shelf: Shelf | None) -> None:
    """Tell the storage what is needed of it after the last task."""
    try:
        if shelf:
            shelf.renew()
    except StorageError as error:  # what the tasks did stands
        print(error, file=sys.stderr)


def _packages(catalog: Catalog, tasks: Sequence[Task]) -> list[str]:
    """What workers are sent: our own packages, those of the tasks' models and metrics, of presets and of samplers."""
    modules = {module for task in tasks for module in task.identity.code}
    # A result shows what the SPEC of its model states.
    models = {task.model for task in tasks}
    named = [entry for entry in catalog.models.values() if {entry.name, entry.module} & models]
    named += [*catalog.presets.values(), *catalog.samplers.values()]
    modules |= {entry.module for entry in named if not entry.wrong}
    return sorted({*PACKAGES, *(module.partition(".")[0] for module in modules)})


def must_have_data(task: Task) -> None:
    for name, content in task.identity.data.items():
        if content == ABSENT:
            kind, key = name.split()
            raise ValueError(
                f"{task.name} must find {kind} {key}, but it was not made yet; `dvc repro {kind}@{key}` makes it"
            )


def must_have_storage() -> Storage | None:
    """The storage, if one is set, before anything is written: what is lost later is waited for. Machines of a cluster
    have caches of their own.

    Raises:
        ValueError: the storage cannot be used, or a variable of this machine's cache is wrong.
    """
    if not cluster_address():
        Cache()
    storage = Storage.of_environment()
    if storage:
        storage.check()
    return storage


def _must_have_studies(tasks: Sequence[Task]) -> None:
    """A wrong address or password is told before any work starts, since a search is nothing without its study. A
    database that is lost later is waited for."""
    if any(task.kind == "search" for task in tasks):
        from posebed.jobs.study import open_storage

        open_storage()


def write_metrics(params: Params) -> None:
    """Write ``metrics.json``: every run's metrics, as far as it has a result."""
    from posestages.report import read_results
    from posestages.score import metrics_of

    write_text(json.dumps(metrics_of(read_results(params)), indent=1) + "\n", METRICS)


def write_index(params: Params) -> None:
    """Write which results there are."""
    from posestages.report import made_from

    write_json(made_from(params), INDEX, RESULTS)


def failure_table(failed: dict[str, str]) -> str:
    """The failures, one line each."""
    width = max(map(len, failed))
    return "\n".join(f"  {name:{width}}  {reason}" for name, reason in failed.items())


def main(arguments: list[str]) -> None:
    """The stage. Ends with 1 where a task failed, after writing the report of what is there, as DVC runs nothing behind
    a stage that fails."""
    if arguments:
        raise ValueError(
            f"the stage must be given no argument, but got {' '.join(arguments)}; `posebed run KEY` runs one"
        )
    started = time.monotonic()
    failed = run_tasks()
    if not failed:
        return
    from posestages.report import report

    print(f"{len(failed)} tasks have no outcome after {time.monotonic() - started:.0f} s:", file=sys.stderr)
    print(failure_table(failed), file=sys.stderr)
    try:
        print(f"The report of what is there: {report(read_params(PARAMS)).absolute().as_uri()}")
    except LookupError as error:
        print(error, file=sys.stderr)
    print("DVC records the results once these runs succeed or leave params.yaml", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    run_stage("benchmark", main)
