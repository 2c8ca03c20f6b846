"""How long tasks take: what is known of them, of ones like them, or a guess; and the longest way to the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.identity import Identity
from posebed.jobs.estimate import GUESSES, Estimates
from posebed.jobs.graph import Graph, Task
from posebed.jobs.outcomes import State, Status


def task(kind: str, key: str, needs: Iterable[str] = (), model: str = "m", epochs: int | None = None) -> Task:
    seed = None if kind in ("score", "search") else 0
    return Task(kind, key, seed, Identity(data={"split a": "", "pack p": ""}), tuple(needs), model, epochs)


def done(*times: tuple[Task, float | None]) -> Estimates:
    return Estimates({t.name: Status(t, State.DONE, seconds=seconds) for t, seconds in times})


@pytest.mark.parametrize("kind", GUESSES)
def test_without_knowledge_a_task_takes_what_its_kind_is_guessed_to(kind: str):
    assert done().seconds(task(kind, "a")) == GUESSES[kind]
    assert done((task(kind, "a", model="other"), 5.0)).seconds(task(kind, "b")) == GUESSES[kind]


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.1, 1e5))
def test_trainings_take_as_long_as_ones_like_them_by_their_epochs(own: int, other: int, seconds: float):
    known = task("train", "known", epochs=other)
    estimates = done((known, seconds))
    assert estimates.seconds(known) == seconds
    assert estimates.seconds(task("train", "new", epochs=own)) == pytest.approx(seconds * own / other)
    assert done().seconds(task("train", "new", epochs=own)) == pytest.approx(GUESSES["train"] * own / 10)


@given(st.lists(st.floats(1, 100), min_size=1, max_size=7))
def test_of_many_the_median_counts_and_of_the_task_itself_its_own_time(times: list[float]):
    known = [(task("predict", f"k{i}"), seconds) for i, seconds in enumerate(times)]
    estimates = done(*known, (task("predict", "never"), None))
    assert min(times) <= estimates.seconds(task("predict", "new")) <= max(times)
    below = sum(t < estimates.seconds(task("predict", "new")) for t in times)
    assert below <= len(times) / 2
    assert all(estimates.seconds(t) == seconds for t, seconds in known)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, dict[str, float], list[str]]:
    """A graph, how long each of its tasks takes, and those to do."""
    tasks: list[Task] = []
    for i in range(draw(st.integers(1, 8))):
        needs = draw(st.lists(st.sampled_from([t.name for t in tasks]), unique=True, max_size=3)) if tasks else []
        tasks.append(task("predict", f"t{i}", needs))
    seconds = {t.name: float(draw(st.integers(1, 50))) for t in tasks}
    return Graph({t.name: t for t in tasks}), seconds, [n for n in seconds if draw(st.booleans())]


@given(graphs())
def test_what_is_left_is_the_longest_way_to_the_end(drawn: tuple[Graph, dict[str, float], list[str]]):
    graph, seconds, todo = drawn
    estimates = done(*((t, seconds[n]) for n, t in graph.tasks.items()))

    def longest(name: str) -> float:
        return seconds[name] + max((longest(n) for n in graph.dependents[name] if n in todo), default=0.0)

    remaining = estimates.remaining(graph, todo)
    assert remaining.keys() == set(todo)
    assert remaining == pytest.approx({name: longest(name) for name in todo})
    assert all(remaining[n] > remaining[d] for n in todo for d in graph.dependents[n] if d in todo)


def test_what_tasks_leave_on_disk_is_known_from_ones_like_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    known = task("train", "known")
    (known.folder / "inner").mkdir(parents=True)
    (known.folder / "weights").write_bytes(b"x" * 70)
    (known.folder / "inner/more").write_bytes(b"x" * 30)
    estimates = done((known, 1.0))
    assert estimates.bytes(known) == estimates.bytes(task("train", "new")) == 100
    assert estimates.bytes(task("predict", "new")) is None
