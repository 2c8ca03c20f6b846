"""The actor that does tasks, one after the other, so that torch and DeepSpeed are imported once."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from posebed import provenance
from posebed.address import hidden
from posebed.catalog import Catalog
from posebed.contents import Files, put
from posebed.jobs.failures import reason
from posebed.jobs.graph import Task
from posebed.jobs.nodes_fit import differences
from posebed.jobs.progress import Publisher
from posebed.jobs.room import Share
from posebed.jobs.workplace import SharedProject, Workplace
from posebed.params import Params
from posebed.storage import VARIABLE

import ray  # isort: skip

LOG_BYTES = 200_000


@dataclass(frozen=True)
class Request:
    """A task, and all that is needed to do it."""

    task: Task
    params: Params
    catalog: Catalog
    workplace: Workplace
    """Where its trainings work, in this process or in others."""
    software: Mapping[str, str]
    """Versions in the command's environment."""
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
    files: Files = field(default_factory=dict[str, str])
    """What it wrote, where that lies in the storage."""
    log: str = ""
    """What it printed, where that is not yet in the project's folder: the end of it, if it is long."""


class MachineLeaves(Exception):
    """Raised by a task that has kept a checkpoint because its machine will be taken away."""


class Worker:
    def __init__(self, folder: str | None, variables: Mapping[str, str]) -> None:
        """Args:
        folder: of the project, which becomes the working directory; None where each task brings its own.
        variables: of the environment, set before anything is imported.
        """
        self._in_project, self._unfit = folder is not None, ""
        os.environ.update(variables)
        if folder is None:
            return
        try:
            os.chdir(folder)
        except OSError as error:
            self._unfit = (
                f"the project's folder {folder} must be on every machine, or {VARIABLE} name a storage that all reach, "
                f"but {platform.node()} has no such folder ({error.strerror})"
            )

    def node(self) -> str:
        """Of the cluster, in hexadecimal digits."""
        return ray.get_runtime_context().get_node_id()

    def prepare(self, imports: tuple[str, ...]) -> None:
        """Import modules before the first task comes."""
        for name in imports:
            __import__(name)

    def do(self, perform: Callable[[Request], None], request: Request, log: str) -> Done:
        """Do one task. What goes wrong with it is returned, so that only the loss of this process is an error."""
        unfit = self._unfit or differences(provenance.software(), request.software, platform.node())
        if unfit:
            return Done(seconds=0.0, failed=unfit)
        started, failed, left, printed = time.perf_counter(), "", False, ""
        files: Files = {}
        try:
            with contextlib.nullcontext() if self._in_project else request.workplace.entered():
                try:
                    with _printed_to(Path(log)):
                        perform(request)
                        files = self._put_written(request)
                finally:
                    if not self._in_project:
                        printed = _end_of(Path(log))
        except MachineLeaves:
            left = True
        except Exception as error:
            failed = reason(error)
        return Done(seconds=time.perf_counter() - started, failed=failed, left=left, files=files, log=printed)

    def _put_written(self, request: Request) -> Files:
        """Into the storage, if there is one, for the tasks that need it."""
        if isinstance(request.workplace, SharedProject):
            return {}
        if self._in_project:
            return put(request.workplace.storage, [request.task.folder])
        return request.workplace.put_written()


@contextlib.contextmanager
def _printed_to(log: Path) -> Generator[None]:
    """Whatever is printed meanwhile is appended to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", buffering=1) as file:
        print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} ---", file=file)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            try:
                yield
            except MachineLeaves:
                raise
            except Exception:
                print(hidden(traceback.format_exc()), end="", file=file)
                raise
            finally:
                sys.stdout.flush()


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        return file.read().decode(errors="replace")
