"""How a search shows itself: a live table on a terminal, a line per ended trial elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from posebed.config import BudgetConfig
from posebed.jobs.suggest import Running
from posebed.scoring.search_result import Trial, spent

SHOWN = 8
"""Trials under way that the table lists."""


class SearchView:
    """Best so far, running trials, what is spent and how long the rest will take."""

    def __init__(self, title: str, budget: BudgetConfig, trials: Sequence[Trial]) -> None:
        """
        Args:
            trials: that ended before.
        """
        self._title, self._budget = title, budget
        self._ended = [t for t in trials if not t.source]
        self._before, self._started = self._used(), time.monotonic()
        self._running: tuple[Running, ...] = ()
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if sys.stderr.isatty() else None

    def __enter__(self) -> SearchView:
        if self._ended:
            self._say(f"{self._title}: goes on after {len(self._ended)} trials; {self._best_in_words()}")
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def trial(self, trial: Trial) -> None:
        self._ended.append(trial)
        self._say(f"{self._title}: {self._place()} {outcome(trial)}; {self._best_in_words()}{self._left()}")
        for note in trial.notes:
            self._say(f"{self._title}: trial {trial.number}: {note}")

    def running(self, trials: Sequence[Running]) -> None:
        self._running = tuple(trials)
        if self._live:
            self._live.update(self._table(), refresh=True)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _place(self) -> str:
        of = f" of {self._budget.trials}" if self._budget.trials else ""
        return f"{len(self._ended)}{of}: trial {self._ended[-1].number}"

    def _best(self) -> Trial | None:
        done = [t for t in self._ended if t.state == "complete"]
        return max(done, key=lambda t: t.validation or 0.0, default=None)

    def _best_in_words(self) -> str:
        best = self._best()
        return f"best {best.validation:.3f} (trial {best.number})" if best else "none finished yet"

    def _used(self) -> Mapping[str, float]:
        return spent(self._ended)

    def _left(self) -> str:
        """How long the rest of the budget will take at the pace of this session."""
        limits = {name: limit for name, limit in self._budget.model_dump().items() if limit}
        used, passed = self._used(), time.monotonic() - self._started
        pace = {name: (used[name] - self._before[name]) / passed for name in limits}
        left = [(limit - used[name]) / pace[name] for name, limit in limits.items() if pace[name]]
        return f", about {_minutes(min(left))} left" if left and min(left) > 0 else ""

    def _table(self) -> Group:
        table = Table("trial", "epoch", "validation", "device-seconds", box=None, header_style="dim")
        for trial in self._running[:SHOWN]:
            validation = f"{trial.curve[-1].validation:.3f}" if trial.curve else "–"
            table.add_row(str(trial.number), f"{trial.epoch}/{trial.epochs}", validation, f"{trial.device_seconds:.0f}")
        more = len(self._running) - SHOWN
        if more > 0:
            table.add_row(f"and {more} more")
        used = self._used()
        head = f"{self._title}: {len(self._ended)} ended, {used['device_seconds']:.0f} device-seconds, "
        return Group(Text(f"{head}{self._best_in_words()}{self._left()}"), table)


def outcome(trial: Trial) -> str:
    """How a trial ended, in words."""
    if trial.state == "failed":
        return f"failed: {trial.failed}"
    if trial.state == "pruned":
        return f"stopped after epoch {trial.epochs} at {trial.validation or 0:.3f}"
    return f"reached {trial.validation or 0:.3f}"


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
