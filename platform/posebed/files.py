"""The one place where files of our own are written and read back: each is whole or not there, whoever else writes it.

A file or folder is made beside its place as ``.NAME.RANDOM.part`` and takes its name when it is whole. Its writer holds
an advisory lock on it, which ends with the process: what a killed writer left is known by its free lock, and removed by
the next one that writes the same path.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_LONGEST_NAME = 40
"""Characters of a name that its temporary name repeats; file systems take names of 255 bytes."""
_C_LIBRARY = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux; there is no such function elsewhere
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
_HIDDEN = re.compile(r"\.(.*)\.[0-9a-f]{16}\.part", re.DOTALL)
"""A temporary name."""
_DAY = 24 * 3600
"""Seconds after which a leftover is removed where the file system knows no locks."""

Content = dict[str, Any]  # as json types it


def write_text(text: str, path: Path) -> None:
    """Write text in UTF-8; the folders above are made."""
    write_bytes(text.encode(), path)


def write_bytes(data: bytes, path: Path) -> None:
    with writing(path) as unfinished:
        unfinished.write_bytes(data)


def must_be_file(path: Path, name: str, again: str) -> None:
    """
    Raises:
        ValueError: there is no file, or what is there is none that ends: a folder, a pipe, a device.
    """
    if not path.is_file():
        found = "is no regular file" if os.path.lexists(path) else "there is no such file"
        raise ValueError(f"{path} must be {name}, but {found}; {again}")


@contextmanager
def writing(path: Path) -> Generator[Path]:
    """An empty file to write to, which takes the name ``path`` once the block has ended without an error."""
    _must_fit(path, stat.S_ISREG)
    with _unfinished(path, lambda place: place.touch(exist_ok=False)) as unfinished:
        yield unfinished
        unfinished.replace(path)


@contextmanager
def writing_folder(out: Path) -> Generator[Path]:
    """A new folder to write into, which takes the name ``out`` once the block has ended without an error.

    A former folder of that name is replaced: a reader, and whoever comes after a kill, finds the one or the other.
    """
    _must_fit(out, stat.S_ISDIR)
    with _unfinished(out, Path.mkdir) as unfinished:
        yield unfinished
        while not _take_name(unfinished, out):
            pass


def _take_name(unfinished: Path, out: Path) -> bool:
    """Whether a new folder could take its name; the former one then has the temporary name, if anything has."""
    with suppress(FileNotFoundError):  # there is no former one
        if _exchanged(unfinished, out):
            return True
        remove(out)
    try:
        unfinished.rename(out)
    except OSError as error:  # another writer's folder has just taken the name
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two paths have exchanged names in one step, which not every file system and C library can do.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    renameat2 = getattr(_C_LIBRARY, "renameat2", None)
    if renameat2 is None or not renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        return renameat2 is not None
    if ctypes.get_errno() == errno.ENOENT:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(other))
    return False


@contextmanager
def scratch_folder(path: Path) -> Generator[Path]:
    """A new folder beside ``path`` under a name of its own, which is removed at the end of the block. What killed
    processes left of theirs is removed when the next one is made."""
    with _unfinished(path, Path.mkdir) as folder:
        yield folder


def remove(path: Path) -> bool:
    """Remove a file or folder if it is there; whether all of it is gone. It loses its name first: nobody finds a folder
    that is half removed."""
    aside = _hidden(path)
    with suppress(FileNotFoundError):
        path.rename(aside)
        _delete(aside)
    return not os.path.lexists(aside)


def abandoned(folder: Path) -> list[Path]:
    """The unfinished files and folders that killed writers left in a folder, sorted."""
    return sorted(path for path in _unfinished_in(folder) if _if_free(path, lambda: None))


def remove_abandoned(path: Path) -> bool:
    """Remove one of them, unless a writer holds it by now; whether all of it is gone."""
    _if_free(path, lambda: _delete(path))
    return not os.path.lexists(path)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        with suppress(FileNotFoundError):
            return path.lstat().st_size
        return 0
    files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return sum(size_of(file) for file in files)


@contextmanager
def locked(path: Path, wait: bool = True) -> Generator[None]:
    """Keep other processes and threads out that lock the same path. ``PATH.lock`` is there meanwhile and names the
    process; a lock ends with its process, and what it left of that file does not matter.

    Args:
        wait: until the lock is free; else it is refused at once.

    Raises:
        ValueError: another one holds the lock, or the file to lock is a device or a pipe.
        OSError: the file system knows no locks.
    """
    file = path.with_name(path.name + ".lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = _held(file, path, wait)
    try:
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is held, so that nobody else's is removed
        os.close(lock)


def _held(file: Path, path: Path, wait: bool) -> int:
    """The descriptor of a lock file that this process has locked."""
    while True:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(lock).st_mode):
                raise ValueError(
                    f"{file} must be a file that {path.name} is locked by, but is a device or a pipe; remove it"
                )
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _lies_at(lock, file):
                return lock
        except BlockingIOError as error:
            holder = f"process {os.pread(lock, 20, 0).decode(errors='replace')}".strip()
            os.close(lock)
            raise ValueError(
                f"{path} must be used by one process at a time, but {holder} uses it; wait until that has ended, "
                "or end it"
            ) from error
        except BaseException as error:
            os.close(lock)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(file)
            raise
        os.close(lock)


FILES = "files"
"""The key of a folder's description under which the sha256 of the files beside it stand, by their names."""


