"""An Experiment as a Ray Train job: start it, show its progress, bring its outcome home.

The driver never trains and the workers write nothing but their checkpoints. A job is named by its experiment's
fingerprint, so that the same command after a kill continues the same job.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from posebed.experiment import Experiment
from posebed.jobs.cluster import Share, connect, share_for, worker_variables
from posebed.jobs.progress import Progress
from posebed.scoring.result import Epoch
from posebed.training.checkpoint_integrity import seal
from posebed.training.log import Bar, Tick, newest_undamaged
from posebed.training.run_folder import FILES

import ray  # isort: skip  # after cluster, which sets the variables that Ray reads
import ray.train  # isort: skip
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback  # isort: skip
from ray.train.torch import TorchConfig, TorchTrainer  # isort: skip

RESTARTS = 3
"""How often a job starts again by itself after losing a worker."""
POLL_SECONDS = 0.3


def launch(
    experiment: Experiment, packages: Sequence[str], storage: str | None, on_epoch: Callable[[Epoch], None]
) -> Path:
    """Train on the cluster; returns a new folder with ``best.safetensors``, ``last.safetensors``, ``curve.json``.

    Args:
        packages: import packages that the workers of a foreign cluster are sent.
        storage: folder or address that every node reaches; None for ``.posebed/ray`` on this machine.
        on_epoch: called on this process with every finished epoch.

    Raises:
        ValueError: the cluster cannot hold the job, or needs a storage that its nodes share.
    """
    connect(packages)
    share = share_for(experiment.train.workers)
    progress: Any = ray.remote(num_cpus=0)(Progress).remote()
    trainer = trainer_of(experiment, job_name(experiment), storage or own_storage(), share, progress=progress)
    with _shown(progress, experiment.key, on_epoch):
        checkpoint = trainer.fit().checkpoint
    if checkpoint is None:
        raise RuntimeError(f"the job of {experiment.key} must leave a checkpoint, but left none")
    home = Path(tempfile.mkdtemp(prefix="posebed-"))
    with checkpoint.as_directory() as folder:
        for file in FILES:
            shutil.copy2(Path(folder) / file, home / file)
    return home


def trainer_of(
    experiment: Experiment,
    name: str,
    storage: str,
    share: Share,
    callbacks: Sequence[UserCallback] = (),
    progress: Any = None,
) -> TorchTrainer:
    """The experiment as a Ray Train job that is not started yet; a job of the same name in its storage is resumed.

    Args:
        progress: handle of the actor that the workers publish progress to, if any.
    """
    return TorchTrainer(
        _work,
        train_loop_config={"experiment": experiment, "progress": progress, "threads": share.cpus},
        torch_config=TorchConfig(backend=None if share.accelerator else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=experiment.train.workers,
            use_gpu=share.accelerator,
            resources_per_worker={"CPU": share.cpus} | ({"GPU": 1} if share.accelerator else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=storage,
            failure_config=FailureConfig(max_failures=RESTARTS),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=[*callbacks],
            worker_runtime_env={"env_vars": worker_variables(share.accelerator)},
        ),
    )


def job_name(experiment: Experiment) -> str:
    return f"{experiment.key}-{experiment.fingerprint[:16]}"


def forget(experiment: Experiment, storage: str | None) -> None:
    """Remove a finished job's checkpoints from this machine's own storage; a shared one is its owner's to clear."""
    if storage is None:
        shutil.rmtree(Path(own_storage()) / job_name(experiment), ignore_errors=True)


def own_storage() -> str:
    if len({node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}) > 1:
        raise ValueError(
            "POSEBED_STORAGE must name a folder or address that every node reaches, since the cluster has several "
            "machines, but it is not set"
        )
    return str(Path(".posebed/ray").absolute())


def _work(config: dict[str, Any]) -> None:
    """What every worker runs; the imports are heavy and belong to the worker alone."""
    import torch

    from posebed.training.loop import train

    torch.set_num_threads(config["threads"])
    train(config["experiment"], RayLog(config["progress"]))


class RayLog:
    """Checkpoints through Ray Train, progress through the driver's progress actor."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress

    @contextmanager
    def latest(self) -> Iterator[Path | None]:
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

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def tick(self, tick: Tick) -> None:
        if self._progress:
            self._progress.tick.remote(asdict(tick))

    def epoch(self, epoch: Epoch) -> None:
        if self._progress:
            self._progress.epoch.remote(epoch.model_dump())

    def keep(self, checkpoint: Path, epoch: Epoch) -> None:
        seal(checkpoint, ray.train.get_context().get_world_rank())
        measured = {"epoch": epoch.epoch, "validation": epoch.validation}
        ray.train.report(measured, checkpoint=Checkpoint.from_directory(checkpoint))

    def warn(self, line: str) -> None:
        if self._progress:
            self._progress.warn.remote(line)


@contextmanager
def _shown(progress: Any, title: str, on_epoch: Callable[[Epoch], None]) -> Iterator[None]:
    """Read the progress actor on a second thread while the job runs, since Ray wants the first for its signals."""
    done = threading.Event()
    failed: list[BaseException] = []

    def watch() -> None:
        epochs_seen = warnings_seen = 0
        try:
            with Bar(title, show=sys.stderr.isatty()) as bar:
                finished = False
                while not finished:
                    finished = done.wait(POLL_SECONDS)
                    tick, epochs, warnings = ray.get(progress.read.remote(epochs_seen, warnings_seen))
                    epochs_seen, warnings_seen = epochs_seen + len(epochs), warnings_seen + len(warnings)
                    for warning in warnings:
                        bar.say(warning)
                    if tick:
                        bar(Tick(**tick))
                    for line in map(Epoch.model_validate, epochs):
                        bar.line(line)
                        on_epoch(line)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=10)
    if failed:
        raise failed[0]
