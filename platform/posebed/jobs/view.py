"""How a command shows its tasks: bars on a terminal, a line per event elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from posebed.jobs.graph import Task
from posebed.jobs.progress import News, TaskProgress
from posebed.scoring.result import Epoch

SHOWN = 12
"""Tasks under way that have a bar."""


class View:
    """Tasks under way, how many are done and to do, and how long the rest will take.

    Args:
        total: number of tasks to do.
        seconds: that they will take together, as far as is known.
        on_epoch: called with the name of a task and every epoch that it has finished.
    """

    def __init__(
        self, total: int, seconds: float, on_epoch: Callable[[str, Epoch], None] = lambda task, epoch: None
    ) -> None:
        self._total, self._seconds, self._on_epoch = total, seconds, on_epoch
        self._ended = self._failed = 0
        self._spent: dict[str, float] = {}
        self._spans: list[tuple[float, float]] = []
        self._started = time.monotonic()
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if sys.stderr.isatty() else None

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def worked(self, seconds: float) -> None:
        """A task was under way for the last ``seconds``, whatever became of it."""
        now = time.monotonic()
        self._spans.append((max(now - seconds, self._started), now))

    def end(self, task: Task, seconds: float) -> None:
        self._ended += 1
        self._spent[task.kind] = self._spent.get(task.kind, 0.0) + seconds
        self.say(f"[{self._ended + self._failed}/{self._total}] {task.name}: done in {minutes(seconds)}")

    def fail(self, task: Task, reason: str) -> None:
        self._failed += 1
        self.say(f"[{self._ended + self._failed}/{self._total}] {task.name}: failed: {reason}")

    def update(
        self,
        ticks: Mapping[str, TaskProgress],
        news: Sequence[News],
        running: Collection[str],
        waiting: int,
    ) -> None:
        """Show how far the running tasks are.

        Args:
            ticks: by task how far it is.
        """
        for one in news:
            if one.epoch is not None:
                epoch = Epoch.model_validate(one.epoch)
                self._on_epoch(one.task, epoch)
                if epoch.validation is not None:
                    self.say(f"{one.task}: {epoch_line(epoch)}")
            else:
                self.say(f"{one.task}: {one.line}")
        if self._live:
            self._live.update(self._table(ticks, running, waiting), refresh=True)

    def _table(self, ticks: Mapping[str, TaskProgress], running: Collection[str], waiting: int) -> Group:
        table = Table.grid(padding=(0, 1))
        for name in [*running][:SHOWN]:
            tick = ticks.get(name, TaskProgress(done=0, total=1, text="starting"))
            table.add_row(name, ProgressBar(tick.total, tick.done, width=24), tick.text)
        more = len(running) - SHOWN
        if more > 0:
            table.add_row(f"and {more} more")
        failed = f", {self._failed} failed" if self._failed else ""
        head = f"{self._ended} of {self._total} done{failed}, {len(running)} running, {waiting} waiting{self._left()}"
        return Group(Text(head), table)

    def _left(self) -> str:
        """At the pace so far: tasks that were done, in seconds of their own, per second of this command."""
        done, passed = sum(self._spent.values()), time.monotonic() - self._started
        return f", about {minutes((self._seconds - done) * passed / done)} left" if 0 < done < self._seconds else ""

    def breakdown(self) -> str:
        """Where the time went: seconds of all tasks of each kind, which overlap, of the whole command, and of it those
        in which no task was under way."""
        kinds = ", ".join(f"{kind} {minutes(self._spent[kind])}" for kind in KINDS if kind in self._spent)
        passed = time.monotonic() - self._started
        return (
            f"{self._ended} tasks in {minutes(passed)} ({kinds or 'none'} of tasks' own time; "
            f"{minutes(passed - covered(self._spans))} without any)"
        )


KINDS = ("search", "train", "predict", "score")


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that lie within at least one span from start to end."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def epoch_line(epoch: Epoch) -> str:
    """An epoch with a validation, in words."""
    return (
        f"epoch {epoch.epoch}, loss {epoch.loss:.4g}, validation {epoch.judged_by} {epoch.validation or 0:.3f}, "
        f"{epoch.images_per_second:.0f} img/s, waiting for data {epoch.waiting:.1%}"
    )


def minutes(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