def file_hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """What a folder's description says of its files, as far as they are there."""
    return {name: file_hash(folder / name) for name in names if (folder / name).is_file()}


def must_be_as_written(path: Path, description: Mapping[str, Any], again: str) -> None:
    """
    Args:
        description: of its folder, as it is read; older ones say nothing of files.

    Raises:
        ValueError: the file is another one than was described.
    """
    known = description.get(FILES, {}).get(path.name)
    if known is not None and file_hash(path) != known:
        raise ValueError(f"{path} must be as it was written, but its content has another hash; {again}")


def with_files(content: Content) -> Content:
    """Upgrade a description of the time when none said anything of its files."""
    return {FILES: {}, **content}


def file_hash(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _unfinished(path: Path, make: Callable[[Path], None]) -> Generator[Path]:
    """What ``make`` makes under a hidden name beside ``path``, locked; removed where it does not lose that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    unfinished, lock = _made(path, make)
    try:
        yield unfinished
    except OSError as error:
        if error.filename is None and error.errno in _OF_THE_DISK:  # such as of ``write``, which knows no name
            error.filename = str(path)
        raise
    finally:
        _delete(unfinished)
        os.close(lock)


def _must_fit(path: Path, fits: Callable[[int], bool]) -> None:
    """Refuse to replace a file by a folder or a folder by a file, and what is neither: root could replace ``/dev/null``
    and ``/dev/stdout``."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not fits(mode):
        wanted = "a folder" if fits is stat.S_ISDIR else "a file"
        found = "a file" if stat.S_ISREG(mode) else "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise ValueError(f"{path} must be {wanted}, or not be there, but is {found}; choose another place")


def is_full_disk_to_torch(error: Exception) -> bool:
    """Whether it is torch's error where a disk does not take what it writes, which is of no class of its own."""
    return isinstance(error, RuntimeError) and bool(re.search("PytorchStreamWriter|unexpected pos", str(error)))


def _made(path: Path, make: Callable[[Path], None]) -> tuple[Path, int]:
    while True:
        unfinished = _hidden(path)
        make(unfinished)
        # Before it is locked, another writer may take it for a leftover.
        with suppress(FileNotFoundError):
            lock = os.open(unfinished, os.O_RDONLY)
            if _try_lock(lock) is not False and _lies_at(lock, unfinished):
                return unfinished, lock
            os.close(lock)


def _remove_leftovers(path: Path) -> None:
    """Remove what killed writers of this path left."""
    for leftover in _unfinished_in(path.parent, re.escape(_hidden_start(path))):
        remove_abandoned(leftover)


def _unfinished_in(folder: Path, start: str = r"\..*\.") -> list[Path]:
    """What in a folder has a temporary name.

    Args:
        start: of the name, as a regular expression.
    """
    form = re.compile(start + r"[0-9a-f]{16}\.part", re.DOTALL)
    try:
        with os.scandir(folder) as entries:
            return [folder / entry.name for entry in entries if form.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _if_free(unfinished: Path, action: Callable[[], None]) -> bool:
    """Do something with what has no living writer, whose lock is held meanwhile; whether it was done."""
    with suppress(OSError):  # it is gone by now, or somebody else's
        lock = os.open(unfinished, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            free = _try_lock(lock)
            if free or (free is None and time.time() - os.fstat(lock).st_mtime > _DAY):
                action()
                return True
        finally:
            os.close(lock)
    return False


def _try_lock(descriptor: int) -> bool | None:
    """Whether the lock was free, which is held now; None where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _lies_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one of that name: one that was removed meanwhile is not."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _hidden(path: Path) -> Path:
    return path.with_name(f"{_hidden_start(path)}{secrets.token_hex(8)}.part")


def final_name(path: str | Path) -> Path:
    """The path that a file or folder under a temporary name will have; any other path as it is."""
    path = Path(path)
    parts = [_HIDDEN.sub(r"\1", part) for part in path.parts]
    return Path(*parts)


def _hidden_start(path: Path) -> str:
    return f".{path.name[:_LONGEST_NAME]}."


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
