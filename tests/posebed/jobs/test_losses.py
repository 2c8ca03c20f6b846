"""A job of several workers is given up when it loses them four times without a checkpoint in between."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.jobs.losses import Losses
from posebed.jobs.offers import RESTARTS
from posebed.jobs.worker import MachineLeaves

import ray  # isort: skip
from ray.exceptions import ActorDiedError  # isort: skip
from ray.train import Checkpoint, FailureConfig, RunConfig, ScalingConfig  # isort: skip
from ray.train.torch import TorchConfig, TorchTrainer  # isort: skip
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError  # isort: skip
from ray.train.v2.api.exceptions import TrainingFailedError  # isort: skip


def raised(error: Exception) -> Exception:
    return UserExceptionWithTraceback(error, f"Traceback\n{type(error).__name__}: {error}")


LOST = [
    {0: raised(RuntimeError("connection closed by peer")), 1: WorkerHealthCheckFailedError("lost", ActorDiedError())},
    {1: raised(ValueError("no"))},
]
ANNOUNCED = [
    {0: raised(MachineLeaves()), 1: raised(MachineLeaves())},
    {0: raised(RuntimeError("closed")), 1: WorkerHealthCheckFailedError("lost", ActorDiedError(cause=None))},
]
ANNOUNCED[1][1].health_check_failure._preempted = True  # as Ray says of a machine that was drained


@given(st.lists(st.sampled_from(["lost", "announced", "kept", "told"]), max_size=30), st.integers(0, 1))
def test_the_fourth_loss_since_the_last_checkpoint_ends_a_job(happenings: Sequence[str], which: int):
    losses, in_a_row = Losses(), 0
    for what in happenings:
        if what in ("kept", "told"):
            losses.after_report(None, [{}], Checkpoint("/somewhere") if what == "kept" else None)
            in_a_row = 0 if what == "kept" else in_a_row
        elif what == "announced":
            losses.after_exception(None, ANNOUNCED[which])
        elif (in_a_row := in_a_row + 1) <= RESTARTS:
            losses.after_exception(None, LOST[which])
        else:
            with pytest.raises(RuntimeError, match=f"failed {RESTARTS + 1} times without getting any further, at last"):
                losses.after_exception(None, LOST[which])
            return


@pytest.mark.slow
@pytest.mark.faults
def test_on_a_cluster_a_job_is_given_up_at_its_fourth_loss_since_a_checkpoint(tmp_path: Path):
    from posebed.jobs.cluster import connect

    # Defined here, so that it is sent as it stands: a worker may find another package named tests before this one.
    def steps(config: dict[str, object]) -> None:
        """Every start dies; the second one after it has kept a checkpoint."""
        rank = ray.train.get_context().get_world_rank()
        starts = Path(str(config["folder"])) / f"starts-{rank}"
        starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
        if len(starts.read_text()) == 2:
            checkpoint = Path(str(config["folder"])) / f"kept-{rank}"
            checkpoint.mkdir()
            (checkpoint / starts.name).touch()
            ray.train.report({}, checkpoint=Checkpoint.from_directory(checkpoint))
            ray.train.get_all_reported_checkpoints()  # returns once the controller knows of it
        time.sleep(3)  # a worker that dies while the group starts ends the job, as Ray does not try again then
        os.kill(os.getpid(), signal.SIGKILL)

    connect([])
    try:
        trainer = TorchTrainer(
            steps,
            train_loop_config={"folder": str(tmp_path)},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name="job",
                storage_path=str(tmp_path / "storage"),
                failure_config=FailureConfig(max_failures=-1),
                callbacks=[Losses()],
            ),
        )
        with pytest.raises(TrainingFailedError, match=f"failed {RESTARTS + 1} times without getting any further"):
            trainer.fit()
        assert len((tmp_path / "starts-0").read_text()) == RESTARTS + 2, "the first loss was before the checkpoint"
    finally:
        ray.shutdown()
