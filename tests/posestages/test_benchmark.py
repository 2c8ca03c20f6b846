"""The stage ``benchmark`` and what looks at its tasks: quick, whole and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from posebed.catalog import installed
from posebed.jobs.outcomes import State, write_record
from posebed.jobs.requests import only_command
from posebed.own_json import read_json
from posebed.params import read_params
from posebed.places import PARAMS, prepared_folder
from posebed.provenance import origin
from posestages.benchmark import INDEX, METRICS, RESULTS, failure_table, read_project, run_tasks, write_index
from posestages.score import score
from posestages.tasks import predict_member
from posestages.train_without_ray import train_without_ray

CATALOG = installed()
LOOKS = {
    "graph": "from posestages.benchmark import read_project; read_project()",
    "no-op": "from posestages.benchmark import run_tasks; assert run_tasks() == {}",
    "identities": "from posestages.identities import main; main([])",
    "status": "from posestages.cli import app; app(['status'], standalone_mode=False)",
}


@pytest.fixture
def done(project: Path) -> Path:
    """The project with its first run alone, whose tasks are done."""
    text = PARAMS.read_text()
    PARAMS.write_text(text.partition("  baseline: {model")[0])
    train_without_ray("floor")
    predict_member("floor", 0, CATALOG)
    score("floor", read_params(PARAMS), CATALOG, origin(prepared_folder("quads")))
    for task in read_project().graph.tasks.values():
        write_record(task, 1.0)
    return project


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_at_tasks_that_are_done_imports_no_torch_and_starts_no_cluster(done: Path, look: str):
    heavy = "import sys; print([name for name in ('torch', 'ray', 'mlflow', 'deepspeed') if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", f"{LOOKS[look]}; {heavy}"], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "[]"


def test_of_a_new_project_everything_is_to_do(project: Path):
    statuses = read_project().statuses
    assert len(statuses) == 9 and {status.state for status in statuses.values()} == {State.NEVER}


def test_of_a_done_project_nothing_is_to_do(done: Path, capsys: pytest.CaptureFixture[str]):
    assert {status.state for status in read_project().statuses.values()} == {State.DONE}
    assert run_tasks() == {} and "nothing to do: 3 tasks are done" in capsys.readouterr().out
    assert [*json.loads(METRICS.read_text())] == ["floor"]


def test_a_run_whose_data_was_not_prepared_is_refused_with_what_makes_it(project: Path):
    (project / "data/splits/quads").rename(project / "elsewhere")
    with pytest.raises(ValueError, match=r"must find split quads, .* `dvc repro split@quads` makes it"):
        run_tasks(["floor"])


def test_metrics_forget_runs_that_left_the_parameters(project: Path):
    METRICS.write_text('{"gone": {"PCK@0.2": 0.5}}')
    (project / "params.yaml").write_text(PARAMS.read_text().partition("runs:")[0] + "runs: {}\n")
    assert run_tasks() == {}
    assert json.loads(METRICS.read_text()) == {} and read_json(INDEX, RESULTS) == {}


def test_the_index_changes_with_every_result(project: Path):
    """The report is written anew where it does."""
    indexes = [index_of(project)]
    result = project / "runs/floor/result.json"
    result.parent.mkdir(parents=True)
    for text in ("{}", '{"created": "later"}'):
        result.write_text(text)
        indexes.append(index_of(project))
    assert len({*indexes}) == 3


def index_of(project: Path) -> str:
    write_index(read_params(project / "params.yaml"))
    return INDEX.read_text()


def test_a_second_command_in_a_project_is_refused_before_it_looks(project: Path):
    with only_command(), pytest.raises(ValueError):
        run_tasks()


def test_failures_stand_in_lines_of_their_own():
    table = failure_table({"train a seed 0": "no room", "score a": "skipped, since it needs train a seed 0"})
    assert table.splitlines() == [
        "  train a seed 0  no room",
        "  score a         skipped, since it needs train a seed 0",
    ]
