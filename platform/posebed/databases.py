"""Databases by their address: whether one can be used, found out in seconds before a library tries it for minutes, and
told in one sentence. Files that are made here are for this user alone."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from posebed.address import shown_address, without_secrets
from posebed.listing import clipped, shortened, shown

REACH_SECONDS = 5.0
"""A machine that takes no connection within this time counts as out of reach."""
LOCK_SECONDS = 5.0
"""A file that another process locks for longer counts as locked."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""By which servers listen where an address names no port."""
EXTRAS = {"psycopg": "cluster", "psycopg2": "cluster"}
"""By the module of a driver, the extra that installs it or a sibling."""
_NOISE = re.compile(r"\s*(\[SQL: |\(Background on this error|The above exception).*", re.DOTALL)


@dataclass(frozen=True)
class Database:
    """An address that can be parsed."""

    url: URL
    given: str

    @classmethod
    def at(cls, address: str) -> Database:
        """Where ``postgresql://`` names no driver, it is the one that is installed.

        Raises:
            ValueError: it is no address of a database, or its driver is not installed.
        """
        try:
            url = make_url(address)
            if url.drivername == "postgresql" and not _installed("psycopg") and _installed("psycopg2"):
                url = url.set(drivername="postgresql+psycopg2")
            url.get_dialect().import_dbapi()
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            raise ValueError(
                "the address of a database must be such as sqlite:///FILE or postgresql+psycopg2://USER:PASSWORD@"
                f"HOST/NAME, but is {shown(shown_address(address))}"
            ) from error
        except ImportError as error:
            driver = error.name or "its driver"
            way = f"`pip install 'posebed[{EXTRAS[driver]}]'`" if driver in EXTRAS else f"`pip install {driver}`"
            raise ValueError(f"{url.drivername} needs the package {driver}, which is not installed; {way}") from error
        return cls(url, address)

    @property
    def address(self) -> str:
        """With user and password, for the library that opens it."""
        return self.url.render_as_string(hide_password=False)

    @property
    def file(self) -> Path | None:
        """Of SQLite; None for a server, and where a database lies in memory."""
        name = self.url.database or ""
        sqlite = self.url.get_backend_name() == "sqlite"
        return Path(name) if sqlite and name and name != ":memory:" and not name.startswith("file:") else None

    def check(self, table: str, reading: bool) -> None:
        """Find out whether it can be used. Makes nothing.

        Args:
            table: that the program's databases have: one that has others alone is of another program.
            reading: it must have that table, and need not be writable; else it may also be empty, or a file that is not
                there yet.

        Raises:
            ValueError: it cannot; a sentence that names no password.
        """
        place = str(self.file or shown_address(self.given))
        if self.file:
            tables = _tables_of_file(self.file, reading)
        else:
            _reach_server(self.url)
            tables = self._tables_of_server(place)
        if table not in tables and (tables or reading):
            raise ValueError(
                f"{place} must have the table {table}, but has {shortened(sorted(tables), 3)}: it is empty or a "
                "database of another program"
            )

    def _tables_of_server(self, place: str) -> set[str]:
        try:
            return set(inspect(create_engine(self.url, poolclass=NullPool)).get_table_names())
        except SQLAlchemyError as error:
            raise ValueError(f"{place} cannot be opened: {cause(error, self.given)}") from None


def private_file(path: Path) -> None:
    """Make an empty file that this user alone reads, for a database to grow in: its further files take its permissions.
    One that is there stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return


def cause(error: BaseException, *addresses: str) -> str:
    """Why a database failed, in one line: without the statement, links and passwords."""
    origin = next((e.orig for e in (error, error.__cause__) if isinstance(e, DBAPIError) and e.orig), error)
    if isinstance(origin, OSError) and isinstance(origin.filename, str) and origin.strerror:
        return without_secrets(f"{origin.filename}: {origin.strerror}", *addresses)
    return without_secrets(_NOISE.sub("", str(origin)), *addresses)


def reach(host: str, port: int) -> None:
    """Connect to a server and leave again.

    Raises:
        ValueError: it is out of reach.
    """
    try:
        socket.create_connection((host, port), REACH_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ValueError(f"nothing answers at {clipped(host)}:{port}: {reason}") from error


def _reach_server(url: URL) -> None:
    port = url.port or PORTS.get(url.get_backend_name())
    if url.host and port and not url.host.startswith("/") and "," not in url.host:
        reach(url.host, port)


def _tables_of_file(file: Path, reading: bool) -> set[str]:
    """None, where it is not there yet and can be made."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        if reading:
            raise ValueError(f"{file} must be a database, but there is no such file") from None
        _must_take_files(file)
        return set()
    except OSError as error:
        raise ValueError(f"{file} must be a database, but cannot be looked at: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise ValueError(f"{file} must be a database, but is {kind}; move it away")
    try:
        with closing(_connection(file, writes=not reading)) as connection:
            if not reading:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise ValueError(_told(file, error)) from error


def _connection(file: Path, writes: bool) -> sqlite3.Connection:
    address = f"{file.absolute().as_uri()}?mode={'rw' if writes else 'ro'}"
    return sqlite3.connect(address, timeout=LOCK_SECONDS, isolation_level=None, uri=True)


def _told(file: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{file} is locked by another process; end that, or try again later"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{file} cannot be written to or opened by this user: {error}; change its permissions"
    if code == sqlite3.SQLITE_FULL:
        return f"{file} cannot grow, since the disk is full"
    return f"{file} is damaged or no database: {error}; move it away, or put a copy in its place"


def _must_take_files(file: Path) -> None:
    """A file that is not there yet can be made."""
    place = next(folder for folder in file.absolute().parents if os.path.lexists(folder))
    if not place.is_dir():
        raise ValueError(f"{file} must lie in a folder, but {place} is none")
    if not os.access(place, os.W_OK | os.X_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
        raise ValueError(f"{file} must be made, but {place} cannot be written to")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
