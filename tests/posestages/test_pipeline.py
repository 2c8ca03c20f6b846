"""The real dvc.yaml, run by the real DVC with real Ray jobs, on a small project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posebed.jobs.requests import running_tasks
from posebed.scoring.result import read_result
from servers import tracker_that_takes_nothing
from waiting import waited_for

pytestmark = pytest.mark.services

CHECKOUT = Path(__file__).parents[2]


def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **more}
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=1200)


def sound(*words: str, **more: str) -> str:
    done = run(*words, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stages(dry: str) -> set[str]:
    """The stages that DVC says it would run."""
    return {line.split("'")[1] for line in dry.splitlines() if line.startswith("Running stage")}


@pytest.fixture(scope="module")
def reproduced(prepared_project: Path, tmp_path_factory: pytest.TempPathFactory):
    """A project under git and DVC in which every stage has run."""
    folder = tmp_path_factory.mktemp("pipeline") / "project"
    folder.mkdir()
    for part in ("platform", "models", "pipelines"):
        shutil.copytree(CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("dvc.yaml", ".gitignore", ".dvcignore", "requirements.lock.txt"):
        shutil.copy(CHECKOUT / part, folder / part)
    shutil.copy(prepared_project / "params.yaml", folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
            patch.setenv(f"{name}_NAME", "tester")
            patch.setenv(f"{name}_EMAIL", "tester@example.org")
        sound("git", "init", "-q")
        sound("dvc", "init", "-q")
        sound("git", "add", "-A")
        sound("git", "commit", "-qm", "A project")
        (folder / ".posebed" / "repro.log").write_text(sound("dvc", "repro"))
        yield folder


def test_the_last_stage_says_how_long_each_kind_of_stage_took(reproduced: Path):
    printed = (reproduced / ".posebed" / "repro.log").read_text()
    named = re.search(r"^All stages in [^:]+: (.*), between them \d+ (s|min)$", printed, re.MULTILINE)
    assert named
    shown = {part.split()[0] for part in named[1].split(", ")}
    assert shown == {"identities", "draw", "prepare", "split", "pack", "benchmark", "report"}


def test_every_run_has_a_result_and_the_report_shows_them(reproduced: Path):
    page = (reproduced / "report" / "index.html").read_text()
    metrics = json.loads((reproduced / "metrics.json").read_text())
    for key in ("floor", "baseline", "prototypes"):
        result = read_result(reproduced / "runs" / key / "result.json")
        assert result.key == key
        assert result.score("PCK@0.2").value == metrics[key]["PCK@0.2"]
        assert key in page


def test_a_result_names_the_commit_and_the_hashes_that_dvc_knows(reproduced: Path):
    origin = read_result(reproduced / "runs/baseline/result.json").provenance
    assert origin.commit == sound("git", "rev-parse", "HEAD").strip()
    assert not origin.dirty
    lock = (reproduced / "dvc.lock").read_text()
    assert origin.data_hash in lock
    assert origin.split_hash in lock


def test_metrics_are_in_git_so_that_a_clone_shows_them(reproduced: Path, tmp_path: Path):
    sound("git", "add", "-A")
    sound("git", "commit", "-qm", "Results")
    sound("git", "clone", "-q", str(reproduced), str(tmp_path / "clone"))
    shown = json.loads(sound("dvc", "--cd", str(tmp_path / "clone"), "metrics", "show", "--json"))
    (metrics,) = (workspace["data"]["metrics.json"]["data"] for workspace in shown.values())
    assert metrics == json.loads((reproduced / "metrics.json").read_text())


def test_a_second_run_does_nothing_but_look_at_the_code(reproduced: Path):
    assert stages(sound("dvc", "repro")) == {"identities"}


def test_changing_one_model_trains_that_model_alone(reproduced: Path):
    params = reproduced / "params.yaml"
    params.write_text(
        params.read_text().replace("train: {epochs: 2, batch_size: 4", "train: {epochs: 1, batch_size: 4")
    )
    shown = sound("posebed", "status")
    assert re.search(r"^train prototypes seed 0 +stale +train\.epochs 2 -> 1$", shown, re.MULTILINE)
    others = {path: path.stat().st_mtime_ns for path in (reproduced / "runs").glob("[bf]*/**/*") if path.is_file()}
    assert others
    assert stages(sound("dvc", "repro")) == {"identities", "benchmark", "report"}
    assert len(read_result(reproduced / "runs/prototypes/result.json").curve) == 1
    assert others == {path: path.stat().st_mtime_ns for path in others}


def test_of_two_commands_at_once_the_second_is_refused_and_the_first_goes_on(reproduced: Path):
    params = reproduced / "params.yaml"
    params.write_text(params.read_text().replace("{epochs: 1, batch_size: 4", "{epochs: 3, batch_size: 4"))
    pipe, script = subprocess.PIPE, Path(sys.executable).parent
    with subprocess.Popen([script / "dvc", "repro"], stdout=pipe, stderr=pipe, text=True) as first:
        waited_for(running_tasks, 300)
        for words in (["dvc", "repro"], ["posebed", "run"]):
            second = run(*words)
            assert second.returncode != 0 and "Traceback" not in second.stdout + second.stderr
            assert re.search("busy|one process at a time", second.stderr), second.stderr
        errors = first.communicate(timeout=1200)[1]
    assert first.returncode == 0, errors
    assert " stale " not in sound("posebed", "status")


def test_another_default_of_a_setting_makes_results_stale_and_a_docstring_does_not(reproduced: Path):
    with changed(reproduced / "platform/posebed/data/splits.py", '"""', '"""Another word. '):
        assert stages(sound("dvc", "repro", "--dry", PYTHONPATH=source_roots(reproduced))) == {"identities"}
        assert " stale " not in sound("posebed", "status", PYTHONPATH=source_roots(reproduced))
    with changed(reproduced / "platform/posebed/config.py", "momentum: Share = 0.9", "momentum: Share = 0.8"):
        assert "train.momentum 0.9 -> 0.8" in sound("posebed", "status", PYTHONPATH=source_roots(reproduced))
        run(sys.executable, "-m", "posestages.identities", PYTHONPATH=source_roots(reproduced))
        assert "benchmark" in sound("dvc", "status", PYTHONPATH=source_roots(reproduced))
    sound(sys.executable, "-m", "posestages.identities")


def source_roots(folder: Path) -> str:
    return os.pathsep.join(str(folder / root) for root in ("platform", "models", "pipelines"))


@contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """The file with the first occurrence of a text replaced."""
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(before)


def test_changing_one_split_touches_no_other(reproduced: Path):
    with changed(reproduced / "params.yaml", "queries: 3", "queries: 2"):
        sound(sys.executable, "-m", "posestages.identities")
        status = json.loads(sound("dvc", "status", "--json"))
        assert {stage for stage in status if stage.startswith(("draw", "prepare", "split", "pack"))} == {
            "split@held-out"
        }
    sound(sys.executable, "-m", "posestages.identities")


def test_the_tracker_has_every_run_and_another_is_filled_by_one_command(reproduced: Path):
    from mlflow import MlflowClient

    from posebed.reporting.tracking import EXPERIMENT, FINGERPRINT

    def tracked(uri: str) -> dict[str, dict[str, float]]:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment
        return {r.data.tags[FINGERPRINT]: r.data.metrics for r in client.search_runs([experiment.experiment_id])}

    results = [read_result(reproduced / f"runs/{key}/result.json") for key in ("floor", "baseline", "prototypes")]
    written_by_stages = tracked(f"sqlite:///{reproduced}/mlflow.db")
    another = f"sqlite:///{reproduced}/another.db"
    sound("posebed", "track", MLFLOW_TRACKING_URI=another)
    assert tracked(another) == {r.fingerprint: written_by_stages[r.fingerprint] for r in results}


def test_a_tracker_that_fails_loses_no_result_and_a_failed_run_leaves_a_report(reproduced: Path):
    before = read_result(reproduced / "runs/floor/result.json")
    (reproduced / "runs/floor/task.json").unlink()
    silent = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    wide = "baseline: {model: simple_baseline, split: quads, pack: small, config: {channels: 0}}"
    narrow = changed(reproduced / "params.yaml", "baseline: {model: simple_baseline, split: quads, pack: small}", wide)
    with narrow, tracker_that_takes_nothing() as tracker:
        done = run("dvc", "repro", MLFLOW_TRACKING_URI=tracker, **silent)
    assert done.returncode != 0
    words = done.stdout + done.stderr
    assert "not tracked" in words and "floor: " in words
    assert "train baseline seed 0" in words and "channels" in words and "Traceback" not in words
    assert "The report" in words and "DVC records the results once these runs succeed or leave params.yaml" in words
    assert read_result(reproduced / "runs/floor/result.json").scores == before.scores
    assert "failed" not in sound("posebed", "status")


def test_dvc_scores_a_submission_again_when_its_file_changes_and_only_then(reproduced: Path):
    sound("posebed", "queries", "held-out", "--out", "queries.json")
    queries = json.loads(Path("queries.json").read_text())["queries"]
    answers = [{"episode": q["episode"], "record": q["record"], "keypoints": [1.0, 2.0, 0.5] * 17} for q in queries]
    Path("answers.json").write_text(json.dumps(answers))
    sound("posebed", "submit", "answers.json", "--name", "theirs", "--split", "held-out")
    first = read_result(reproduced / "runs/theirs/result.json")
    sound("dvc", "repro")
    assert stages(sound("dvc", "repro")) == {"identities"}
    assert read_result(reproduced / "runs/theirs/result.json") == first
    answers[0]["keypoints"][0] = 2.0
    Path("submissions/theirs.json").write_text(json.dumps(answers))
    assert re.search(r"^score theirs +stale +file submissions/theirs\.json$", sound("posebed", "status"), re.MULTILINE)
    assert stages(sound("dvc", "repro")) == {"identities", "benchmark", "report"}
    assert read_result(reproduced / "runs/theirs/result.json").fingerprint != first.fingerprint
