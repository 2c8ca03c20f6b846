"""What machines without a common file system share: any address that fsspec opens, such as ``s3://bucket/folder``.

Credentials are found by the libraries behind the address, from their usual variables and files; none is kept here.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from posebed.address import shown_address, without_secrets
from posebed.files import writing
from posebed.listing import clipped

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

VARIABLE = "POSEBED_STORAGE"
PATIENCE_SECONDS = 120.0
"""A storage that does not answer is tried again for so long: servers are restarted, and links are cut for a while."""
ANSWER_SECONDS = 10.0
"""A storage that has not answered a command's first question within this time counts as out of reach; others answer it
in less than one."""
_LONGEST_WAIT = 8.0
_LASTING = (FileNotFoundError, PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError, ImportError)
_LASTING_CODES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS)
"""Of errors that no waiting heals."""
CHECKS = "checks"
"""Folder of the small files that are there for a moment."""
_MODIFIED = ("mtime", "LastModified", "last_modified")
"""What file systems call the time of a file's last change when they list it, in seconds or as a date."""

AnswerT = TypeVar("AnswerT")


class StorageError(OSError, ValueError):
    """A sentence on what the storage refused."""


@dataclass(frozen=True)
class StoredFile:
    """A file that the storage has."""

    name: str
    size: int
    """In bytes."""
    modified: float
    """When it was written, by the storage's clock, in seconds since 1970."""


