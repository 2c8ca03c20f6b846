"""A database that cannot be used is refused in one sentence, soon, and nothing is made where it should only be read."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.databases import Database, cause, private_file, reach

TABLE = "things"


def made(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE things (name TEXT)")
        connection.executemany("INSERT INTO things VALUES (?)", [("x" * 500,)] * 50)
        connection.commit()
    return path


def refused(address: str, reading: bool) -> str:
    with pytest.raises(ValueError) as caught:
        Database.at(address).check(TABLE, reading)
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 600
    return sentence


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE others (name TEXT)")


def text_file(path: Path) -> None:
    path.write_text("no database " * 1000)


BROKEN: dict[str, Callable[[Path], object]] = {
    "is a folder": Path.mkdir,
    "no regular file": lambda path: os.mkfifo(path),
    "is damaged or no database": text_file,
    "has others: it is empty or a database of another program": foreign,
}


@pytest.mark.parametrize("reading", [True, False])
@pytest.mark.parametrize("words", BROKEN)
def test_what_is_no_database_of_ours_is_refused(tmp_path: Path, words: str, reading: bool):
    BROKEN[words](tmp_path / "x.db")
    assert words in refused(f"sqlite:///{tmp_path}/x.db", reading)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_damaged_file_is_usable_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    path = made(tmp_path_factory.mktemp("damaged") / "x.db")
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=60)):
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for reading in (True, False):
        try:
            Database.at(f"sqlite:///{path}").check(TABLE, reading)
        except ValueError as error:
            assert "\n" not in str(error) and "x.db" in str(error)


@contextmanager
def held(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_a_locked_file_is_waited_for_no_longer_than_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("posebed.databases.LOCK_SECONDS", 0.2)
    path = made(tmp_path / "x.db")
    with held(path):
        assert "locked by another process" in refused(f"sqlite:///{path}", reading=False)
    Database.at(f"sqlite:///{path}").check(TABLE, reading=False)


@pytest.mark.parametrize("place", ["new.db", "sub/new.db", "sub/deeper/new.db"])
def test_looking_makes_nothing(tmp_path: Path, place: str):
    address = f"sqlite:///{tmp_path}/{place}"
    assert "there is no such file" in refused(address, reading=True)
    Database.at(address).check(TABLE, reading=False)
    assert not [*tmp_path.iterdir()]


def test_an_empty_file_can_be_written_to_and_holds_nothing_to_read(tmp_path: Path):
    (tmp_path / "x.db").touch()
    Database.at(f"sqlite:///{tmp_path}/x.db").check(TABLE, reading=False)
    assert "has none" in refused(f"sqlite:///{tmp_path}/x.db", reading=True)
    assert (tmp_path / "x.db").stat().st_size == 0


def test_a_database_lies_in_folders_and_not_in_a_file(tmp_path: Path):
    (tmp_path / "file").touch()
    assert "cannot be looked at" in refused(f"sqlite:///{tmp_path}/file/x.db", reading=False)


def test_whatever_grows_beside_a_private_file_is_private_too(tmp_path: Path):
    before = os.umask(0)
    try:
        private_file(tmp_path / "folder/x.db")
        connection = sqlite3.connect(tmp_path / "folder/x.db", isolation_level=None)
        with closing(connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE t (x)")
            files = [*(tmp_path / "folder").iterdir()]
            assert len(files) == 3
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(before)


def test_a_file_that_is_there_keeps_its_permissions_and_content(tmp_path: Path):
    path = made(tmp_path / "x.db")
    path.chmod(0o640)
    private_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and path.stat().st_size


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "postgres://me:hush-hush@h/x",
        "redis://me:hush-hush@h/x",
        "postgresql+none://me:hush-hush@h/x",
        "sqlite",
        "://",
        "postgresql://me:hush-hush@h:port/x",
        "",
    ],
)
def test_an_address_that_is_none_is_shown_without_its_password(address: str):
    with pytest.raises(ValueError, match="the address of a database must be such as") as caught:
        Database.at(address)
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize("module", ["psycopg2", "psycopg"])
def test_a_missing_driver_of_postgres_names_the_extra(monkeypatch: pytest.MonkeyPatch, module: str):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ValueError, match=r"`pip install 'posebed\[cluster\]'`") as caught:
        Database.at(f"postgresql+{module}://me:hush-hush@127.0.0.1:9/x")
    assert "hush-hush" not in str(caught.value)


def test_a_server_out_of_reach_is_told_soon():
    begun = time.monotonic()
    sentence = refused("postgresql+psycopg2://me:hush-hush@127.0.0.1:9/x", reading=False)
    assert "nothing answers at 127.0.0.1:9" in sentence and time.monotonic() - begun < 6
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach("127.0.0.1", server.getsockname()[1])


@pytest.mark.parametrize(("host", "port"), [("nowhere.invalid", 80), ("x" * 300, 80), ("", 0), ("127.0.0.1", 99999)])
def test_a_host_that_is_none_is_out_of_reach(host: str, port: int):
    with pytest.raises(ValueError, match="nothing answers at"):
        reach(host, port)


def test_a_cause_is_neither_a_statement_nor_a_link():
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    with pytest.raises(SQLAlchemyError) as caught, create_engine("sqlite://").connect() as connection:
        connection.execute(text("SELECT hush FROM nowhere"))
    assert cause(cast(SQLAlchemyError, caught.value)) == "no such table: nowhere"
    assert cause(RuntimeError(str(caught.value))) == "(sqlite3.OperationalError) no such table: nowhere"


def test_a_cause_in_the_file_system_is_the_file_and_the_reason(tmp_path: Path):
    with pytest.raises(OSError) as caught:
        (tmp_path / "none" / "file").open()
    assert cause(caught.value) == f"{tmp_path}/none/file: No such file or directory"
