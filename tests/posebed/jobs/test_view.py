"""What a command shows: a line per event where there is no terminal, bars and what is left on one."""

from __future__ import annotations

import io
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from posebed.identity import Identity
from posebed.jobs.graph import Task
from posebed.jobs.progress import News, TaskProgress
from posebed.jobs.view import SHOWN, View, covered, epoch_line, minutes
from posebed.scoring.result import Epoch


def task(kind: str, key: str) -> Task:
    return Task(kind, key, 0 if kind in ("train", "predict") else None, Identity(), (), "m")


def epoch(number: int, validation: float | None) -> Epoch:
    about = {"loss": 0.5, "losses": {}, "learning_rate": 0.1, "seconds": 1.0, "waiting": 0.25}
    return Epoch(epoch=number, validation=validation, images_per_second=12.0, **about)


def test_every_end_is_a_line_with_how_far_the_command_is(capsys: pytest.CaptureFixture[str]):
    with View(3, 100.0) as view:
        view.end(task("train", "a"), 61.0)
        view.fail(task("predict", "a"), "no room [for it]")
        view.end(task("score", "a"), 150.0)
    assert capsys.readouterr().err.splitlines() == [
        "[1/3] train a seed 0: done in 61 s",
        "[2/3] predict a seed 0: failed: no room [for it]",
        "[3/3] score a: done in 2 min",
    ]
    expected = r"2 tasks in \d s \(train 61 s, score 2 min of tasks' own time; 0 s without any\)"
    assert re.fullmatch(expected, view.breakdown())


def test_time_of_tasks_that_failed_is_not_time_without_any(monkeypatch: pytest.MonkeyPatch):
    view = View(1, 100.0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 40.0)
    view.worked(30.0)
    view.fail(task("train", "a"), "lost")
    assert view.breakdown() == "0 tasks in 40 s (none of tasks' own time; 10 s without any)"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)))
def test_time_is_covered_where_any_span_covers_it(spans: list[list[int]]):
    seconds = {second for start, end in spans for second in range(start, end)}
    assert covered([(start, end) for start, end in spans]) == len(seconds)


def test_news_are_shown_once_and_epochs_are_handed_on(capsys: pytest.CaptureFixture[str]):
    heard: list[tuple[str, int]] = []
    view = View(1, 1.0, lambda name, line: heard.append((name, line.epoch)))
    news = [
        News("train a seed 0", epoch=epoch(1, None).model_dump()),
        News("train a seed 0", epoch=epoch(2, 0.75).model_dump()),
        News("search s", line="goes on after 3 trials"),
    ]
    view.update({}, news, ["train a seed 0"], 0)
    assert heard == [("train a seed 0", 1), ("train a seed 0", 2)]
    shown = capsys.readouterr().err
    assert shown.splitlines() == [f"train a seed 0: {epoch_line(epoch(2, 0.75))}", "search s: goes on after 3 trials"]
    for words in ("epoch 2", "validation PCK@0.2 0.750", "12 img/s", "waiting for data 25.0%"):
        assert words in shown


def drawn(view: View, ticks: dict[str, TaskProgress], running: list[str], waiting: int) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(view._table(ticks, running, waiting))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_table_counts_all_tasks_and_shows_a_few(running: int, waiting: int):
    names = [f"train t{i} seed 0" for i in range(running)]
    view = View(running + waiting, 1.0)
    ticks = {n: TaskProgress(i, None if i % 2 else 10, f"text of {n}") for i, n in enumerate(names)}
    shown = drawn(view, {n: t for n, t in ticks.items() if n != "train t1 seed 0"}, names, waiting)
    assert f"0 of {running + waiting} done, {running} running, {waiting} waiting" in shown
    assert sum(f"{name} " in shown for name in names) == min(running, SHOWN)
    assert (f"and {running - SHOWN} more" in shown) == (running > SHOWN)
    assert ("starting" in shown) == (running > 1)


def test_what_is_left_follows_the_pace_so_far(monkeypatch: pytest.MonkeyPatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    view = View(4, 400.0)
    assert "left" not in drawn(view, {}, [], 4), "nothing is known yet"
    view.end(task("train", "a"), 100.0)
    clock[0] += 50.0
    assert "about 2 min left" in drawn(view, {}, [], 3), "two at once: 300 s of tasks' own time in 150"
    view.end(task("train", "b"), 400.0)
    assert "left" not in drawn(view, {}, [], 2), "longer than thought"
    view.fail(task("train", "c"), "no")
    assert "2 of 4 done, 1 failed" in drawn(view, {}, [], 1)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1.5 h")]
)
def test_durations_have_the_unit_that_suits_them(seconds: float, words: str):
    assert minutes(seconds) == words
