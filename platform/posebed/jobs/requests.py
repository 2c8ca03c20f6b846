"""What commands in other terminals see of a command that runs, and how they stop it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from posebed.config import SEARCH
from posebed.jobs.graph import Task
from posebed.records import write_text

RUNNING = Path(".posebed/running.json")
STOPS = Path(".posebed/stop.json")
LOCK = Path(".posebed/lock")


@contextmanager
def only_command() -> Iterator[None]:
    """Hold the project: of two commands that do tasks, the second is refused.

    Raises:
        ValueError: another one is under way.
    """
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ValueError(
                f"one command at a time must run tasks in this folder, but process {holder} does; wait for it, or "
                "`posebed stop`"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        STOPS.unlink(missing_ok=True)
        yield


def is_running() -> bool:
    """Whether a command does tasks in this folder."""
    if not LOCK.is_file():
        return False
    with LOCK.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def note_running(since: Mapping[str, float]) -> None:
    """Write down which tasks are under way."""
    write_text(json.dumps([*since]), RUNNING)


def running_tasks() -> Collection[str]:
    """Names of the tasks under way."""
    return json.loads(RUNNING.read_text()) if RUNNING.is_file() and is_running() else ()


def ask_to_stop(keys: Collection[str]) -> None:
    """Ask the command that runs to stop the tasks of these runs and searches, or with no key everything."""
    write_text(json.dumps([*keys]), STOPS)


class Stops:
    """What was asked to be stopped by now."""

    def _keys(self) -> list[str] | None:
        return json.loads(STOPS.read_text()) if STOPS.is_file() else None

    @property
    def all_wanted(self) -> bool:
        return self._keys() == []

    def wants(self, task: Task) -> bool:
        key = SEARCH + task.key if task.kind == "search" else task.key
        return key in (self._keys() or ())
