"""A tracker that takes nothing is told in one line and stops nothing; a tracker that is fine is told of nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from posestages.live_tracking import LATER, LiveTracking, out_of_reach


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE others (x)")


BROKEN: dict[str, Callable[[Path], object]] = {
    "is damaged or no database": garbage,
    "is a folder": Path.mkdir,
    "database of another program": other_program,
    "no regular file": os.mkfifo,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_file_is_told_once_for_all(tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str]):
    BROKEN[words](tmp_path / "mlflow.db")
    reason = out_of_reach()
    assert words in reason
    with LiveTracking({}, reason) as tracking:
        assert not tracking.in_reach
        tracking._failed("something else")
    out, err = capsys.readouterr()
    assert out == "" and err == f"{LATER}: {reason}\n"


def test_an_absent_file_is_no_fault_and_looking_makes_none(tmp_path: Path):
    assert out_of_reach() == "" and not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "address",
    ["http://me:hush-hush@127.0.0.1:9", "postgresql+psycopg2://me:hush-hush@127.0.0.1:9/x", "nonsense", "http://"],
)
def test_a_server_out_of_reach_is_told_without_its_password(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    reason = out_of_reach()
    assert reason and "\n" not in reason and "hush-hush" not in reason
