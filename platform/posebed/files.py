"""The one place where files of our own are written and read back: each is whole or not there, whoever else writes it.

A file or folder is made beside its place as ``.NAME.RANDOM.part`` and takes its name when it is whole. Its writer holds
an advisory lock on it, which ends with the process: what a killed writer left is known by its free lock, and removed by
the next one that writes the same path.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posebed.listing import shown

SCHEMA = "schema"
"""The key of a JSON file's version, which is its first."""
_LONGEST_NAME = 40
"""Characters of a name that its temporary name repeats; file systems take names of 255 bytes."""
_DAY = 24 * 3600
"""Seconds after which a leftover is removed where the file system knows no locks."""

Content = dict[str, Any]  # as json types it


def _unchanged(content: Content) -> Content:
    return content


@dataclass(frozen=True)
class Kind:
    """A kind of JSON file, whose files of former versions can still be read."""

    name: str
    """In messages, such as ``a result``."""
    upgrades: tuple[Callable[[Content], Content], ...] = (_unchanged,)
    """What makes version n + 1 of version n, from 0 on: files of that version state none."""

    @property
    def schema(self) -> int:
        """The version that is written."""
        return len(self.upgrades)


def write_text(text: str, path: Path) -> None:
    """Write text in UTF-8; the folders above are made."""
    write_bytes(text.encode(), path)


def write_bytes(data: bytes, path: Path) -> None:
    with writing(path) as unfinished:
        unfinished.write_bytes(data)


def write_json(content: Mapping[str, Any], path: Path, kind: Kind) -> None:
    """Write an object with the version of its kind, which is no part of the content."""
    write_text(json_text(content, kind), path)


def json_text(content: Mapping[str, Any], kind: Kind) -> str:
    """The text that ``write_json`` writes."""
    if SCHEMA in content:
        raise ValueError(f"{kind.name} must have no {SCHEMA!r} of its own, but has {shown(content[SCHEMA])}")
    return json.dumps({SCHEMA: kind.schema, **content}, indent=1)


def read_json(path: Path, kind: Kind) -> Content:
    """The content of a file of this or a former version, without the version.

    Raises:
        ValueError: there is no such file, it holds no JSON object, or it is of a newer version.
    """
    content = _parsed(path, kind.name, dict)
    version = content.pop(SCHEMA, 0)
    if type(version) is not int or version < 0:
        raise ValueError(f"{path} must state its {SCHEMA} as a whole number, but has {shown(version)}; write it again")
    if version > kind.schema:
        raise ValueError(
            f"{path} must be {kind.name} of schema {kind.schema} or older, but is of schema {version}; upgrade posebed"
        )
    for upgrade in kind.upgrades[version:]:
        content = upgrade(content)
    return content


def read_json_list(path: Path, name: str) -> list[Any]:
    """The content of a JSON file that holds a list; ``name`` says in messages what it is.

    Raises:
        ValueError: there is no such file, or it holds no JSON list.
    """
    return _parsed(path, name, list)


def _parsed(path: Path, name: str, kind: type[Any]) -> Any:  # as json types it
    form = {dict: "object", list: "list"}[kind]
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path} must be {name}, but there is no such file") from error
    except OSError as error:
        raise ValueError(f"{path} must be {name}, but cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise ValueError(f"{path} must be {name}, but is nested too deeply; write it again") from error
    except ValueError as error:
        raise ValueError(f"{path} must be {name} as a JSON {form}, but is no JSON: {error}; write it again") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path} must be {name} as a JSON {form}, but holds another value; write it again")
    return content


@contextmanager
def writing(path: Path) -> Generator[Path]:
    """An empty file to write to, which takes the name ``path`` once the block has ended without an error."""
    with _unfinished(path, lambda place: place.touch(exist_ok=False)) as unfinished:
        yield unfinished
        unfinished.replace(path)


@contextmanager
def writing_folder(out: Path) -> Generator[Path]:
    """A new folder to write into, which takes the name ``out`` once the block has ended without an error.

    A former folder of that name is replaced: a reader finds the one or the other, or for a moment none.
    """
    with _unfinished(out, Path.mkdir) as unfinished:
        yield unfinished
        while True:
            remove(out)
            try:
                unfinished.rename(out)
                break
            except OSError as error:  # another writer's folder has just taken the name
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise


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
        ValueError: another one holds the lock.
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
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
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
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


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
    finally:
        _delete(unfinished)
        os.close(lock)


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


def _hidden_start(path: Path) -> str:
    return f".{path.name[:_LONGEST_NAME]}."


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
