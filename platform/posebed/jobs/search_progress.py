"""How a search publishes its progress: a line per ended trial, and how much of its budget is spent."""

from __future__ import annotations

from collections.abc import Sequence

from posebed.config import BudgetConfig
from posebed.jobs.progress import Publisher, TaskProgress
from posebed.jobs.suggest import Running
from posebed.scoring.search_result import Trial, spent


class SearchProgress:
    """Args:
    trials: that ended before.
    """

    def __init__(self, budget: BudgetConfig, trials: Sequence[Trial], publisher: Publisher) -> None:
        self._publisher = publisher
        self._limits = {name: limit for name, limit in budget.model_dump().items() if limit}
        self._ended = [t for t in trials if not t.source]
        if self._ended:
            self._say(f"goes on after {len(self._ended)} trials; {self._best_in_words()}")

    def trial(self, trial: Trial) -> None:
        self._ended.append(trial)
        of = f" of {self._limits['trials']}" if "trials" in self._limits else ""
        self._say(f"{len(self._ended)}{of}: trial {trial.number} {outcome(trial)}; {self._best_in_words()}")
        for note in trial.notes:
            self._say(f"trial {trial.number}: {note}")

    def running(self, trials: Sequence[Running]) -> None:
        used = spent(self._ended)
        self._publisher.kept(used["epochs"] + sum(t.epoch for t in trials))
        nearest = max(self._limits, key=lambda name: used[name] / self._limits[name])
        under = ", ".join(f"trial {t.number}{_reached(t)}" for t in trials[:3])
        text = f"{self._best_in_words()}; {under}"
        self._publisher.tick(TaskProgress(done=used[nearest], total=self._limits[nearest], text=text))

    def _say(self, line: str) -> None:
        self._publisher.line(line)

    def _best_in_words(self) -> str:
        done = [t for t in self._ended if t.state == "complete"]
        best = max(done, key=lambda t: t.validation or 0.0, default=None)
        return f"best {best.validation:.3f} (trial {best.number})" if best else "none finished yet"


def _reached(trial: Running) -> str:
    return f" at epoch {trial.epoch}/{trial.epochs}" if trial.epochs else ""


def outcome(trial: Trial) -> str:
    """How a trial ended, in words."""
    if trial.state == "failed":
        return f"failed: {trial.failed}"
    if trial.state == "pruned":
        return f"stopped after epoch {trial.epochs} at {trial.validation or 0:.3f}"
    return f"reached {trial.validation or 0:.3f}"
