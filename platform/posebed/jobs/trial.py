"""A trial on the cluster: in a warm actor that trains one setting after the other, or, with several workers, as a Ray
Train job of its own.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from posebed.experiment import Experiment
from posebed.jobs.failures import reason
from posebed.jobs.trial_messages import Assignment, Report
from posebed.places import RAY_JOBS

if TYPE_CHECKING:
    from posebed.jobs.trial_log import TrialLog

from ray import tune  # isort: skip

SAVE_SECONDS = 60.0
"""A trial keeps a checkpoint so often at most; short trials start anew when they are lost."""


class WarmTrial(tune.Trainable):
    """Trains a trial in this process, step by step from one validation to the next, and then the next trial.

    What goes wrong with a trial is told as its result, so that it is counted once and not tried again.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._begin(Assignment.from_tune(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(Assignment.from_tune(new_config))
        return True

    def step(self) -> dict[str, Any]:
        started, assigned = time.perf_counter(), self._assigned
        validation, failed = math.nan, ""
        try:
            self._reached, validation = self._next_validation()
            if math.isnan(validation):
                raise ValueError(f"the validation must be a number, but is {validation} in epoch {self._reached}")
            if assigned.cost and self._measured_cost is None:
                self._measured_cost = cost_of(assigned.experiment, assigned.cost)
        except Exception as error:
            failed = reason(error)
        done = bool(failed) or self._reached == assigned.experiment.train.epochs
        if done:
            self._end()
        # Schedulers look at epoch and validation of every trial that ends, of a failed one too.
        report = Report(
            epoch=self._reached,
            validation=validation,
            seconds=time.perf_counter() - started,
            cost=self._measured_cost,
            notes=tuple(self._log.notes),
            failed=failed,
            done=done,
        )
        return report.for_tune()

    def cleanup(self) -> None:
        self._end()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the training keeps its own checkpoints in the trial's folder."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: the training finds its own."""

    def _begin(self, assigned: Assignment) -> None:
        os.environ.update(assigned.variables)  # before DeepSpeed is imported
        import torch

        from posebed.jobs.trial_log import TrialLog

        self._end()
        torch.set_num_threads(assigned.share.cpus)
        self._assigned, self._reached = assigned, 0
        self._measured_cost: float | None = None
        self._uses.enter_context(assigned.workplace.entered())
        job = f"{assigned.study}/{assigned.name}"
        stored = assigned.workplace.stored_checkpoints(job)
        self._log = TrialLog(RAY_JOBS / job, assigned.experiment.key, SAVE_SECONDS, stored)
        self._training = validations(assigned.experiment, self._log)

    _training: Iterator[tuple[int, float]] | None = None
    _uses = ExitStack()

    def _next_validation(self) -> tuple[int, float]:
        """Train on to the next epoch that ends with a validation; that epoch and the validation."""
        assert self._training
        return next(self._training)

    def _end(self) -> None:
        """Let go of the model and all that it holds, whether the training is at its end or not."""
        if self._training is not None:
            self._training = None
            gc.collect()
        self._uses.close()


def validations(experiment: Experiment, log: TrialLog) -> Iterator[tuple[int, float]]:
    """Epochs that end with a validation, and that; of a model that is not trained one validation, after epoch 0."""
    if not experiment.spec.trained:
        from posebed.inference.untrained_validation import untrained_validation

        yield 0, untrained_validation(experiment)
        return
    from posebed.training.loop import epochs

    for line in epochs(experiment, log):
        if line.validation is not None:
            yield line.epoch, line.validation


def train_with_workers(config: dict[str, Any]) -> None:
    """A trial with several workers: starts a job, which reports to the search what it reports to Ray Train."""
    from ray.tune.integration.ray_train import TuneReportCallback

    from posebed.jobs.launch import trainer_of

    assigned = Assignment.from_tune(config)
    try:
        if assigned.cost:
            with assigned.workplace.entered():
                cost = cost_of(assigned.experiment, assigned.cost)
            _tell(Report(cost=cost))
        trainer_of(
            assigned.experiment,
            name=assigned.name,
            workplace=assigned.workplace,
            group=assigned.study,
            share=assigned.share,
            callbacks=[TuneReportCallback()],
        ).fit()
    except Exception as error:
        _tell(Report(epoch=0, validation=math.nan, failed=reason(error)))


def _tell(report: Report) -> None:
    tune.report(report.for_tune())  # pyright: ignore[reportUnknownMemberType]


def cost_of(experiment: Experiment, cost: str) -> float:
    """The second objective of an experiment's model: ``gflops`` for one query, or its ``parameters``.

    Raises:
        ValueError: it cannot be counted. It never counts as nothing, which would be the best there is.
    """
    import torch

    from posebed.data.pack import Pack
    from posebed.data.queries import queries_of, query_batches
    from posebed.data.splits import read_split
    from posebed.inference.predict import gflops
    from posebed.training.transfer import initial_model

    pack = Pack.open(experiment.pack_folder)
    model, _ = initial_model(experiment, pack.setting())
    if cost == "parameters":
        return float(sum(p.numel() for p in model.parameters()))
    first = queries_of(experiment.task, pack, read_split(experiment.split_folder), "val")[:1]
    (batch,) = query_batches(pack, [first], torch.device("cpu"))
    with torch.no_grad():
        counted = gflops(model.eval(), batch)
    if counted is None:
        raise ValueError("the cost gflops must be counted, but the model has no operation that is; choose parameters")
    return counted
