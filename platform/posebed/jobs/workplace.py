"""Where a task works: in the project's folder, or on a machine without it in a folder with what the task reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from posebed.contents import Cache, Files, inside, put
from posebed.files import scratch_folder
from posebed.leases import JOBS
from posebed.places import PROCESS_JOBS, RAY_JOBS
from posebed.storage import Storage
from posebed.training.stored_checkpoints import StoredCheckpoints


@dataclass(frozen=True)
class SharedProject:
    """The project's folder, at the same path on every machine that works."""

    folder: Path

    @contextmanager
    def entered(self) -> Generator[None]:
        """Make it the working directory meanwhile."""
        with _working_in(self.folder):
            yield

    def stored_checkpoints(self, job: str) -> None:
        """None: the folder itself outlives the machine."""

    def forget(self, job: str) -> None:
        """Remove the checkpoints of a job, or of a group of jobs, once their outcome is safe."""
        for jobs in (PROCESS_JOBS, RAY_JOBS):
            shutil.rmtree(self.folder / jobs / job, ignore_errors=True)


@dataclass(frozen=True)
class FetchedFiles:
    """A new folder that has these files of the project at their paths, fetched from the storage."""

    storage: Storage
    files: Files

    @contextmanager
    def entered(self) -> Generator[None]:
        """Make it, and make it the working directory meanwhile.

        Raises:
            StorageError: a file cannot be fetched.
        """
        cache = Cache()
        with ExitStack() as uses, scratch_folder(cache.folder / "work") as folder:
            for path, content in self.files.items():
                link = folder / inside(path)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(cache.file(self.storage, content, uses))
            with _working_in(folder):
                yield

    def stored_checkpoints(self, job: str) -> StoredCheckpoints:
        """Those of a job, in the storage."""
        return StoredCheckpoints(self.storage, f"{JOBS}/{job}")

    def forget(self, job: str) -> None:
        """Remove the checkpoints of a job, or of a group of jobs, once their outcome is safe.

        Raises:
            StorageError: the storage does not answer; ``posebed gc`` removes them later.
        """
        self.storage.remove(f"{JOBS}/{job}")

    def put_written(self) -> Files:
        """Put the files that a task has written into the working directory into the storage."""
        return put(self.storage, [path for path in Path().rglob("*") if path.is_file() and not path.is_symlink()])


Workplace = SharedProject | FetchedFiles


@contextmanager
def _working_in(folder: Path) -> Generator[None]:
    former = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(former)
