"""Commands about the tasks of the parameters: run, search, dashboard, status, accept, stop, logs, gc, migrate."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Annotated

import typer

from posebed.config import SEARCH
from posebed.listing import visible
from posebed.places import PARAMS
from posestages.terminal import console
from posestages.whole_numbers import whole

app = typer.Typer()
MOST_DAYS = 36_500
"""A hundred years: whoever wants to keep all need not clear up."""
Keys = Annotated[list[str] | None, typer.Argument(help="Keys of runs, or search@KEY; all by default.")]


@app.command()
def run(
    keys: Keys = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what there is to do and estimate the time; run nothing.")
    ] = False,
) -> None:
    """Run the tasks of runs and searches that are not done, then write the report.

    Works without DVC, on prepared data. Ends with 1 if a task failed.
    """
    from posebed.params import read_params
    from posestages.benchmark import RUN_AGAIN, failure_table, run_tasks
    from posestages.report import update_report

    if plan:
        _print_plan(keys or [])
        return
    failed = run_tasks(keys or [])
    try:
        update_report(read_params(PARAMS))
    except Exception as error:  # failed tasks are named whatever becomes of the report
        if not failed:
            raise
        print(f"the report was not written: {error}", file=sys.stderr)
    if failed:
        console.print(f"{len(failed)} tasks have no outcome; {RUN_AGAIN}:", highlight=False)
        console.print(failure_table(failed), highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _print_plan(keys: list[str]) -> None:
    from posebed.jobs.estimate import Estimates
    from posebed.jobs.view import minutes
    from posestages.benchmark import read_project

    project = read_project()
    graph = project.graph.of(keys) if keys else project.graph
    todo, estimates = project.todo(graph), Estimates(project.statuses)
    for name in todo:
        console.print(f"  {name}: about {minutes(estimates.seconds(graph.tasks[name]))}", highlight=False)
    hours = sum(estimates.seconds(graph.tasks[n]) * graph.tasks[n].workers for n in todo) / 3600
    sizes = [estimates.bytes(graph.tasks[n]) for n in todo if graph.tasks[n].kind != "score"]
    disk = f"{sum(size or 0 for size in sizes) / 1e6:.3g} MB on disk"
    unknown = f", beside {sizes.count(None)} tasks that are like none done before" if None in sizes else ""
    console.print(
        f"{len(todo)} of {len(graph.tasks)} tasks to do, about {hours:.2g} device hours and {disk}{unknown}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def search(key: Annotated[str, typer.Argument(help="Key of the search.")]) -> None:
    """Search for the settings that do best on the validation part."""
    run([SEARCH + key.removeprefix(SEARCH)])


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(parser=whole(1, 65535), help="Port on this machine.")] = 8080,
) -> None:
    """Show all searches in a browser while they run. Listens on this machine alone; needs the extra `dashboard`."""
    from posestages.commands.dashboard import serve

    serve(port, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))


@app.command()
def status(
    keys: Keys = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every task as done, stale, running, failed or never run, and what made it stale."""
    from posebed.jobs.outcomes import State
    from posebed.jobs.requests import running_tasks
    from posestages.benchmark import read_project

    project = read_project(running_tasks())
    graph = project.graph.of(keys) if keys else project.graph
    listed = [project.statuses[name] for name in graph.tasks]
    if as_json:
        lines = [
            {"task": s.task.name, "state": str(s.state), "changes": [*s.changes], "reason": s.reason} for s in listed
        ]
        print(json.dumps(lines, indent=1))
        return
    width = max((len(name) for name in graph.tasks), default=0)
    for s in listed:
        detail = "; ".join(s.changes[:4]) + (f" and {len(s.changes) - 4} more" if len(s.changes) > 4 else "")
        if s.state is State.DONE and s.reason:
            detail = f"accepted: {s.reason}"
        console.print(
            f"{s.task.name:{width}}  {s.state:9}  {detail or s.reason}".rstrip(),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    counts = Counter(str(s.state) for s in listed)
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()) or "no task", highlight=False)


@app.command()
def accept(
    key: Annotated[str, typer.Argument(help="Key of a run, or search@KEY.")],
    because: Annotated[str, typer.Option(help="Why the numbers still hold; shown in the report.")],
) -> None:
    """Declare stale results valid, for instance after an upgrade that changes no number."""
    from posebed.jobs.outcomes import State
    from posebed.jobs.outcomes import accept as accept_task
    from posestages.benchmark import read_project

    accepted = 0
    while True:
        # Accepting a task can make those that need it true again, hence one at a time.
        project = read_project()
        graph = project.graph.of([key])
        stale = [
            task
            for name, task in graph.tasks.items()
            if project.statuses[name].state is State.STALE and task.key == key.removeprefix(SEARCH)
        ]
        if not stale:
            break
        accept_task(stale[0], because)
        accepted += 1
        console.print(f"{stale[0].name}: kept", highlight=False)
    if not accepted:
        raise ValueError(f"{key} must have a stale task to accept, but has none; `posebed status {key}`")


@app.command()
def stop(keys: Keys = None) -> None:
    """Ask the command that runs in this folder to stop runs and searches. Checkpoints are kept."""
    from posebed.jobs.requests import ask_to_stop, is_running
    from posestages.benchmark import read_project

    read_project().graph.of(keys or [])
    if not is_running():
        raise ValueError("a command must run tasks in this folder to be stopped, but none does")
    ask_to_stop(keys or [])
    console.print("asked to stop; the same command goes on with them", highlight=False)


@app.command()
def logs(key: Annotated[str, typer.Argument(help="Key of a run, or search@KEY.")]) -> None:
    """Print the output of a run's tasks, with the traceback of a task that failed."""
    from posebed.jobs.outcomes import log_file
    from posestages.benchmark import read_project

    graph = read_project().graph.of([key])
    files = [log_file(task) for task in graph.tasks.values() if task.key == key.removeprefix(SEARCH)]
    there = [file for file in files if file.is_file()]
    if not there:
        raise LookupError(f"{key} must have a log, but no task of it was started in this folder")
    for file in there:
        console.print(f"=== {file}", highlight=False)
        print(visible(file.read_text(encoding="utf-8", errors="replace"), keep="\n\t"), end="")


@app.command()
def results() -> None:
    """Print the first table of the report."""
    from posebed.params import read_params
    from posestages.report import results_table

    console.print(results_table(read_params(PARAMS)), highlight=False, markup=False, soft_wrap=True)


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed; remove nothing.")] = False,
    days: Annotated[
        int,
        typer.Option(
            parser=whole(1, MOST_DAYS), help="Days for which unused data of other projects and of caches are kept."
        ),
    ] = 7,
) -> None:
    """Remove jobs, studies, packs and caches that no result, parameter or open task needs.

    Looks in the project, in the storage and on every machine. Ends with 1 if something could not be removed.
    """
    from posestages.commands.gc import gc as collect

    if not collect(days, dry_run, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)):
        raise typer.Exit(1)


@app.command()
def migrate() -> None:
    """Rewrite a params.yaml of the form before runs had seeds.

    The former text is kept beside it.
    """
    from posestages.commands.migrate import migrate as rewrite

    for line in rewrite(PARAMS):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