@dataclass(frozen=True)
class Storage:
    """Files by name; slashes in names make folders."""

    address: str

    @classmethod
    def of_environment(cls) -> Storage | None:
        """That of ``POSEBED_STORAGE``, if it is set; a folder is named from this machine's root."""
        address = os.environ.get(VARIABLE)
        if not address:
            return None
        return cls(address if "://" in address else str(Path(address).absolute()))

    def check(self) -> None:
        """Write, read and remove a small file. To be called where a command uses the storage first.

        Raises:
            StorageError: one of these fails, or there is no answer within ``ANSWER_SECONDS``.
        """
        name, content = f"{CHECKS}/{secrets.token_hex(8)}", b"posebed"

        def tried() -> bytes:
            self._write(content, name)
            found = self.system.cat_file(self.path(name))
            self.system.rm_file(self.path(name))
            return bytes(cast(bytes, found))

        if self._told(lambda: _soon(tried), "be written and read") != content:
            raise StorageError(f"{self} must give back what was written to it, but gives something else")

    def put(self, file: Path, name: str) -> None:
        """Copy a local file there, replacing what has that name."""

        def tried() -> None:
            if self.local:
                with writing(Path(self.path(name))) as unfinished:
                    self.system.put_file(str(file), str(unfinished))
            else:
                self.system.put_file(str(file), self.path(name))

        self._patiently(tried, f"take {name}")

    def get(self, name: str, file: Path) -> None:
        """Copy a file from there over a local one."""
        self._patiently(lambda: self.system.get_file(self.path(name), str(file)), f"give {name}")

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

        def tried() -> int | None:
            try:
                return int(self.system.info(self.path(name))["size"])
            except FileNotFoundError:
                return None

        return self._patiently(tried, f"tell of {name}")

    def names(self, folder: str) -> list[str]:
        """Names of files and folders in a folder, sorted; none where there is no such folder."""

        def tried() -> list[str]:
            try:
                there = [str(path).rstrip("/") for path in self.system.ls(self.path(folder), detail=False)]
            except FileNotFoundError:
                return []
            # A folder whose files were removed may have itself as its one entry.
            return sorted(Path(path).name for path in there if path != self.path(folder))

        return self._patiently(tried, f"list {folder}")

    def files(self, folder: str) -> list[StoredFile]:
        """All files in and below a folder; none where there is no such folder."""

        def tried() -> list[StoredFile]:
            found = cast("dict[str, dict[str, Any]]", self.system.find(self.path(folder), detail=True))
            # Of an empty folder, some tell that it is one.
            return [self._stored(path, about) for path, about in found.items() if about["type"] == "file"]

        return self._patiently(tried, f"list {folder}")

    def _stored(self, path: str, about: dict[str, Any]) -> StoredFile:
        told = next((about[name] for name in _MODIFIED if about.get(name)), None)
        modified: float | datetime = self.system.modified(path) if told is None else told
        seconds = modified.timestamp() if isinstance(modified, datetime) else float(modified)
        return StoredFile(path.removeprefix(self.path("")), int(about["size"]), seconds)

    def now(self) -> float:
        """The time by the storage's clock, in seconds since 1970: clocks of machines may differ from it."""
        name = f"{CHECKS}/{secrets.token_hex(8)}"

        def tried() -> float:
            self._write(b"now", name)
            path = self.path(name)
            modified = self._stored(path, self.system.info(path)).modified
            self.system.rm_file(path)
            return modified

        return self._patiently(tried, "tell the time")

    def remove_file(self, name: str) -> None:
        """Remove a file, if it is there; a single request, for those who remove many."""

        def tried() -> None:
            with suppress(FileNotFoundError):
                self.system.rm_file(self.path(name))

        self._patiently(tried, f"remove {name}")

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that it holds, if it is there."""

        def tried() -> None:
            if self.system.exists(self.path(name)):
                self.system.rm(self.path(name), recursive=True)

        self._patiently(tried, f"remove {name}")

    def path(self, name: str) -> str:
        """As ``system`` calls a file."""
        return f"{self._opened[1]}/{name}"

    @property
    def system(self) -> AbstractFileSystem:
        return self._opened[0]

    @property
    def local(self) -> bool:
        """Whether it is a folder of this machine, perhaps one that others mount as well."""
        from fsspec.implementations.local import LocalFileSystem

        return isinstance(self.system, LocalFileSystem)

    @cached_property
    def _opened(self) -> tuple[AbstractFileSystem, str]:
        from fsspec.core import url_to_fs

        # Listings that are kept would miss what other machines write, and an instance that is kept new credentials.
        options = {"use_listings_cache": False, "skip_instance_cache": True}
        system, root = self._told(lambda: url_to_fs(self.address, **options), "be opened")
        return system, root.rstrip("/")

    def _write(self, content: bytes, name: str) -> None:
        if self.local:
            Path(self.path(name)).parent.mkdir(parents=True, exist_ok=True)
        self.system.pipe_file(self.path(name), content)

    def _patiently(self, action: Callable[[], AnswerT], what: str) -> AnswerT:
        """The action's answer, which is tried again for a while where the storage does not answer."""
        until, wait = time.monotonic() + PATIENCE_SECONDS, 0.5
        while True:
            try:
                return action()
            except Exception as error:  # fsspec's file systems raise whatever the libraries below them do
                if _lasts(error) or time.monotonic() > until:
                    raise self._error(error, what) from error
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _told(self, action: Callable[[], AnswerT], what: str) -> AnswerT:
        """The action's answer, tried once."""
        try:
            return action()
        except Exception as error:
            raise self._error(error, what) from error

    def _error(self, error: Exception, what: str) -> StorageError:
        if isinstance(error, StorageError):
            return error
        # The system's words without the path, which the address tells already.
        words = error.strerror if isinstance(error, OSError) and error.filename else error
        cause = without_secrets(words or type(error).__name__, self.address)
        return StorageError(
            f"{self} must {what}, but that fails with: {cause}; {VARIABLE} names a folder or an address such as "
            "s3://bucket/folder"
        )

    def __str__(self) -> str:
        return f"the storage {clipped(shown_address(self.address))}"

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.address,)  # each machine opens it with its own credentials


def _lasts(error: Exception) -> bool:
    """Whether no waiting heals it."""
    lasting = isinstance(error, (StorageError, *_LASTING))
    return lasting or (isinstance(error, OSError) and error.errno in _LASTING_CODES)


def _soon(action: Callable[[], AnswerT]) -> AnswerT:
    """The action's answer within ``ANSWER_SECONDS``: libraries try a server that is not there for minutes.

    Raises:
        TimeoutError: there is none by then.
    """
    answers, failures = list[AnswerT](), list[Exception]()

    def act() -> None:
        try:
            answers.append(action())
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    for failure in failures:
        raise failure
    if not answers:
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s")
    return answers[0]
