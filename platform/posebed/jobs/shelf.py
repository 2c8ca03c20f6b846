"""What lies in the storage of the files that a command's tasks read and write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from posebed.contents import Files, fetch, put
from posebed.files import writing_folder
from posebed.jobs.graph import Task
from posebed.jobs.workplace import FetchedFiles
from posebed.storage import Storage


class Shelf:
    """Args:
    reads: the files and folders of the project that a task reads.
    """

    def __init__(self, storage: Storage, reads: Callable[[Task], Iterable[Path]]) -> None:
        self._storage, self._reads = storage, reads
        self._files: dict[str, str] = {}

    def fill(self, todo: Iterable[Task], say: Callable[[str], None]) -> None:
        """Put what tasks read and others among them do not write first.

        Raises:
            StorageError: the storage does not take it.
        """
        todo = [*todo]
        written = {task.folder for task in todo}
        wanted = {path: None for task in todo for path in self._reads(task) if path not in written}
        for path in wanted:
            if path.exists():
                say(f"{path.as_posix()}: into {self._storage}, where it is not there yet")
                self._files |= put(self._storage, [path])

    def workplace(self, task: Task) -> FetchedFiles:
        """Where the task finds what it reads, on any machine."""
        places = {path.as_posix() for path in self._reads(task)}
        own = {path: content for path, content in self._files.items() if _below(path, places)}
        return FetchedFiles(self._storage, own)

    def bring_home(self, task: Task, files: Files) -> None:
        """Copy what a task has written from the storage into the project, whole or not at all.

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

    def add(self, files: Files) -> None:
        """They were put there."""
        self._files |= files


def _below(path: str, places: set[str]) -> bool:
    return path in places or any(parent.as_posix() in places for parent in PurePosixPath(path).parents)
