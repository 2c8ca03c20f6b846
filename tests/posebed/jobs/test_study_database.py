"""A database of studies that cannot be used is refused in one sentence; a new one is for its user alone."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from posebed.jobs.study import OWN_STORAGE, STORAGE, open_storage


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(STORAGE, raising=False)
    OWN_STORAGE.parent.mkdir()


def changed(statement: str) -> Callable[[Path], None]:
    """Of a sound database."""

    def change(path: Path) -> None:
        open_storage()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement)
            connection.commit()

    return change


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE others (x)")


BROKEN: dict[str, Callable[[Path], object]] = {
    "is damaged or no database": lambda path: path.write_bytes(os.urandom(9000)),
    "is a folder; move it away": Path.mkdir,
    "is no regular file": os.mkfifo,
    "a database of another program": foreign,
    "has an unknown version zzz": changed("UPDATE alembic_version SET version_num = 'zzz'"),
    "no such column": changed("ALTER TABLE studies RENAME COLUMN study_name TO x"),
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_file_is_refused_in_a_sentence(words: str):
    BROKEN[words](OWN_STORAGE)
    with pytest.raises(ValueError, match=words) as caught:
        open_storage()
    sentence = str(caught.value)
    assert sentence.startswith("studies must lie in a database") and "\n" not in sentence and len(sentence) < 700
    assert "sqlalche.me" not in sentence and "SELECT" not in sentence


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nonsense", "the address of a database must be such as"),
        ("postgresql+psycopg2://me:hush-hush@127.0.0.1:9/x", "nothing answers at 127.0.0.1:9"),
        ("mysql://me:hush-hush@127.0.0.1:9/x", "which is not installed"),
    ],
)
def test_a_broken_address_is_refused_without_its_password(address: str, words: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(STORAGE, address)
    with pytest.raises(ValueError, match=words) as caught:
        open_storage()
    assert str(caught.value).startswith(f"{STORAGE} must be the address of a database")
    assert "hush-hush" not in str(caught.value)


def test_a_new_one_is_for_this_user_alone_whatever_the_umask():
    before = os.umask(0)
    try:
        storage = open_storage()
        storage.get_all_studies()
    finally:
        os.umask(before)
    files = [file for file in OWN_STORAGE.parent.iterdir() if file.name.startswith(OWN_STORAGE.name)]
    assert files and {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
