"""The actor that does tasks, one after the other, so that torch and DeepSpeed are imported once."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from posebed.catalog import Catalog
from posebed.config import Params
from posebed.jobs.failures import reason
from posebed.jobs.graph import Task
from posebed.jobs.progress import Publisher
from posebed.jobs.room import Share

import ray  # isort: skip


@dataclass(frozen=True)
class Request:
    """A task, and all that is needed to do it."""

    task: Task
    params: Params
    catalog: Catalog
    storage: str | None
    """Folder or address that every node reaches; None for ``.posebed/jobs`` on this machine."""
    publisher: Publisher
    share: Share
    """What each of its workers takes."""
    at_once: int = 1
    """Of a search: trials at a time."""
    workers: int = 1
    """That there is room for."""


@dataclass(frozen=True)
class Done:
    """How a task ended."""

    seconds: float
    failed: str = ""
    """Why, in one line; empty where it did not."""
    left: bool = False
    """It has not ended, but is to go on elsewhere."""


class MachineLeaves(Exception):
    """Raised by a task that has kept a checkpoint because its machine will be taken away."""


class Worker:
    def __init__(self, folder: str, variables: Mapping[str, str]) -> None:
        """Args:
        folder: of the project, which becomes the working directory.
        variables: of the environment, set before anything is imported.
        """
        os.chdir(folder)
        os.environ.update(variables)

    def node(self) -> str:
        """Of the cluster, in hexadecimal digits."""
        return ray.get_runtime_context().get_node_id()

    def prepare(self, imports: tuple[str, ...]) -> None:
        """Import modules before the first task comes."""
        for name in imports:
            __import__(name)

    def do(self, perform: Callable[[Request], None], request: Request, log: str) -> Done:
        """Do one task. What goes wrong with it is returned, so that only the loss of this process is an error."""
        started, failed, left = time.perf_counter(), "", False
        with _printed_to(Path(log)):
            try:
                perform(request)
            except MachineLeaves:
                left = True
            except Exception as error:
                traceback.print_exc()
                failed = reason(error)
        return Done(seconds=time.perf_counter() - started, failed=failed, left=left)


@contextlib.contextmanager
def _printed_to(log: Path) -> Generator[None]:
    """Whatever is printed meanwhile is appended to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", buffering=1) as file:
        print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} ---", file=file)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            yield
            sys.stdout.flush()
