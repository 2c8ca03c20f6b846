"""What became of tasks is known from files beside their outcomes, and from nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.identity import Identity
from posebed.jobs.graph import Graph, Task
from posebed.jobs.outcomes import (
    Outcomes,
    State,
    Status,
    accept,
    log_file,
    read_failure,
    read_record,
    write_failure,
    write_record,
)

KINDS = {"search": None, "train": 0, "predict": 0, "score": None}
identities = st.builds(Identity, st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=2))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def task(kind: str = "train", key: str = "a", identity: Identity = Identity({"lr": 1})) -> Task:  # noqa: B008
    return Task(kind, key, KINDS[kind], identity, (), "m")


def do(one: Task, seconds: float = 2.5) -> None:
    one.outcome.parent.mkdir(parents=True, exist_ok=True)
    one.outcome.write_text("outcome")
    write_record(one, seconds)


def status(one: Task, running: tuple[str, ...] = ()) -> Status:
    return Outcomes().status(one, running)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_goes_from_never_run_over_failed_and_done_to_stale(kind: str):
    one = task(kind)
    assert status(one) == Status(one, State.NEVER)
    write_failure(one, "no room")
    assert status(one) == Status(one, State.FAILED, reason="no room")
    do(one)
    assert status(one) == Status(one, State.DONE, seconds=2.5)
    assert read_failure(one) is None, "a failure is forgotten once the task is done"
    later = task(kind, identity=Identity({"lr": 2}))
    assert status(later) == Status(later, State.STALE, ("lr 1 -> 2",), seconds=2.5)
    write_failure(later, "lr too high")
    assert status(later).state is State.FAILED, "of the identity that was tried last"
    assert status(one) == Status(one, State.DONE, seconds=2.5), "the former setting's outcome is still there"


def test_a_failure_of_another_identity_does_not_count():
    write_failure(task(), "no room")
    assert status(task(identity=Identity({"lr": 2}))).state is State.NEVER


def test_what_runs_is_running_whatever_was_before():
    one = task()
    do(one)
    assert status(one, (one.name,)) == Status(one, State.RUNNING, seconds=2.5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_without_an_outcome_and_an_outcome_without_a_record_are_nothing(kind: str):
    one = task(kind)
    do(one)
    one.outcome.unlink()
    assert status(one).state is State.NEVER
    do(one)
    one.record.unlink()
    assert status(one).state is State.NEVER


@given(st.lists(identities, min_size=1, max_size=5), st.data())
def test_an_accepted_outcome_is_done_and_seen_as_it_was_until_it_changes_again(
    tmp_path_factory: pytest.TempPathFactory, later: list[Identity], data: st.DataObject
):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("accepted"))
        first = task(identity=data.draw(identities))
        do(first)
        accepted = task(identity=data.draw(st.sampled_from(later)))
        accept(accepted, "a new version of a library")
        for identity in [first.identity, *later]:
            one, outcomes = task(identity=identity), Outcomes()
            true = identity.hash in (first.identity.hash, accepted.identity.hash)
            assert (outcomes.status(one).state is State.DONE) == true
            as_it_was = identity.hash == accepted.identity.hash
            assert outcomes.effective_hash(one) == (first.identity.hash if as_it_was else identity.hash)
        do(first)
        assert (status(accepted).state is State.DONE) == (accepted.identity.hash == first.identity.hash)


def test_the_reason_for_which_an_outcome_was_accepted_is_kept():
    do(task())
    later = task(identity=Identity({"lr": 2}))
    accept(later, "torch 2.14 changes no digit")
    assert status(later) == Status(later, State.DONE, reason="torch 2.14 changes no digit", seconds=2.5)


@pytest.mark.parametrize("because", ["", " ", "x" * 5000, "a\udcff"])
def test_a_reason_that_says_nothing_or_cannot_be_kept_changes_nothing(because: str):
    do(task())
    before = task().record.read_bytes()
    with pytest.raises(ValueError, match="must be"):
        accept(task(identity=Identity({"lr": 2})), because)
    assert task().record.read_bytes() == before


def test_only_what_was_done_can_be_accepted():
    with pytest.raises(LookupError, match="train a seed 0 must have an outcome to be accepted, but was never run"):
        accept(task(), "so")


@given(identities, st.floats(0, 1e6))
def test_a_record_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, identity: Identity, seconds: float
):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("record"))
        do(task(identity=identity), seconds)
        record = read_record(task().record)
        assert record and record.identity == identity and record.identity.hash == identity.hash
        assert record.seconds == seconds and record.created and not record.accepted


@pytest.mark.parametrize("text", ["", "{", "[]", '{"identity": {}}'])
def test_a_damaged_record_is_reported_with_its_place(text: str):
    one = task()
    do(one)
    one.record.write_text(text)
    with pytest.raises(ValueError, match=r"runs/a/seed-0/train/task\.json"):
        status(one)


def test_no_two_tasks_share_a_file():
    keys = ("a", "a-0", "a_0", "0")
    tasks = [
        *(replace(task(kind, key), seed=seed) for kind in ("train", "predict") for key in keys for seed in (0, 10)),
        *(task(kind, key) for kind in ("score", "search") for key in keys),
    ]
    for place in (lambda t: t.record, lambda t: t.outcome, log_file):
        assert len({place(one) for one in tasks}) == len(tasks)
    for one in tasks:
        write_failure(one, one.name)
    assert all(status(one).reason == one.name for one in tasks)
    failure = json.loads(next(Path(".posebed/failures").iterdir()).read_text())
    assert failure["log"].endswith(".log")


def test_the_statuses_of_a_graph_are_those_of_its_tasks():
    first, second = task(key="a"), task(key="b")
    do(first)
    states = Outcomes().statuses(Graph({one.name: one for one in (first, second)}), [second.name])
    assert {name: status.state for name, status in states.items()} == {
        first.name: State.DONE,
        second.name: State.RUNNING,
    }
