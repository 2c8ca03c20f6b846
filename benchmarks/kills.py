"""A campaign of kills: command, workers, machines, tracker, object storage and database are killed at random moments
while a graph of twelve tasks and a search are done, and every promise is checked after each round.

A round plays the whole project anew, with as many kills as fall into it. What was killed comes back after some
seconds, and the command is given again until it ends with 0. The same command goes on where it was interrupted; rounds
that broke a promise keep their folder, and let it end with 1.

Usage: python benchmarks/kills.py --folder DIR [--kills 100] [--seed 1] [--storage s3|folder] [--studies postgres|file]
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from campaign.kills import KINDS, Kill, drawn_kills
from campaign.project import prepare
from campaign.rounds import play
from campaign.servers import postgres, storage_missing
from campaign.world import own_processes
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from posebed.files import writing
from posebed.own_json import Kind, read_json, write_json

CAMPAIGN, ROUND = Kind("the settings of a campaign"), Kind("a round of a campaign")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--folder", type=Path, required=True, help="of the campaign; is made, and continued if it is there"
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--storage", choices=["s3", "folder"], default="folder" if storage_missing() else "s3")
    parser.add_argument("--studies", choices=["postgres", "file"], default="postgres" if postgres("initdb") else "file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # all that was started is ended
    folder = options.folder.absolute()
    settings = {name: getattr(options, name) for name in ("kills", "seed", "storage", "studies")}
    try:
        begin(folder, settings)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    rounds = fight(folder, settings)
    console = Console(width=120)
    console.print(table(rounds))
    for line in summary(rounds, folder):
        console.print(line, highlight=False, soft_wrap=True)
    return int(any(one["violations"] for one in rounds))


def begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raises:
    ValueError: the folder has a campaign of other settings, or a server is not installed.
    """
    if settings["storage"] == "s3" and (lacking := storage_missing()):
        raise ValueError(f"--storage s3 {lacking}; --storage folder needs none")
    if settings["studies"] == "postgres" and not postgres("initdb"):
        raise ValueError(
            "--studies postgres must find the commands of Postgres, but does not; --studies file needs none"
        )
    place = folder / "campaign.json"
    known = read_json(place, CAMPAIGN) if place.is_file() else settings
    if known != settings:
        raise ValueError(f"{place} must be of the same settings, but is of {known}; name another folder")
    write_json(settings, place, CAMPAIGN)
    for process in own_processes(f"{folder}/"):  # of a campaign that was killed itself
        process.kill()
    prepare(folder / "project")
    if not (folder / "empty.db").is_file():
        from mlflow import MlflowClient

        with writing(folder / "empty.db") as unfinished:
            MlflowClient(f"sqlite:///{unfinished}").search_experiments()


def fight(folder: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Play what rounds are missing; all rounds, the undisturbed one first."""
    servers = {"storage": settings["storage"] == "s3", "database": settings["studies"] == "postgres"}
    coming = drawn_kills(settings["seed"], settings["kills"], [kind for kind in KINDS if servers.get(kind, True)])
    rounds: list[dict[str, Any]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True, soft_wrap=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("kills", total=settings["kills"])
        while not rounds or sum(len(one["kills"]) for one in rounds) < settings["kills"]:
            place = folder / f"round-{len(rounds):03}.json"
            if not place.is_file():
                past = sum(len(one["kills"]) for one in rounds)

                def told(kill: Kill, number: int = len(rounds)) -> None:
                    progress.advance(bar)
                    console.print(f"round {number}, second {kill.second:.0f}: {sentence(kill)}", highlight=False)

                undisturbed = rounds[0] if rounds else None
                _play(folder, place, coming[past:] if rounds else [], servers, undisturbed, told)
            one = read_json(place, ROUND)
            rounds.append(one)
            progress.update(bar, completed=sum(len(other["kills"]) for other in rounds))
            for violation in one["violations"]:
                console.print(f"round {len(rounds) - 1} broke a promise: {violation}", highlight=False, markup=False)
            if not rounds[0]["outcomes"]:
                break  # without a measure there is nothing to compare
    return rounds


def _play(
    folder: Path, place: Path, coming: Sequence[Any], servers: Mapping[str, bool], undisturbed: Any, told: Any
) -> None:
    home = folder / place.stem
    shutil.rmtree(home, ignore_errors=True)  # of a round that was interrupted
    home.mkdir()
    played = play(home, folder / "project", folder / "empty.db", coming, servers, undisturbed, told)
    write_json(played.as_json(), place, ROUND)
    if not played.violations:
        shutil.rmtree(home)


def sentence(kill: Kill) -> str:
    """What was killed, and when."""
    tasks = ", ".join(f"{name} for {seconds:.0f} s" for name, seconds in kill.under_way.items())
    return f"killed {kill.victim} with {kill.done} tasks done, under way: {tasks}"


def table(rounds: Sequence[Mapping[str, Any]]) -> Table:
    """Per kind of victim: how often, during which tasks, and what it cost."""
    kills = [Kill(**kill) for one in rounds for kill in one["kills"]]
    shown = Table(title=f"{len(kills)} kills in {len(rounds) - 1} rounds")
    shown.add_column("killed")
    for heading in (
        "times",
        "during a search",
        "train",
        "predict",
        "score",
        "seconds into it",
        "seconds until it went on",
    ):
        shown.add_column(heading, justify="right")
    for kind in dict.fromkeys(kill.kind for kill in kills):
        own = [kill for kill in kills if kill.kind == kind]
        during = Counter(task for kill in own for task in {name.split()[0] for name in kill.under_way})
        into = [max(kill.under_way.values()) for kill in own]
        costs = [kill.cost for kill in own if kill.cost is not None]
        counts = [str(during[task]) for task in ("search", "train", "predict", "score")]
        shown.add_row(kind, str(len(own)), *counts, spread(into), spread(costs))
    return shown


def spread(values: Sequence[float]) -> str:
    return f"{min(values):.1f} / {statistics.median(values):.1f} / {max(values):.1f}" if values else "none"


def summary(rounds: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    undisturbed, disturbed = rounds[0]["seconds"], rounds[1:]
    kills, violations = sum(len(one["kills"]) for one in rounds), [v for one in rounds for v in one["violations"]]
    lines = [f"seconds: least / median / most; undisturbed, a round took {undisturbed:.0f} s"]
    if kills:
        seconds, commands = sum(one["seconds"] for one in disturbed), sum(one["commands"] for one in disturbed)
        lines.append(
            f"disturbed, {len(disturbed)} rounds took {seconds:.0f} s, {seconds / kills:.0f} s per kill, of which "
            f"{(seconds - undisturbed * len(disturbed)) / kills:.0f} s are its cost; {commands} commands were given"
        )
    lines += [f"broken promise: {violation}" for violation in violations]
    lines.append(f"{len(violations)} promises were broken" + (f"; evidence in {folder}" if violations else ""))
    return lines


if __name__ == "__main__":
    sys.exit(main())
