"""Where a training run reports to and resumes from: the interface, and the one for runs without Ray."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch.distributed as dist
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from posebed.scoring.result import Epoch
from posebed.training.checkpoint_integrity import damage, seal
from posebed.training.stored_checkpoints import StoredCheckpoints


@dataclass(frozen=True)
class Tick:
    """How far the run is; sent a few times a second at most."""

    epoch: int
    epochs: int
    step: int
    """Micro batches done in the whole run."""
    steps: int
    loss: float
    images_per_second: float


@dataclass(frozen=True)
class Reached:
    """How far a training was when it kept a checkpoint."""

    epochs: int
    """That are done."""
    part: float = 0.0
    """Of the next one."""
    validation: float | None = None
    """Of the last epoch that is done, where no other is begun and it was measured."""

    def __str__(self) -> str:
        return f"within epoch {self.epochs + 1}" if self.part else f"of epoch {self.epochs}"


class Log(Protocol):
    def latest(self) -> AbstractContextManager[Path | None]:
        """The newest undamaged checkpoint to resume from."""
        ...

    def due(self) -> bool:
        """Whether a checkpoint is wanted now; every rank calls it and is answered alike."""
        ...

    def leaving(self) -> bool:
        """Whether a machine of this training will be taken away, so that a checkpoint is wanted whether due or not;
        every rank calls it every few seconds, and the answer on rank 0 counts."""
        ...

    def left(self) -> None:
        """A checkpoint was kept since ``leaving``; every rank calls it. What is raised here ends the training, which is
        to go on elsewhere."""

    def fresh(self) -> AbstractContextManager[Path]:
        """An empty folder for this rank's share of a checkpoint."""
        ...

    def tick(self, tick: Tick) -> None:
        """Called on rank 0."""

    def epoch(self, epoch: Epoch) -> None:
        """One finished epoch; called on rank 0."""

    def keep(self, checkpoint: Path, reached: Reached) -> None:
        """Make the filled folder the newest checkpoint; every rank calls it."""

    def warn(self, line: str) -> None:
        """Something that went wrong and did not stop the training."""


class Bar:
    """A progress bar with epoch, loss, images per second and time left."""

    def __init__(self, title: str, show: bool = True) -> None:
        self._title = title
        columns: list[str | ProgressColumn] = [
            "{task.description}",
            BarColumn(24),
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            TextColumn("loss {task.fields[loss]:.3g}"),
            TextColumn("{task.fields[speed]:.0f} img/s"),
            _Left(),
        ]
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not show, transient=True)
        self._task = None

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, tick: Tick) -> None:
        # rich takes anything for its columns.
        shown: dict[str, Any] = {
            "epoch": tick.epoch,
            "epochs": tick.epochs,
            "loss": tick.loss,
            "speed": tick.images_per_second,
        }
        if self._task is None:
            self._task = self._progress.add_task(self._title, total=tick.steps, completed=tick.step, **shown)
        self._progress.update(self._task, total=tick.steps, completed=tick.step, **shown)

    def line(self, epoch: Epoch) -> None:
        """A line that stays, so that a run without a terminal still tells how it goes."""
        if epoch.validation is not None:
            self.say(
                f"{self._title}: epoch {epoch.epoch}, loss {epoch.loss:.4g}, "
                f"validation PCK@0.2 {epoch.validation:.3f}, {epoch.images_per_second:.0f} img/s, "
                f"waiting for data {epoch.waiting:.1%}"
            )

    def say(self, line: str) -> None:
        """Print above the bar."""
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


class _Left(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text("left ", style="progress.remaining") + super().render(task)


class FolderLog:
    """Checkpoints in a local folder that all ranks share; a progress bar where there is a terminal.

    Args:
        stored: where each is copied to, and found when this machine has none.
    """

    def __init__(self, folder: Path, title: str, stored: StoredCheckpoints | None = None) -> None:
        self._folder, self._rank, self._stored = folder, int(os.environ.get("RANK", "0")), stored
        self.leads = self._rank == 0
        """Whether this is the worker that writes."""
        self.bar = Bar(title, show=self.leads and sys.stderr.isatty())

    @contextmanager
    def latest(self) -> Generator[Path | None]:
        # A kill between the two renames of keep() leaves only the former one under its other name.
        there = [self._folder / name for name in ("checkpoint", "checkpoint.former") if (self._folder / name).is_dir()]
        newest = newest_undamaged(there, self.warn)
        if newest is None and self._stored:
            fetched = self._folder / "checkpoint.fetched"
            newest = fetched if self._stored.fetch(fetched, self.warn) else None
        yield newest

    def due(self) -> bool:
        return True

    def leaving(self) -> bool:
        return False

    def left(self) -> None: ...

    @contextmanager
    def fresh(self) -> Generator[Path]:
        unfinished = self._folder / "checkpoint.part"
        if self._rank == 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        dist.barrier()
        yield unfinished

    def tick(self, tick: Tick) -> None:
        self.bar(tick)

    def epoch(self, epoch: Epoch) -> None:
        self.bar.line(epoch)

    def keep(self, checkpoint: Path, reached: Reached) -> None:
        dist.barrier()
        if self._rank:
            return
        seal(checkpoint, rank=0)
        newest, former = self._folder / "checkpoint", self._folder / "checkpoint.former"
        if newest.exists():
            shutil.rmtree(former, ignore_errors=True)
            newest.rename(former)
        checkpoint.rename(newest)
        if self._stored:
            self._stored.put(newest)

    def warn(self, line: str) -> None:
        self.bar.say(line)


def newest_undamaged(checkpoints: Iterable[Path], warn: Callable[[str], None]) -> Path | None:
    """The first of the checkpoints, newest first, whose files are what they were."""
    for folder in checkpoints:
        broken = damage(folder)
        if not broken:
            return folder
        warn(f"the checkpoint {folder} is damaged in {broken} and is passed over")
    return None
