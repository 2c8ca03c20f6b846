"""Files by the hash of their content: put into the storage once, fetched once per machine.

A machine keeps what it fetched in ``POSEBED_CACHE``, ``~/.cache/posebed`` where that is not set, up to
``POSEBED_CACHE_GB``; what was not used for longest goes first. Whoever uses a file holds a lock on it, which ends with
its process.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath

from posebed.files import file_hash, locked, writing
from posebed.storage import Storage, StorageError

Files = Mapping[str, str]
"""Paths in a project, with slashes, to the sha256 of their content."""
CACHE, CACHE_GB = "POSEBED_CACHE", "POSEBED_CACHE_GB"
DEFAULT_CACHE_GB = 100.0
FOLDER = "contents"
COMPILED = "compiled"
"""Folder of code that torch compiled (``training.compiled_code``), in a machine's cache and in the storage."""


def place_of(content: str) -> str:
    """Name of a content in the storage and in a machine's cache."""
    if not re.fullmatch(r"[0-9a-f]{64}", content):
        raise ValueError(f"a content must be named by 64 hexadecimal digits, but is {content!r}")
    return f"{FOLDER}/{content[:2]}/{content}"


def put(storage: Storage, paths: Iterable[Path], project: Path = Path()) -> Files:
    """Put the files at these places of a project, which may be folders, into the storage; returns their paths in the
    project. What is there already is put again: it may be old, and so be removed before a lease names it.

    Raises:
        StorageError: the storage does not take one.
    """
    files = hashed(paths, project)
    for path, content in files.items():
        storage.put(project / path, place_of(content))
    return files


def store(storage: Storage, files: Files, project: Path = Path()) -> None:
    """Put those files of a project, which a lease must name, into the storage where it has not got them yet. Raises as
    ``put``."""
    for path, content in files.items():
        if storage.size(place_of(content)) != (project / path).stat().st_size:  # else it is there, and whole
            storage.put(project / path, place_of(content))


def hashed(paths: Iterable[Path], project: Path = Path()) -> Files:
    """The files at these places of a project, which may be folders, by their paths in it."""
    return {path.as_posix(): file_hash(project / path) for path in sorted(_files_of(project, paths))}


def _files_of(project: Path, paths: Iterable[Path]) -> set[Path]:
    """Files at and below these places; hidden ones are other writers' unfinished ones."""
    places = [project / path for path in paths]
    there = {found for place in places for found in (place.rglob("*") if place.is_dir() else [place])}
    relative = {path.relative_to(project) for path in there if path.is_file()}
    return {path for path in relative if not any(part.startswith(".") for part in path.parts)}


def fetch(storage: Storage, files: Files, folder: Path) -> None:
    """Copy the files from the storage to their paths below a folder.

    Raises:
        StorageError: one is not there, or not what its hash says.
        ValueError: a path leads out of the folder.
    """
    for path, content in files.items():
        with writing(folder / inside(path)) as unfinished:
            _download(storage, content, unfinished)


def inside(path: str) -> PurePosixPath:
    """A path of ``Files``.

    Raises:
        ValueError: it leads out of its folder.
    """
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise ValueError(f"a path must stay in its folder, but is {path!r}")
    return relative


def _download(storage: Storage, content: str, file: Path) -> None:
    storage.get(place_of(content), file)
    if (found := file_hash(file)) != content:
        raise StorageError(f"{storage} must hold {place_of(content)} as it was put, but holds {found}; remove it there")


class Cache:
    """Contents on this machine.

    Args:
        folder: by default where the variable says.
        bytes_at_most: may be exceeded by what is in use.
    """

    def __init__(self, folder: Path | None = None, bytes_at_most: float | None = None) -> None:
        named = os.environ.get(CACHE)
        self.folder = folder or (Path(named) if named else Path.home() / ".cache/posebed").absolute()
        self._most = _default_bytes() if bytes_at_most is None else bytes_at_most

    def file(self, storage: Storage, content: str, uses: ExitStack) -> Path:
        """A content's place on this machine, fetched if it is not here yet; it stays until ``uses`` is closed.

        Raises:
            StorageError: it is not in the storage, or not what its hash says.
        """
        place = self.folder / place_of(content)
        with locked(place):
            if not place.is_file():
                self._make_room(storage.size(place_of(content)) or 0)
                with writing(place) as unfinished:
                    _download(storage, content, unfinished)
                    unfinished.chmod(0o444)
                    _to_disk(unfinished)
            _hold(place, uses)
        os.utime(place)
        return place

    def contents(self) -> Iterator[Path]:
        """Files of all contents that are here."""
        return (path for path in (self.folder / FOLDER).glob("??/*") if re.fullmatch("[0-9a-f]{64}", path.name))

    def _make_room(self, size: int) -> None:
        """Remove what nobody uses, the longest unused first, until so many bytes more fit in."""
        there = [(path, path.stat()) for path in self.contents() if path.exists()]
        total = size + sum(stat.st_size for _, stat in there)
        for path, stat in sorted(there, key=lambda entry: entry[1].st_mtime):
            if total <= self._most:
                return
            if remove_unused(path):
                total -= stat.st_size


def _to_disk(file: Path) -> None:
    """Without it, a machine that loses its power could find an empty file under the name of a content."""
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _hold(place: Path, uses: ExitStack) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    uses.callback(os.close, descriptor)
    with suppress(OSError):  # a file system without locks: what is mapped or open stays readable all the same
        fcntl.flock(descriptor, fcntl.LOCK_SH)


def remove_unused(place: Path) -> bool:
    """Remove a content of a cache, unless it is in use; whether it is gone."""
    # The first lock keeps it from being given out meanwhile, the second is held by those to whom it was given.
    with suppress(ValueError, OSError), locked(place, wait=False):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            place.unlink()
        finally:
            os.close(descriptor)
    return not place.exists()


def in_use(place: Path) -> bool:
    """Whether somebody uses a content of a cache, as far as the file system knows locks; else it counts as used."""
    with suppress(OSError):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        finally:
            os.close(descriptor)
    return place.exists()


def _default_bytes() -> float:
    written = os.environ.get(CACHE_GB, "")
    try:
        gigabytes = float(written or DEFAULT_CACHE_GB)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise ValueError(f"{CACHE_GB} must be a number of gigabytes, 0 or more, but is {written!r}")
    return gigabytes * 1e9
