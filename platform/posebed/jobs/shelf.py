"""What lies in the storage of the files that a command's tasks read and write."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor
from pathlib import Path, PurePosixPath

from posebed.contents import Files, fetch, hashed, store
from posebed.files import writing_folder
from posebed.jobs.graph import Task
from posebed.jobs.workplace import FetchedFiles
from posebed.leases import RENEWED_AFTER, Lease, project_identity, write_lease
from posebed.storage import Storage


class Shelf:
    """Holds a lease on these files and on the checkpoints of tasks that are not done, for the project in the working
    directory.

    Args:
        reads: the files and folders of the project that a task reads.
        unfinished: tasks of the project that are not done, those of other commands too.
    """

    def __init__(self, storage: Storage, reads: Callable[[Task], Iterable[Path]], unfinished: Iterable[Task]) -> None:
        self._storage, self._reads = storage, reads
        self._project = project_identity()
        self._files: dict[str, str] = {}
        self._unfinished = {task.name: task for task in unfinished}
        self._renewed = time.monotonic()

    def fill(self, todo: Collection[Task], say: Callable[[str], None]) -> None:
        """Put what tasks read and others among them do not write first.

        Raises:
            StorageError: the storage does not take it.
        """
        written = {task.folder for task in todo}
        wanted = {path: None for task in todo for path in self._reads(task) if path not in written}
        files = {path: hashed([path]) for path in wanted if path.exists()}
        self._files = {path: content for those in files.values() for path, content in those.items()}
        # The lease comes first: what is already there must not be removed from now on.
        self.renew()
        for path, those in files.items():
            say(f"{path.as_posix()}: into {self._storage}, where it is not there yet")
            store(self._storage, those)

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            StorageError: the storage does not take it.
        """
        self._renewed = time.monotonic()
        write_lease(self._storage, self._project, self._lease())

    def renew_when_due(self, pool: Executor) -> None:
        """Renew it beside what this process does. Where that fails, the next one follows long before it expires."""
        if time.monotonic() - self._renewed > RENEWED_AFTER:
            self._renewed = time.monotonic()
            pool.submit(write_lease, self._storage, self._project, self._lease())

    def _lease(self) -> Lease:
        jobs = (task.job for task in self._unfinished.values())
        return Lease(contents=frozenset(self._files.values()), jobs=frozenset(job for job in jobs if job))

    def workplace(self, task: Task) -> FetchedFiles:
        """Where the task finds what it reads, on any machine."""
        places = {path.as_posix() for path in self._reads(task)}
        own = {path: content for path, content in self._files.items() if _below(path, places)}
        return FetchedFiles(self._storage, own)

    def bring_home(self, task: Task, files: Files) -> None:
        """Copy what a task has written from the storage into the project: a folder of a member whole or not at all,
        files of a run one after the other, of which nothing counts before the task's record is there.

        Raises:
            StorageError: it cannot be fetched.
        """
        folder = task.folder.as_posix()
        if all(_below(path, {folder}) for path in files) and task.seed is not None:
            with writing_folder(task.folder) as unfinished:
                inner = {PurePosixPath(path).relative_to(folder).as_posix(): files[path] for path in files}
                fetch(self._storage, inner, unfinished)
        else:
            fetch(self._storage, files, Path())

    def add(self, task: Task, files: Files) -> None:
        """The task was done, and what it wrote was put there."""
        self._files |= files
        self._unfinished.pop(task.name, None)


def _below(path: str, places: set[str]) -> bool:
    return path in places or any(parent.as_posix() in places for parent in PurePosixPath(path).parents)
