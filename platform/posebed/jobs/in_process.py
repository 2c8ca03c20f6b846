"""A training with one worker: Ray Train's trainer in its in-process form, which starts no process and stores nothing,
so that the training keeps its own checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from posebed.experiment import Experiment
from posebed.jobs.progress import Publisher, TaskProgress
from posebed.jobs.worker import MachineLeaves
from posebed.scoring.result import Epoch
from posebed.training.log import FolderLog, Reached, Tick
from posebed.training.stored_checkpoints import StoredCheckpoints

import ray  # isort: skip
from ray.exceptions import RayError  # isort: skip
from ray.train import ScalingConfig  # isort: skip
from ray.train.torch import TorchTrainer  # isort: skip


def train_in_process(experiment: Experiment, log: TaskLog, threads: int) -> Sequence[Epoch]:
    """Train to the end in this process and return the learning curve."""

    def train(config: dict[str, Any]) -> None:  # which is empty
        import torch

        from posebed.training.loop import train as loop
        from posebed.training.process_group import leave_process_group

        torch.set_num_threads(threads)
        try:
            curve.extend(loop(experiment, log))
        finally:
            leave_process_group()

    curve: list[Epoch] = []
    TorchTrainer(train, train_loop_config={}, scaling_config=ScalingConfig(num_workers=0)).fit()
    return curve


class TaskLog(FolderLog):
    """Checkpoints in a folder of the task's own, progress to the publisher."""

    def __init__(self, folder: Path, publisher: Publisher, stored: StoredCheckpoints | None = None) -> None:
        super().__init__(folder, publisher.task, stored)
        self._publisher = publisher

    def tick(self, tick: Tick) -> None:
        self._publisher.tick(task_progress(tick))

    def epoch(self, epoch: Epoch) -> None:
        self._publisher.epoch(epoch)

    def leaving(self) -> bool:
        with suppress(RayError):  # the actor's own machine may have been lost, or be out of reach for a while
            return ray.get(self._publisher.leaving(), timeout=3)
        return False

    def left(self) -> None:
        raise MachineLeaves

    def keep(self, checkpoint: Path, reached: Reached) -> None:
        super().keep(checkpoint, reached)
        self._publisher.kept(reached.epochs + reached.part)

    def warn(self, line: str) -> None:
        self._publisher.line(line)


def task_progress(tick: Tick) -> TaskProgress:
    """A tick as views show it: steps done and in total, and the rest in words."""
    text = f"epoch {tick.epoch}/{tick.epochs}, loss {tick.loss:.3g}, {tick.images_per_second:.0f} img/s"
    return TaskProgress(done=tick.step, total=tick.steps, text=text)
