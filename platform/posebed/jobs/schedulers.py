"""Early stopping of poor trials: Ray Tune's schedulers, given the reports of earlier trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posebed.config import SearchConfig
from posebed.jobs.trial_messages import Report
from posebed.scoring.search_result import Measured, Trial

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler  # isort: skip


class _KeepsPlaces:
    """A process that becomes free takes the next trial. Tune's own schedulers give it one whose process is starting;
    that one ends when it has started, and where trials are shorter than a start, one process trains them all. No trial
    is ever paused, and those that wait are started by Tune itself."""

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        return None


class _SparesFirst(_KeepsPlaces):
    """The run's own setting, to which the others are compared, is seen to its end."""

    # Any: the schedulers below are what is above this class, and Ray has no type for reports.

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        scheduler: Any = super()
        decision: str = scheduler.on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if getattr(trial, "config", {}).get("number") == 0 else decision


class _Halving(_SparesFirst, ASHAScheduler): ...


class _Median(_SparesFirst, MedianStoppingRule): ...


class _Endless(_KeepsPlaces, FIFOScheduler): ...


def scheduler_of(settings: SearchConfig, epochs: int, trials: Sequence[Trial]) -> TrialScheduler:
    """Who stops trials early, knowing how the trials before went.

    Args:
        epochs: of a trial that is seen to its end; 0 where none is trained, and none can be stopped early.
    """
    if settings.scheduler == "asha" and settings.grace < epochs:
        scheduler: TrialScheduler = _Halving(
            time_attr="epoch",
            metric="validation",
            mode="max",
            max_t=epochs,
            grace_period=settings.grace,
            reduction_factor=settings.reduction,
        )
    elif settings.scheduler == "median" and epochs:
        never: Any = math.inf  # else it pauses trials while there are too few to judge them by
        scheduler = _Median(
            time_attr="epoch",
            metric="validation",
            mode="max",
            grace_period=settings.grace,
            min_samples_required=3,
            min_time_slice=never,
        )
    else:
        return _Endless()
    for trial in trials:
        if not trial.source and trial.curve:
            _remember(scheduler, trial)
    return scheduler


@dataclass(frozen=True)
class _Former:
    """As much of a Tune trial as schedulers look at."""

    trial_id: str


def _remember(scheduler: TrialScheduler, trial: Trial) -> None:
    judge: Any = scheduler  # which looks at no more than this of trials, and not at Tune's controller
    former = _Former(f"former-{trial.number}")
    judge.on_trial_add(None, former)
    for measured in trial.curve[:-1]:
        judge.on_trial_result(None, former, _tune_result(measured))
    judge.on_trial_complete(None, former, _tune_result(trial.curve[-1]))


def _tune_result(measured: Measured) -> dict[str, Any]:
    report = Report(epoch=measured.epoch, validation=measured.validation)
    return report.for_tune() | {"time_total_s": measured.device_seconds}
