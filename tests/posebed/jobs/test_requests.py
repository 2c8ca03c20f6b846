"""One command at a time runs tasks in a folder, and others see and stop what it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.identity import Identity
from posebed.jobs.graph import Task
from posebed.jobs.requests import (
    STOPS,
    Stops,
    ask_to_stop,
    is_running,
    note_running,
    only_command,
    running_tasks,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_second_command_is_refused_in_one_sentence_and_the_first_one_goes_on():
    with only_command():
        assert is_running()
        sentence = f"one process at a time, but process {os.getpid()} uses it"
        with pytest.raises(ValueError, match=sentence) as refused, only_command():
            pytest.fail("both run")
        assert "\n" not in str(refused.value)
        assert is_running()
    assert not is_running()
    with only_command():
        pass


def test_a_command_that_was_killed_holds_nothing():
    code = (
        "import time\nfrom posebed.jobs.requests import only_command, note_running\n"
        "with only_command():\n    note_running(['train a seed 0'])\n"
        "    print('held', flush=True)\n    time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout and other.stdout.readline() == "held\n"
    assert is_running() and running_tasks() == ["train a seed 0"]
    with pytest.raises(ValueError, match=f"process {other.pid} uses it"), only_command():
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert not is_running() and running_tasks() == [], "what it had noted is no longer so"
    with only_command():
        assert running_tasks() == ["train a seed 0"], "until the new one notes its own"
        note_running([])
        assert running_tasks() == []


keys = st.sampled_from(["a", "b", "search@a", "search@c"])


@given(st.lists(keys, unique=True), st.sampled_from(["search", "train", "predict", "score"]), st.sampled_from("abc"))
def test_tasks_of_the_named_runs_and_searches_are_to_stop_or_all(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[str], kind: str, key: str
):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("stop"))
        one = Task(kind, key, 0 if kind in ("train", "predict") else None, Identity(), (), "m")
        assert not Stops().want(one) and not Stops().everything
        ask_to_stop(wanted)
        stops = Stops()
        assert stops.everything == (not wanted)
        assert stops.want(one) == (not wanted or (f"search@{key}" if kind == "search" else key) in wanted)


def test_requests_add_up_and_end_with_the_next_command():
    ask_to_stop(["a"])
    ask_to_stop(["b"])
    stops = Stops()
    tasks = [Task("score", key, None, Identity(), (), "m") for key in "abc"]
    assert [stops.want(one) for one in tasks] == [True, True, False]
    ask_to_stop([])
    ask_to_stop(["a"])
    assert Stops().everything
    with only_command():
        assert not STOPS.exists() and not Stops().want(tasks[0])
