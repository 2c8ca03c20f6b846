"""An Experiment with several workers as a Ray Train job: start it, bring its outcome home.

The workers write nothing but their checkpoints. A job is named by its experiment's
fingerprint, so that the same command after a kill continues the same job.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

from posebed.experiment import Experiment
from posebed.jobs.cluster import worker_variables
from posebed.jobs.in_process import task_progress
from posebed.jobs.losses import Losses
from posebed.jobs.machines import living_nodes
from posebed.jobs.progress import Publisher
from posebed.jobs.room import Share
from posebed.jobs.trial_messages import Report
from posebed.jobs.worker import MachineLeaves
from posebed.jobs.workplace import FetchedFiles, Workplace
from posebed.leases import JOBS
from posebed.places import RAY_JOBS
from posebed.scoring.result import Epoch
from posebed.training.checkpoint_integrity import seal
from posebed.training.log import Reached, Tick, newest_undamaged
from posebed.training.run_folder import FILES

import ray  # isort: skip  # after cluster, which sets the variables that Ray reads
import ray.train  # isort: skip
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback  # isort: skip
from ray.train.torch import TorchConfig, TorchTrainer  # isort: skip


def launch(
    experiment: Experiment, publisher: Publisher, workplace: Workplace, share: Share, workers: int, out: Path
) -> None:
    """Train on several workers of the cluster; write ``best.safetensors``, ``last.safetensors`` and ``curve.json``.

    Args:
        workplace: of the workers.
        share: what each worker takes.
        workers: that there is room for.
        out: a folder.

    Raises:
        ValueError: the cluster needs a storage that its nodes share.
    """
    if workers > experiment.train.fewest_workers:
        # Just after a loss Ray counts the lost machine too; it counts again when there was no place for so long.
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = "30"
    trainer = trainer_of(
        experiment, name=experiment.job, workplace=workplace, share=share, publisher=publisher, workers=workers
    )
    checkpoint = trainer.fit().checkpoint
    if checkpoint is None:
        raise RuntimeError(f"the job of {experiment.name} must leave a checkpoint, but left none")
    with checkpoint.as_directory() as folder:
        for file in FILES:
            shutil.copy2(Path(folder) / file, out / file)


@dataclass(frozen=True)
class _Work:
    """What every worker is given."""

    experiment: Experiment
    workplace: Workplace
    publisher: Publisher | None
    threads: int


def trainer_of(
    experiment: Experiment,
    *,
    name: str,
    workplace: Workplace,
    group: str = "",
    share: Share,
    callbacks: Sequence[UserCallback] = (),
    publisher: Publisher | None = None,
    workers: int | None = None,
) -> TorchTrainer:
    """The experiment as a Ray Train job that is not started yet; a job of the same name in its storage is resumed.

    Args:
        group: folder of the storage that the job lies in, beside others of the same search.
        publisher: to which rank 0 tells how far it is, if to any.
        workers: that there is room for; by default the most. Where the training does with fewer, it goes on with what
            there is when it loses some, and Ray looks every minute whether they are back.
    """
    storage, filesystem = _checkpoints(workplace, group)
    most, fewest = workers or experiment.train.most_workers, experiment.train.fewest_workers
    return TorchTrainer(
        _work,
        train_loop_config={"work": _Work(experiment, workplace, publisher, threads=share.cpus)},
        torch_config=TorchConfig(backend=None if share.accelerator else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=(fewest, most) if fewest < most else most,
            use_gpu=share.accelerator,
            resources_per_worker={"CPU": share.cpus} | ({"GPU": 1} if share.accelerator else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=storage,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=-1),  # see Losses
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=[Losses(), *callbacks],
            worker_runtime_env={"env_vars": worker_variables(share.accelerator)},
        ),
    )


def _checkpoints(workplace: Workplace, group: str) -> tuple[str, FileSystem | None]:
    """Where the checkpoints of jobs of a group lie: path and file system.

    Raises:
        ValueError: the cluster has several machines, but no storage.
    """
    if isinstance(workplace, FetchedFiles):
        storage, folder = workplace.storage, f"{JOBS}/{group}".rstrip("/")
        return storage.path(folder), None if storage.local else PyFileSystem(FSSpecHandler(storage.system))
    if len({node.address for node in living_nodes()}) > 1:
        raise ValueError(
            "POSEBED_STORAGE must name a folder or address that every node reaches, since the cluster has several "
            "machines, but it is not set"
        )
    return str((workplace.folder / RAY_JOBS / group).absolute()), None


def _work(config: dict[str, _Work]) -> None:
    """Run in every worker; the imports are heavy and belong to the worker alone."""
    import torch

    from posebed.training.loop import train

    work = config["work"]
    torch.set_num_threads(work.threads)
    with work.workplace.entered():
        train(work.experiment, RayLog(work.publisher))


class RayLog:
    """Checkpoints through Ray Train, progress to the publisher, if there is one."""

    def __init__(self, publisher: Publisher | None) -> None:
        self._publisher = publisher

    @contextmanager
    def latest(self) -> Generator[Path | None]:
        newest = ray.train.get_checkpoint()
        if newest is None:
            yield None
            return
        former = [report.checkpoint for report in reversed(ray.train.get_all_reported_checkpoints())]
        for checkpoint in (newest, *(other for other in former if other != newest)):
            with checkpoint.as_directory() as folder:
                whole = newest_undamaged([Path(folder)], self.warn)
                if whole:
                    yield whole
                    return
        yield None

    def due(self) -> bool:
        return True

    def leaving(self) -> bool:
        return ray.train.get_preemption_info() is not None

    @contextmanager
    def fresh(self) -> Generator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def tick(self, tick: Tick) -> None:
        if self._publisher:
            self._publisher.tick(task_progress(tick))

    def epoch(self, epoch: Epoch) -> None:
        if self._publisher:
            self._publisher.epoch(epoch)

    def left(self) -> None:
        raise MachineLeaves  # a worker that returned would be taken for one that is done

    def keep(self, checkpoint: Path, reached: Reached) -> None:
        rank = ray.train.get_context().get_world_rank()
        seal(checkpoint, rank)
        kept = Checkpoint.from_directory(checkpoint)  # pyright: ignore[reportUnknownMemberType]
        ray.train.report(Report(epoch=reached.epochs, validation=reached.validation).for_tune(), checkpoint=kept)
        if self._publisher and rank == 0:
            self._publisher.kept(reached.epochs + reached.part)

    def warn(self, line: str) -> None:
        if self._publisher:
            self._publisher.line(line)
