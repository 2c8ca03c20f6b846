"""A trial on the cluster: in a warm actor that trains one setting after the other, or, with several workers, as a Ray
Train job of its own.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posebed.experiment import Experiment
from posebed.jobs.failures import reason
from posebed.scoring.result import Epoch

from ray import tune  # isort: skip

SAVE_SECONDS = 60.0
"""A trial keeps a checkpoint so often at most; short trials start anew when they are lost."""


class WarmTrial(tune.Trainable):
    """Trains a trial in this process, step by step from one validation to the next, and then the next trial.

    What goes wrong with a trial is told as its result, so that it is counted once and not tried again.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        started = time.perf_counter()
        # Schedulers look at epoch and validation of every trial that ends, of a failed one too.
        result: dict[str, Any] = {"failed": "", "done": False, "epoch": self._reached, "validation": math.nan}
        try:
            line = self._next_validation()
            if line.validation is None or math.isnan(line.validation):
                raise ValueError(f"the validation must be a number, but is {line.validation} in epoch {line.epoch}")
            self._reached = line.epoch
            result |= {"epoch": line.epoch, "validation": line.validation, "done": line.epoch == self._epochs}
            if self._cost and self._measured_cost is None:
                self._measured_cost = cost_of(self._experiment, self._cost)
        except Exception as error:
            result |= {"failed": reason(error), "done": True}
        result["notes"] = list(self._log.notes)
        if self._measured_cost is not None:
            result["cost"] = self._measured_cost
        if result["done"]:
            self._end()
        return result | {"seconds": time.perf_counter() - started}

    def cleanup(self) -> None:
        self._end()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the training keeps its own checkpoints in the trial's folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: the training finds its own."""

    def _begin(self, config: dict[str, Any]) -> None:
        os.environ.update(config["variables"])  # before DeepSpeed is imported
        import torch

        from posebed.jobs.trial_log import TrialLog
        from posebed.training.loop import epochs

        self._end()
        torch.set_num_threads(config["threads"])
        self._experiment: Experiment = config["experiment"]
        self._cost: str | None = config["cost"]
        self._epochs = self._experiment.train.epochs
        self._measured_cost, self._reached = None, 0
        self._log = TrialLog(Path(config["folder"]), self._experiment.key, SAVE_SECONDS)
        self._training = epochs(self._experiment, self._log)

    _training: Iterator[Epoch] | None = None

    def _next_validation(self) -> Epoch:
        """Train on to the next epoch that ends with a validation."""
        assert self._training
        return next(line for line in self._training if line.validation is not None)

    def _end(self) -> None:
        """Let go of the model and all that it holds, whether the training is at its end or not."""
        if self._training is not None:
            self._training = None
            gc.collect()


def train_with_workers(config: dict[str, Any]) -> None:
    """A trial with several workers: starts a job, which reports to the search what it reports to Ray Train."""
    from ray.tune.integration.ray_train import TuneReportCallback

    from posebed.jobs.launch import trainer_of

    experiment: Experiment = config["experiment"]
    try:
        if config["cost"]:
            tune.report({"cost": cost_of(experiment, config["cost"])})
        folder = Path(config["folder"])
        trainer_of(experiment, folder.name, str(folder.parent), config["share"], [TuneReportCallback()]).fit()
    except Exception as error:
        tune.report({"failed": reason(error), "epoch": 0, "validation": math.nan})


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
