"""Which contents and jobs of a storage are needed: every project says so in a lease, which it renews.

What no lease names that was renewed within some days is removed, unless it is young: it may just be on its way. All
ages are by the storage's clock.
"""

from __future__ import annotations

import re
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from posebed.config import Section, read_section
from posebed.contents import COMPILED
from posebed.contents import FOLDER as CONTENTS
from posebed.forms import Form
from posebed.leftovers import DAY, Leftover
from posebed.own_json import Kind, read_json, write_json
from posebed.storage import CHECKS, Storage, StoredFile

LEASES, JOBS = "leases", "jobs"
"""Folders of the storage: of leases, and of the checkpoints of jobs, each in one of its own."""


class _Identity(Form):
    name: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    folder: str


PROJECT = Path(".posebed/project")
IDENTITY = Kind("the identity of a project", form=_Identity, again="remove it, and a new one is drawn")
LEASE = Kind("a lease")
RENEWED_AFTER = 3600.0
"""Seconds."""


class Lease(Section):
    """What a project needs of a storage."""

    contents: frozenset[str] = frozenset()
    """Hashes."""
    jobs: frozenset[str] = frozenset()
    """Names of jobs that are not done; of searches and what else is not known exactly, without the hash at the end."""

    def needs(self, job: str) -> bool:
        """Whether a job is one of those named."""
        return job in self.jobs or job.rpartition("-")[0] in self.jobs


def project_identity() -> str:
    """Of the project in the working directory, drawn once. A copy of the folder elsewhere is another project."""
    here = str(Path.cwd())
    if PROJECT.is_file():
        known = read_json(PROJECT, IDENTITY)
        if known.get("folder") == here:
            return str(known["name"])
    name = secrets.token_hex(16)
    write_json({"name": name, "folder": here}, PROJECT, IDENTITY)
    return name


def write_lease(storage: Storage, project: str, lease: Lease) -> None:
    """Say what a project needs from now on.

    Raises:
        StorageError: the storage does not take it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lease.json"
        content = {"contents": sorted(lease.contents), "jobs": sorted(lease.jobs)}
        write_json(content, file, LEASE)
        storage.put(file, _place(project))


def read_lease(storage: Storage, name: str) -> Lease:
    """The lease in a file of the storage.

    Raises:
        StorageError: it cannot be fetched.
        ValueError: it cannot be understood: what it needs is not known then.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(name).name
        storage.get(name, file)
        try:
            return read_section(Lease, file, LEASE)
        except ValueError as error:
            told = str(error).replace(str(file), name)
            raise ValueError(f"nothing is removed from {storage}, as {told}; or remove that file there") from None


def lease_of(storage: Storage, project: str) -> Lease:
    """That of a project; an empty one where it has none."""
    name = _place(project)
    return read_lease(storage, name) if storage.size(name) is not None else Lease()


def _place(project: str) -> str:
    return f"{LEASES}/{project}.json"


def stored_leftovers(storage: Storage, own: str, lease: Lease, days: float) -> Iterator[Leftover]:
    """What of a storage no project needs.

    Args:
        own: identity of the project that looks, whose lease counts however old it is.
        lease: of that project.
        days: other leases count for, at least 1.

    Raises:
        StorageError: the storage cannot be read.
        ValueError: a lease cannot be understood.
    """
    contents, jobs, checks = (storage.files(folder) for folder in (CONTENTS, JOBS, CHECKS))
    # Leases are read last: of two commands, the one that found a content already there has written its lease before.
    leases = _Leases(storage, own, lease, days)
    for file in leases.older(contents, 1):
        if not leases.name_content(Path(file.name).name):
            yield _file("stored contents", storage, file)
    for name, files in _by_job(jobs).items():
        if len(leases.older(files, 1)) == len(files) and not leases.name_job(name):
            size, place = sum(file.size for file in files), f"{JOBS}/{name}"
            yield Leftover("stored jobs", place, size, lambda place=place: storage.remove(place))
    for file in leases.expired():
        yield _file("expired leases", storage, file)
    for file in leases.older(checks, 1):
        yield _file("stored checks", storage, file)
    for file in leases.older(storage.files(COMPILED), days):
        yield _file("stored compiled code", storage, file)


LOOK_SECONDS = 1.0
"""Between two looks at the leases: removing may take long, and a project that rested may go on meanwhile. A command
whose lease comes within this time of a removal may miss a content; given again, it puts it there anew."""


class _Leases:
    """Of all projects, as they are now."""

    def __init__(self, storage: Storage, own: str, lease: Lease, days: float) -> None:
        self._storage, self._own, self._days = storage, own, days
        self._began, self._first = time.monotonic(), storage.now()
        self._read: dict[tuple[str, float], Lease] = {}
        self._needed: list[Lease] = [lease]
        self._look()

    def older(self, files: Iterable[StoredFile], days: float) -> list[StoredFile]:
        now = self._first + time.monotonic() - self._began
        return [file for file in files if now - file.modified > days * DAY]

    def name_content(self, content: str) -> bool:
        self._look_when_due()
        return any(content in one.contents for one in self._needed)

    def name_job(self, job: str) -> bool:
        self._look_when_due()
        return any(one.needs(job) for one in self._needed)

    def expired(self) -> Iterator[StoredFile]:
        """Leases that count no more, one after the other."""
        for file in self._expired:
            self._look_when_due()
            if file in self._expired:
                yield file

    def _look_when_due(self) -> None:
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        others = [file for file in self._storage.files(LEASES) if file.name != _place(self._own)]
        self._expired = self.older(others, self._days)
        living = [(file.name, file.modified) for file in others if file not in self._expired and _is_lease(file)]
        self._read = {key: self._read.get(key) or read_lease(self._storage, key[0]) for key in living}
        self._needed[1:] = self._read.values()
        self._looked = time.monotonic()


def _is_lease(file: StoredFile) -> bool:
    """Not one that is being written."""
    return re.fullmatch(r"[0-9a-f]{32}\.json", Path(file.name).name) is not None


def _by_job(jobs: Iterable[StoredFile]) -> dict[str, list[StoredFile]]:
    """The files of each job, by its name."""
    by_name: defaultdict[str, list[StoredFile]] = defaultdict(list)
    for file in jobs:
        by_name[Path(file.name).parts[1]].append(file)
    return dict(by_name)


def _file(kind: str, storage: Storage, file: StoredFile) -> Leftover:
    return Leftover(kind, file.name, file.size, lambda: storage.remove_file(file.name))
