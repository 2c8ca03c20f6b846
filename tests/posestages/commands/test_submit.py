"""Answers that were made elsewhere in a project: scored as a run's, marked, and scored again when something changes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import command_line
import posebed
from posebed import provenance
from posebed.jobs.outcomes import State
from posebed.params import read_params
from posebed.places import PARAMS, prepared_folder, split_folder
from posebed.predictions import PREDICTIONS, read_predictions
from posebed.scoring.result import Result, read_result
from posestages import split
from posestages.benchmark import read_project
from posestages.identities import identities
from posestages.reads import reads
from posestages.score import score

MEASURED = ("scores", "by_category", "by_keypoint", "instances", "images", "queries", "without_keypoints", "protocol")


def answers_of(run: str) -> list[dict[str, Any]]:
    """What the first member of a run has predicted, as others would hand it in."""
    table = read_predictions(Path(f"runs/{run}/seed-0") / PREDICTIONS)
    answers: list[dict[str, Any]] = []
    for i, record in enumerate(table.record.tolist()):
        count = len(table.categories[table.category[i]].keypoints)
        points = zip(table.xy[i, :count].tolist(), table.confidence[i, :count].tolist(), strict=True)
        answer = {"record": record, "keypoints": [number for xy, sure in points for number in (*xy, sure)]}
        answers.append(answer | ({"episode": int(table.episode[i])} if table.episode[i] >= 0 else {}))
    return answers


@pytest.fixture(scope="module")
def scored_project(prepared_project: Path, empty_tracker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two runs, their answers as files, and a tracker. To be copied."""
    folder = tmp_path_factory.mktemp("scored") / "project"
    shutil.copytree(prepared_project, folder)
    shutil.copy(empty_tracker, folder / "mlflow.db")
    project = posebed.Project.open(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for key in ("floor", "prototypes"):
            project.run(key).train()
        Path("floor.json").write_text(json.dumps(answers_of("floor")))
        pd.DataFrame(answers_of("prototypes")).to_parquet(Path("prototypes.parquet"), index=False)
    return folder


@pytest.fixture(autouse=True)
def here(scored_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(scored_project, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    return folder


def submit(*words: str) -> str:
    done = command_line.posebed("submit", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*words: str) -> str:
    """The sentence; nothing was written."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file() and ".lock" not in path.name}
    done = command_line.posebed(*words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert before == {path: path.read_bytes() for path in before} and not Path("submissions").exists()
    return done.stderr


def result(key: str) -> Result:
    return read_result(Path("runs") / key / "result.json")


def state(key: str) -> tuple[State, str]:
    status = read_project().statuses[f"score {key}"]
    return status.state, status.reason or "; ".join(status.changes)


@pytest.mark.parametrize(
    ("file", "split", "run"), [("floor.json", "quads", "floor"), ("prototypes.parquet", "held-out", "prototypes")]
)
def test_the_predictions_of_a_run_score_the_very_same_when_they_are_submitted(file: str, split: str, run: str):
    said = submit(file, "--name", "theirs", "--split", split, "--made-by", "A net", "--paper", "A journal")
    theirs, ours = result("theirs"), result(run)
    for name in MEASURED:
        assert getattr(theirs, name) == getattr(ours, name)
    assert theirs.submitted and not ours.submitted and theirs.model == "submitted"
    assert theirs.method == "theirs"
    assert theirs.answered == {"made by": "A net", "described in": "A journal"}
    assert f"theirs: PCK@0.2 {theirs.score('PCK@0.2').value:.3f}" in said
    assert Path(f"submissions/theirs{Path(file).suffix}").read_bytes() == Path(file).read_bytes()
    assert state("theirs") == (State.DONE, "")
    assert posebed.Project.open().results()["theirs"] == theirs


def test_it_stands_in_the_report_beside_the_runs_and_is_marked_there():
    said = submit("prototypes.parquet", "--name", "theirs", "--split", "held-out")
    assert "held-out, common ground" in said
    (row,) = (line.split() for line in said.splitlines() if line.startswith("theirs  "))
    assert row[-1] == "submitted"
    for name in ("leaders", "common_ground"):
        with Path(f"report/{name}.csv").open() as file:
            marked = {line["run"]: line["submitted"] for line in csv.DictReader(file)}
        assert marked["theirs"] == "True" and marked["prototypes"] == "False"
    page = Path("report/index.html").read_text()
    assert '<span class="below">submitted</span>' in page and "submitted file" in page
    assert "2 runs of 2 models and 1 submission under 2 protocols." in page
    trace = command_line.posebed("why", "theirs").stdout
    assert "submissions/theirs.parquet" in trace and "not known, as the answers were made elsewhere" in trace
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path('mlflow.db').absolute()}")
    (tracked,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert tracked.data.tags["submitted"] == "True" and tracked.info.run_name == "theirs"


def test_what_was_told_more_is_another_protocol():
    submit("prototypes.parquet", "--name", "told", "--split", "held-out", "--told", "keypoint names", "--shots", "0")
    ours, told = result("prototypes").protocol, result("told").protocol
    assert told == ours | {"told": "keypoint names", "shots": "0"}
    text = command_line.posebed("results").stdout
    assert "category-agnostic, told keypoint names, 0-shot" in text and "common ground" not in text


def test_it_is_stale_when_anything_that_decides_its_numbers_changes():
    submit("prototypes.parquet", "--name", "theirs", "--split", "held-out")
    benchmark = identities(read_params(PARAMS))["benchmark"]
    file = Path("submissions/theirs.parquet")
    answers = pq.read_table(file).to_pylist()
    answers[0]["keypoints"][0] += 20
    pd.DataFrame(answers).to_parquet(file, index=False)
    assert state("theirs") == (State.STALE, "file submissions/theirs.parquet")
    assert identities(read_params(PARAMS))["benchmark"] != benchmark
    former = result("theirs")
    posebed.Project.open().run("theirs").train()
    assert result("theirs").fingerprint != former.fingerprint and state("theirs")[0] is State.DONE
    PARAMS.write_text(PARAMS.read_text().replace("theirs.parquet, ", "theirs.parquet, told: names, "))
    assert state("theirs") == (State.STALE, 'submission.told "" -> "names"')
    file.unlink()
    assert state("theirs") == (
        State.FAILED,
        "submissions.theirs.file must be there, but there is no submissions/theirs.parquet",
    )
    assert posebed.Project.open().results().keys() == {"floor", "prototypes", "theirs"}


def test_other_episodes_are_told_with_the_number_of_queries_that_have_no_answer():
    submit("prototypes.parquet", "--name", "theirs", "--split", "held-out")
    PARAMS.write_text(PARAMS.read_text().replace("episodes: 4,", "episodes: 5,"))
    split.split(read_params(PARAMS), "held-out", prepared_folder("quads"), split_folder("held-out"))
    assert state("theirs")[0] is State.STALE
    with pytest.raises(ValueError, match=r"must answer each of 15 queries once, .* but 3 queries have no answer"):
        posebed.Project.open().run("theirs").train()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["floor.json", "--name", "a", "--split", "lost"], "splits must have an entry 'lost', but has quads, held-out"),
        (["floor.json", "--name", "a b", "--split", "quads"], "submissions.a b"),
        (["floor.json", "--name", "floor", "--split", "quads"], "--name must be new, but params.yaml has 'floor'"),
        (["floor.json", "--name", "a", "--split", "held-out"], "answers lack episode"),
        (["none.json", "--name", "a", "--split", "quads"], "answers must be a file, but none.json is not there"),
        (["params.yaml", "--name", "a", "--split", "quads"], "file must end with .parquet or .json"),
        (["floor.json", "--name", "a", "--split", "quads", "--pack", "big"], "a.pack must name an entry, but is 'big'"),
        (["floor.json", "--name", "a", "--split", "quads", "--shots", "0"], "shots must be left out where no supports"),
        (
            ["prototypes.parquet", "--name", "a", "--split", "held-out", "--shots", "2"],
            "at most 1, as many as episodes",
        ),
        (
            ["floor.json", "--name", "a", "--split", "quads", "--task", "category_agnostic"],
            "submissions.a.split must have episodes, but splits.quads has none",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_and_leaves_nothing(words: list[str], sentence: str):
    assert sentence in refused("submit", *words)


def test_a_machine_needs_no_more_than_what_the_task_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    submit("prototypes.parquet", "--name", "theirs", "--split", "held-out")
    project, here = read_project(), result("theirs")
    elsewhere = tmp_path / "elsewhere"
    for path in reads(project.graph.tasks["score theirs"], project.params):
        (elsewhere / path).parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, elsewhere / path)
        elif path.exists():
            shutil.copy(path, elsewhere / path)
    origin = provenance.origin(prepared_folder("quads"))
    monkeypatch.chdir(elsewhere)
    there = score("theirs", project.params, project.catalog, origin)
    assert there.model_copy(update={"provenance": here.provenance}) == here


def test_answers_without_supports_stand_on_common_ground_with_those_that_were_shown_some():
    assert command_line.posebed("queries", "held-out", "--task", "category_specific").returncode == 0
    queries = json.loads(Path("queries.json").read_text())["queries"]
    middle = [{"record": q["record"], "keypoints": [*_middle(q["bbox"]), 0.5] * 17} for q in queries]
    Path("middle.json").write_text(json.dumps(middle))
    submit("middle.json", "--name", "middle", "--split", "held-out", "--task", "category_specific")
    with Path("report/common_ground.csv").open() as file:
        met = {line["run"]: line["task"] for line in csv.DictReader(file)}
    assert met == {"middle": "category_specific", "prototypes": "category_agnostic"}


def _middle(box: list[float]) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def test_queries_are_written_for_others(here: Path):
    done = command_line.posebed("queries", "held-out", "--out", "asked/queries.json")
    assert done.returncode == 0 and done.stdout == "12 queries: asked/queries.json\n"
    about = json.loads((here / "asked/queries.json").read_text())["info"]
    assert about == {"data": "quads", "split": "held-out", "part": "test", "shots": "1"}
    assert "must be a file that ends with .parquet or .json" in refused("queries", "held-out", "--out", "queries.csv")
    assert "splits must have an entry 'lost'" in refused("queries", "lost")
