"""The search algorithm that Ray Tune asks for trials and tells of their results: Optuna's, kept in a study.

It stands in the place of Ray's ``OptunaSearch``, which takes trials that were stopped early for finished ones, loses
those that were under way when its process died, and knows no budget but a number of trials.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from posebed.config import BudgetConfig, SearchConfig
from posebed.experiment import Experiment
from posebed.jobs.study import STATES, Note, note, noted, suggest
from posebed.jobs.trial_messages import Report
from posebed.scoring.search_result import Measured
from posebed.space import Space

from ray.tune.search import Searcher  # isort: skip


@dataclass
class Running:
    """A trial under way."""

    number: int
    params: Mapping[str, Any]
    epochs: int
    """Of a trial that is seen to its end."""
    workers: int
    curve: list[Measured] = field(default_factory=list[Measured])
    device_seconds: float = 0.0
    cost: float | None = None
    notes: tuple[str, ...] = ()
    failed: str = ""
    losses: int = 0
    """Of its process, since it last came further."""
    reported: float = field(default_factory=time.monotonic)

    @property
    def epoch(self) -> int:
        """How far it has come."""
        return self.curve[-1].epoch if self.curve else 0

    def described(self) -> Note:
        """What the study notes of it."""
        return Note(
            curve=tuple(self.curve),
            epochs=self.epoch,
            device_seconds=self.device_seconds,
            cost=self.cost,
            notes=self.notes,
            failed=self.failed,
        )

    def add(self, report: Report) -> bool:
        """Take a report in; return whether it is of a later epoch than those before."""
        now = time.monotonic()
        seconds = now - self.reported if report.seconds is None else report.seconds
        self.device_seconds += seconds * self.workers
        self.reported = now
        self.cost = self.cost if report.cost is None else report.cost
        self.notes = tuple(dict.fromkeys([*self.notes, *report.notes]))
        self.failed = report.failed
        epoch, validation = report.epoch or 0, report.validation
        if self.failed or validation is None or (self.curve and epoch <= self.epoch):
            return False
        if not math.isfinite(validation):
            self.failed = f"the validation must be a number, but is {validation} in epoch {epoch}"
            return False
        best = max([validation, *(m.validation for m in self.curve[-1:])])
        self.curve.append(Measured(epoch=epoch, validation=best, device_seconds=self.device_seconds))
        self.losses = 0
        return True


def _begun(optuna_trial: optuna.Trial, params: Mapping[str, Any], varied: Experiment, again: bool) -> Running:
    """A trial that starts, or goes on where a killed search left it."""
    before = noted(optuna_trial)
    notes = (f"the search ended after its epoch {before.epochs}; it goes on",) if again else ()
    return Running(
        number=optuna_trial.number,
        params=params,
        epochs=varied.train.epochs,
        workers=varied.train.most_workers,
        curve=[*before.curve],
        device_seconds=before.device_seconds,
        notes=(*before.notes, *notes),
    )


class StudySearch(Searcher):
    """Asks the study for trials until the budget is spent, and tells it how they went.

    Trials that a killed search left unfinished come first, under their own numbers, as do those that lost a process.
    """

    RESTARTS = 3
    """How often in a row a trial starts again after losing its process, without coming any further in between."""

    def __init__(
        self,
        experiment: Experiment,
        space: Space,
        settings: SearchConfig,
        study: optuna.Study,
        sampler: BaseSampler,
        configure: Callable[[Experiment, int], dict[str, Any]],
        ended: Callable[[int], None],
        heard: Callable[[Sequence[Running]], None] = lambda trials: None,
    ) -> None:
        """
        Args:
            configure: from a trial's experiment and number to what its actor is given.
            ended: called with the number of every trial that ended.
            heard: called with the trials under way whenever one has started or told something.
        """
        super().__init__(metric="validation", mode="max")
        study.sampler = sampler
        self._study, self._space_of_trials, self._experiment = study, space, experiment
        self._budget: BudgetConfig = settings.budget
        self._has_cost_objective = settings.cost is not None
        self._configure, self._ended, self._heard = configure, ended, heard
        self._optuna_trials: dict[str, optuna.Trial] = {}
        self.running: dict[str, Running] = {}
        self._lost: list[tuple[optuna.Trial, Running]] = []
        self._interrupted = [t for t in study.get_trials(deepcopy=False) if t.state is TrialState.RUNNING]
        done = [noted(t) for t in study.get_trials(deepcopy=False) if t.state in STATES]
        own = [about for about in done if not about.source]
        self._trials = len(own)
        self._epochs = sum(about.epochs for about in own)
        self._device_seconds = sum(about.device_seconds for about in own)

    def set_search_properties(self, metric: Any, mode: Any, config: dict[str, Any], **spec: Any) -> bool:
        return True

    # Ray's own types forget FINISHED.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What the trial's actor is given."""
        if self._lost:
            self._optuna_trials[trial_id], self.running[trial_id] = optuna_trial, trial = self._lost.pop(0)
            trial.reported = time.monotonic()
            return self._configure(self._experiment.with_overrides(trial.params), optuna_trial.number)
        while self._interrupted or not self._used_up():
            again = bool(self._interrupted)
            optuna_trial = self._next()
            params = suggest(optuna_trial, self._space_of_trials)
            try:
                varied = self._experiment.with_overrides(params)
            except ValueError as error:
                self._refuse(optuna_trial, str(error))
                continue
            self._optuna_trials[trial_id] = optuna_trial
            self.running[trial_id] = trial = _begun(optuna_trial, params, varied, again)
            note(optuna_trial, trial.described())
            self._heard(tuple(self.running.values()))
            return self._configure(varied, optuna_trial.number)
        # While some are under way, one of them may yet be lost and have to be started again.
        return None if self.running else Searcher.FINISHED

    def _next(self) -> optuna.Trial:
        if self._interrupted:
            # Optuna opens a trial by this number alone, and says it nowhere else.
            return optuna.Trial(self._study, self._interrupted.pop(0)._trial_id)  # pyright: ignore[reportPrivateUsage]
        return self._study.ask()

    def _used_up(self) -> bool:
        budget, running = self._budget, self.running.values()
        limits = (
            (budget.trials, self._trials + len(self.running)),
            (budget.epochs, self._epochs + sum(t.epochs for t in running)),
            (budget.device_seconds, self._device_seconds + sum(t.device_seconds for t in running)),
        )
        return any(limit is not None and used >= limit for limit, used in limits)

    @property
    def finished(self) -> bool:
        """Whether the budget is spent and no trial waits to go on."""
        return not (self.running or self._lost or self._interrupted) and self._used_up()

    def _refuse(self, optuna_trial: optuna.Trial, why: str) -> None:
        """A setting that the sections refuse is a failed trial that cost nothing."""
        note(optuna_trial, Note(failed=why))
        self._study.tell(optuna_trial, state=TrialState.FAIL)
        self._trials += 1
        self._ended(optuna_trial.number)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        trial, optuna_trial = self.running[trial_id], self._optuna_trials[trial_id]
        if trial.add(Report.from_tune(result)):
            newest = trial.curve[-1]
            if not self._has_cost_objective:
                optuna_trial.report(newest.validation, newest.epoch)
            note(optuna_trial, trial.described())
        self._heard(tuple(self.running.values()))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id not in self.running:
            return  # Tune tells of an end twice where stopping the actor fails
        optuna_trial, trial = self._optuna_trials[trial_id], self.running[trial_id]
        if result and trial.add(Report.from_tune(result)) and not self._has_cost_objective:
            optuna_trial.report(trial.curve[-1].validation, trial.curve[-1].epoch)
        if error and not trial.failed:
            trial.losses += 1
            if trial.losses <= self.RESTARTS:
                return self._again(trial_id, trial)
            trial.failed = f"its process was lost {trial.losses} times without coming any further"
        if self._has_cost_objective and trial.cost is None and trial.epoch >= trial.epochs and not trial.failed:
            trial.failed = "its cost must be measured, but was not"
        note(optuna_trial, trial.described())
        if trial.failed or not trial.curve:
            self._study.tell(optuna_trial, state=TrialState.FAIL)
        elif trial.epoch < trial.epochs:
            self._study.tell(optuna_trial, state=TrialState.PRUNED)
        else:
            cost = [] if trial.cost is None else [trial.cost]
            self._study.tell(optuna_trial, [trial.curve[-1].validation, *(cost if self._has_cost_objective else [])])
        del self.running[trial_id], self._optuna_trials[trial_id]
        self._trials += 1
        self._epochs += trial.epoch
        self._device_seconds += trial.device_seconds
        self._ended(trial.number)

    def _again(self, trial_id: str, trial: Running) -> None:
        """A trial whose process or machine was lost starts again, from its checkpoint if it has one."""
        line = f"its process was lost after epoch {trial.epoch}; it starts again"
        trial.notes += (line,)
        optuna_trial = self._optuna_trials.pop(trial_id)
        note(optuna_trial, trial.described())
        self._lost.append((optuna_trial, self.running.pop(trial_id)))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study holds what must outlive this process."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is opened anew."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray writes its tuner down for a restore that is never made."""
        return {}
