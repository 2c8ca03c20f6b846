"""What a round's records of tasks say while it goes on: a task that was done stays done, and is done once."""

from __future__ import annotations

import time
from contextlib import chdir
from pathlib import Path

from posebed.jobs.requests import RUNNING, TASKS
from posebed.own_json import read_json


class Watch:
    """Looks at a project again and again.

    Attributes:
        done: of every finished task, its record.
        violations: a sentence for each record that was lost or written again.
    """

    def __init__(self, project: Path) -> None:
        from posestages.benchmark import read_project

        with chdir(project):
            tasks = read_project().graph.tasks
        self._project = project
        self._records = {name: project / task.record for name, task in tasks.items()}
        self.names = [*tasks]
        self.done: dict[str, str] = {}
        self.violations: list[str] = []
        self.since: dict[str, float] = {}

    def look(self) -> None:
        for name, path in self._records.items():
            text = path.read_text() if path.is_file() else ""
            if self.done.get(name, text) != text:
                what = "was written again" if text else "was lost"
                self.violations.append(f"{name} was done and must stay so, but its record {what}")
            if text:
                self.done[name] = text
        now, running = time.monotonic(), self.running()
        self.since = {name: self.since.get(name, now) for name in running}

    def running(self) -> list[str]:
        """Tasks that the command last noted as under way and that are not done."""
        path = self._project / RUNNING
        noted = read_json(path, TASKS)["tasks"] if path.is_file() else []
        return [name for name in noted if name not in self.done]

    def at(self) -> dict[str, float]:
        """Of the tasks under way, for how many seconds they have been."""
        return {name: round(time.monotonic() - since, 1) for name, since in self.since.items()}
