"""The tracker's mirror of results, in a real MLflow store on sqlite."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from command_line import run_at_once
from posebed.reporting.tracking import EXPERIMENT, FINGERPRINT, PARENT, Tracker
from posebed.scoring.result import Cost, Epoch, Provenance, Result, Score

pytestmark = pytest.mark.slow


def epoch(number: int) -> Epoch:
    return Epoch(
        epoch=number,
        loss=1 / number,
        losses={"heatmap": 1 / number},
        learning_rate=0.1,
        seconds=2.0,
        images_per_second=50.0,
        waiting=0.01,
        validation=number / 10 if number % 2 == 0 else None,
        system={"cpu_percent": 50.0},
    )


def result(fingerprint: str = "f" * 64, epochs: int = 4) -> Result:
    return Result(
        key="baseline",
        fingerprint=fingerprint,
        model="simple_baseline",
        task="category_specific",
        data="zoo",
        split="zoo",
        pack="small",
        seed=0,
        config={"backbone": "resnet18", "head": {"channels": 8}},
        train={"lr": 0.1},
        protocol={"boxes": "ground truth"},
        instances=5,
        images=5,
        queries=5,
        without_keypoints=0,
        scores=[Score(metric="PCK@0.2", definition="share", value=0.5, low=0.4, high=0.6)],
        by_category={"fox": {"PCK@0.2": 0.5}},
        by_keypoint={"fox": {"nose": 0.5}},
        curve=[epoch(n) for n in range(1, epochs + 1)],
        cost=Cost(parameters=10, gflops=None, ms_per_image=1.0, train_seconds=8.0, device="cpu"),
        provenance=Provenance(
            commit="c" * 40,
            dirty=False,
            data_hash="d" * 32 + ".dir",
            split_hash="s",
            episodes_hash=None,
            lock_hash="l",
            checkpoint_hash="k",
            checkpoint="runs/baseline/train/best.safetensors",
            software={"torch": "2"},
            hardware="cpu",
            created="2026-01-01T00:00:00+00:00",
        ),
    )


def everything(uri: str) -> dict:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    return {
        run.data.tags[FINGERPRINT]: {
            "status": run.info.status,
            "params": run.data.params,
            "metrics": {
                n: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, n)] for n in run.data.metrics
            },
            "data": [(d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs],
            "commit": run.data.tags["mlflow.source.git.commit"],
        }
        for run in runs
    }


def test_a_result_is_mirrored_with_params_curve_scores_data_and_origin(uri: str):
    Tracker(uri).log_result(result())
    (run,) = everything(uri).values()
    assert run["status"] == "FINISHED"
    assert run["params"]["config.head.channels"] == "8"
    assert run["metrics"]["loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert run["metrics"]["validation/PCK_0.2"] == [(2, 0.2), (4, 0.4)]
    assert run["metrics"]["PCK_0.2/low"] == [(4, 0.4)]
    assert run["data"] == [("zoo", "d" * 32 + ".dir")]
    assert run["commit"] == "c" * 40


def test_logging_again_changes_nothing(uri: str):
    tracker = Tracker(uri)
    tracker.log_result(result())
    once = everything(uri)
    Tracker(uri).log_result(result())
    assert everything(uri) == once


def test_predictions_are_written_once_and_again_where_they_changed(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table, folder = tmp_path / "predictions.parquet", tmp_path / "fetched"
    folder.mkdir()
    table.write_bytes(b"first")
    run = Tracker(uri).log_result(result())
    assert Tracker(uri).predictions(run, folder) is None
    written: list[str] = []
    log = MlflowClient.log_artifact

    def counted(client: MlflowClient, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        written.append(Path(local_path).name)
        log(client, run_id, local_path, artifact_path)

    monkeypatch.setattr(MlflowClient, "log_artifact", counted)
    tracker = Tracker(uri)
    for content in (b"first", b"first", b"second"):
        table.write_bytes(content)
        tracker.log_result(result(), table)
        fetched = tracker.predictions(run, folder)
        assert fetched and fetched.is_relative_to(folder) and fetched.read_bytes() == content
    assert written.count(table.name) == 2


def test_a_lost_tracker_is_refilled_to_what_it_was(uri: str, tmp_path: Path):
    tracker = Tracker(uri)
    run = tracker.open("baseline", "f" * 64)
    for number in range(1, 5):
        tracker.log_curve(run, [epoch(number)])
    tracker.log_result(result())
    other = f"sqlite:///{tmp_path / 'other.db'}"
    Tracker(other).log_result(result())
    assert everything(other) == everything(uri)


def test_a_resumed_run_writes_only_the_epochs_that_are_missing(uri: str):
    tracker = Tracker(uri)
    run = tracker.open("baseline", "f" * 64)
    tracker.log_curve(run, [epoch(1), epoch(2)])
    assert Tracker(uri).open("baseline", "f" * 64) == run
    tracker.log_curve(run, [epoch(2), epoch(3)])
    tracker.log_result(result())
    assert [step for step, _ in everything(uri)["f" * 64]["metrics"]["loss"]] == [1, 2, 3, 4]


def test_runs_of_different_fingerprints_stay_separate(uri: str):
    tracker = Tracker(uri)
    assert tracker.log_result(result("a" * 64)) != tracker.log_result(result("b" * 64))
    assert len(everything(uri)) == 2


def members_and_run(*values: float) -> tuple[Result, list[Result]]:
    """A run with a member per value, and their own results."""
    members = [
        result(str(seed) * 64).model_copy(
            update={
                "seed": seed,
                "seeds": (seed,),
                "scores": [Score(metric="PCK@0.2", definition="share", value=value, low=0, high=1)],
            }
        )
        for seed, value in enumerate(values)
    ]
    mean = Score(metric="PCK@0.2", definition="share", value=0.5, spread=0.25, low=0.25, high=0.75)
    whole = tuple(member.as_member() for member in members)
    seeds = tuple(range(len(values)))
    return result().model_copy(update={"seeds": seeds, "members": whole, "scores": [mean]}), members


def test_a_run_with_members_is_a_parent_with_nested_runs(uri: str):
    run, members = members_and_run(0.25, 0.75)
    parent = Tracker(uri).log_members(run, [(member, None) for member in members])
    whole = everything(uri)
    assert whole.keys() == {"f" * 64, "0" * 64, "1" * 64}
    assert whole["f" * 64]["params"]["seeds"] == "0 1" and whole["1" * 64]["params"]["seed"] == "1"
    assert whole["f" * 64]["metrics"]["PCK_0.2/spread"] == [(4, 0.25)]
    assert [whole[str(i) * 64]["metrics"]["PCK_0.2"] for i in (0, 1)] == [[(4, 0.25)], [(4, 0.75)]]
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    nested = client.search_runs([experiment.experiment_id], f"tags.`{PARENT}` = '{parent}'")
    assert {found.data.tags[FINGERPRINT] for found in nested} == {"0" * 64, "1" * 64}
    assert [tracked.run for _, tracked in Tracker(uri).results()] == [parent], "members are no runs of the report"
    ((back, _),) = Tracker(uri).results()
    assert back == run


def test_logging_a_run_with_members_again_changes_nothing(uri: str):
    run, members = members_and_run(0.25, 0.75)
    for _ in range(2):
        Tracker(uri).log_members(run, [(member, None) for member in members])
        once = everything(uri)
    assert everything(uri) == once and len(once) == 3


def test_a_run_that_was_a_member_can_be_a_run_of_its_own_again(uri: str):
    run, members = members_and_run(0.25, 0.75)
    tracker = Tracker(uri)
    tracker.log_members(run, [(member, None) for member in members])
    alone = tracker.log_result(members[0])
    assert {tracked.run for _, tracked in tracker.results()} >= {alone}
    tracker.log_members(run, [(member, None) for member in members])
    assert len(tracker.results()) == 1


def test_tables_of_all_members_or_of_none_are_brought(uri: str, tmp_path: Path):
    run, members = members_and_run(0.25, 0.75)
    tables = [tmp_path / str(seed) / "predictions.parquet" for seed in (0, 1)]
    for seed, table in enumerate(tables):
        table.parent.mkdir()
        table.write_bytes(b"of seed %d" % seed)
    tracker = Tracker(uri)
    parent = tracker.log_members(run, [(members[0], tables[0]), (members[1], None)])
    assert tracker.member_predictions(run, parent, tmp_path) == []
    tracker.log_members(run, list(zip(members, tables, strict=True)))
    assert [t.read_bytes() for t in tracker.member_predictions(run, parent, tmp_path)] == [b"of seed 0", b"of seed 1"]


@pytest.mark.services
def test_several_processes_may_make_the_database_at_once(tmp_path: Path):
    run_at_once("from posebed.reporting.tracking import Tracker; READY; Tracker().open('a', 'f')", tmp_path, 3)
