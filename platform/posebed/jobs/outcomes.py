"""What became of tasks: a record beside the outcome of each that was done, a note of each that failed."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from posebed.config import LONGEST_TEXT
from posebed.forms import Form
from posebed.identity import Identity
from posebed.jobs.graph import Graph, Task
from posebed.own_json import Kind, read_json, write_json

FAILURES = Path(".posebed/failures")
LOGS = Path(".posebed/logs")


class _Identity(Form):
    settings: dict[str, Any]
    data: dict[str, str]
    after: dict[str, str]
    code: dict[str, str]


class _Recorded(Form):
    identity: _Identity
    seconds: Annotated[float, Field(ge=0)]
    created: str
    accepted: str
    because: str


class _Failed(Form):
    identity: str
    reason: str


RECORD = Kind("a record of a task", form=_Recorded, again="remove it, and the task is done again")
FAILURE = Kind("a note of a failed task", form=_Failed, again="remove it")


@dataclass(frozen=True)
class Record:
    """That a task was done, and with which identity."""

    identity: Identity
    seconds: float
    created: str
    """UTC, ISO 8601."""
    accepted: str = ""
    """Hash of the later identity under which a user keeps the outcome as it is."""
    because: str = ""
    """The user's reason."""


class State(StrEnum):
    DONE = "done"
    STALE = "stale"
    RUNNING = "running"
    FAILED = "failed"
    NEVER = "never run"


@dataclass(frozen=True)
class Status:
    task: Task
    state: State
    changes: tuple[str, ...] = ()
    """Of a stale one: what is another than it was."""
    reason: str = ""
    """Of a failed one; of a done one that was accepted, the user's."""
    seconds: float | None = None
    """That it took when it was last done."""


class Outcomes:
    """Records of tasks, each read once."""

    def __init__(self) -> None:
        self._records: dict[Path, Record | None] = {}

    def record(self, task: Task) -> Record | None:
        if task.record not in self._records:
            self._records[task.record] = read_record(task.record) if task.outcome.exists() else None
        return self._records[task.record]

    def effective_hash(self, task: Task) -> str:
        """The hash that dependents of the task see: of an accepted outcome the one that it was made with."""
        record = self.record(task)
        accepted = record is not None and record.accepted == task.identity.hash
        return record.identity.hash if record and accepted else task.identity.hash

    def status(self, task: Task, running: Collection[str] = ()) -> Status:
        record, failure = self.record(task), read_failure(task)
        seconds = record.seconds if record else None
        if task.refused:
            return Status(task, State.FAILED, reason=task.refused, seconds=seconds)
        if task.name in running:
            return Status(task, State.RUNNING, seconds=seconds)
        if record and record.identity.hash == task.identity.hash:
            return Status(task, State.DONE, seconds=seconds)
        if record and record.accepted == task.identity.hash:
            return Status(task, State.DONE, reason=record.because, seconds=seconds)
        if failure and failure["identity"] == task.identity.hash:
            return Status(task, State.FAILED, reason=failure["reason"], seconds=seconds)
        if record:
            changes = task.identity.changes_since(record.identity)
            return Status(task, State.STALE, tuple(changes), seconds=seconds)
        return Status(task, State.NEVER)

    def statuses(self, graph: Graph, running: Collection[str] = ()) -> dict[str, Status]:
        return {name: self.status(task, running) for name, task in graph.tasks.items()}


def write_record(task: Task, seconds: float) -> None:
    """Note that the task was done; its outcome must be there."""
    _write(task.record, Record(task.identity, seconds, datetime.now(UTC).isoformat(timespec="seconds")))
    failure_file(task).unlink(missing_ok=True)


def accept(task: Task, because: str) -> None:
    """Keep the outcome of a stale task as it is.

    Raises:
        LookupError: the task has no outcome.
        ValueError: there is no reason, or it is no text of moderate length.
    """
    if not because.strip() or len(because) > LONGEST_TEXT:
        found = f"{len(because)} characters" if because.strip() else "nothing"
        raise ValueError(f"a reason must be a text of at most {LONGEST_TEXT} characters, but is {found}")
    record = read_record(task.record)
    if record is None:
        raise LookupError(f"{task.name} must have an outcome to be accepted, but was never run")
    _write(task.record, replace(record, accepted=task.identity.hash, because=because))


def read_record(path: Path) -> Record | None:
    if not os.path.lexists(path):
        return None
    content = read_json(path, RECORD)
    identity = Identity.from_json(content["identity"])
    return Record(identity, **{name: content[name] for name in ("seconds", "created", "accepted", "because")})


def _write(path: Path, record: Record) -> None:
    write_json({**vars(record), "identity": record.identity.as_json()}, path, RECORD)


def write_failure(task: Task, reason: str) -> None:
    content = {"task": task.name, "identity": task.identity.hash, "reason": reason, "log": log_file(task).as_posix()}
    write_json(content, failure_file(task), FAILURE)


def read_failure(task: Task) -> Mapping[str, str] | None:
    path = failure_file(task)
    return read_json(path, FAILURE) if os.path.lexists(path) else None


def log_file(task: Task) -> Path:
    return LOGS / f"{_file_name(task)}.log"


def add_to_log(task: Task, text: str) -> None:
    """Append what a task printed on another machine."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with log_file(task).open("a", encoding="utf-8") as file:
        file.write(text)


def failure_file(task: Task) -> Path:
    return FAILURES / f"{_file_name(task)}.json"


def _file_name(task: Task) -> str:
    return "@".join(map(str, (task.kind, task.key, *([] if task.seed is None else [task.seed]))))
