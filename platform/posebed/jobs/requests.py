"""What commands in other terminals see of a command that runs tasks, and how they stop it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from pathlib import Path

from posebed.config import SEARCH
from posebed.files import locked
from posebed.forms import Form
from posebed.jobs.graph import Task
from posebed.own_json import Kind, read_json, write_json

COMMAND = Path(".posebed/command")
"""Its lock is held while tasks are run."""
RUNNING, STOPS = Path(".posebed/running.json"), Path(".posebed/stop.json")


class _Running(Form):
    tasks: list[str]


class _Stopped(Form):
    keys: list[str]


TASKS = Kind("a list of running tasks", form=_Running, again="remove it")
WANTED = Kind("a request to stop", form=_Stopped, again="remove it")


@contextmanager
def only_command() -> Generator[None]:
    """Hold the project: of two commands that run tasks, the second is refused.

    Raises:
        ValueError: another one is under way.
    """
    with locked(COMMAND, wait=False):
        STOPS.unlink(missing_ok=True)
        yield


def is_running() -> bool:
    """Whether a command runs tasks in this folder."""
    try:
        with locked(COMMAND, wait=False):
            return False
    except ValueError:
        return True


def note_running(names: Collection[str]) -> None:
    """Write down which tasks are under way."""
    write_json({"tasks": [*names]}, RUNNING, TASKS)


def running_tasks() -> list[str]:
    """Names of the tasks under way."""
    return read_json(RUNNING, TASKS)["tasks"] if RUNNING.is_file() and is_running() else []


def ask_to_stop(keys: Collection[str]) -> None:
    """Ask the command that runs to stop the tasks of these runs and searches, beside those of former requests, or with
    no key everything."""
    with locked(STOPS):
        before = _wanted_keys()
        everything = before == [] or not keys
        write_json({"keys": [] if everything else sorted({*(before or ()), *keys})}, STOPS, WANTED)


def _wanted_keys() -> list[str] | None:
    """None where nobody wants anything to stop."""
    return read_json(STOPS, WANTED)["keys"] if STOPS.is_file() else None


@contextmanager
def noted_interrupts() -> Generator[Callable[[], bool]]:
    """Within it, a first interrupt (Ctrl-C) is noted instead of raised, and what is given tells whether there was one:
    raised, it could arrive in a callback that swallows it. A second one is raised as ever.
    """
    noted = False

    def note(number: int, frame: object) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True

    if threading.current_thread() is not threading.main_thread():  # no other is interrupted
        yield lambda: False
        return
    former = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGINT, former)


class Stops:
    """What was asked to be stopped by now."""

    def __init__(self) -> None:
        keys = _wanted_keys()
        self.any = keys is not None
        self.everything = keys == []
        self._keys = {*(keys or ())}

    def want(self, task: Task) -> bool:
        key = SEARCH + task.key if task.kind == "search" else task.key
        return self.everything or key in self._keys
