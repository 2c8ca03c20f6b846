"""Early stopping of poor trials: Ray Tune's schedulers, given the reports of earlier trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posebed.config import SearchConfig
from posebed.scoring.search_result import Measured, Trial

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler  # isort: skip


class _SparesFirst:
    """The run's own setting, to which the others are compared, is seen to its end."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(tune_controller, trial, result)  # pyright: ignore[reportAttributeAccessIssue]
        return TrialScheduler.CONTINUE if getattr(trial, "config", {}).get("number") == 0 else decision


class _Halving(_SparesFirst, ASHAScheduler): ...


class _Median(_SparesFirst, MedianStoppingRule): ...


def scheduler_of(settings: SearchConfig, epochs: int, trials: Sequence[Trial]) -> TrialScheduler:
    """Who stops trials early, knowing how the trials before went.

    Args:
        epochs: of a trial that is seen to its end.
    """
    judged: dict[str, Any] = {"time_attr": "epoch", "metric": "validation", "mode": "max"}
    if settings.scheduler == "asha" and settings.grace < epochs:
        scheduler: TrialScheduler = _Halving(
            **judged, max_t=epochs, grace_period=settings.grace, reduction_factor=settings.reduction
        )
    elif settings.scheduler == "median":
        never: Any = math.inf  # else it pauses trials while there are too few to judge them by
        scheduler = _Median(**judged, grace_period=settings.grace, min_samples_required=3, min_time_slice=never)
    else:
        return FIFOScheduler()
    for trial in trials:
        if not trial.source and trial.curve:
            _remember(scheduler, trial)
    return scheduler


@dataclass(frozen=True)
class _Former:
    """As much of a Tune trial as schedulers look at."""

    trial_id: str


def _remember(scheduler: TrialScheduler, trial: Trial) -> None:
    former: Any = _Former(f"former-{trial.number}")
    controller: Any = None
    scheduler.on_trial_add(controller, former)
    for measured in trial.curve[:-1]:
        scheduler.on_trial_result(controller, former, _tune_result(measured))
    scheduler.on_trial_complete(controller, former, _tune_result(trial.curve[-1]))


def _tune_result(measured: Measured) -> dict[str, Any]:
    return {"epoch": measured.epoch, "validation": measured.validation, "time_total_s": measured.device_seconds}
