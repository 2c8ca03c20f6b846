"""The stage ``benchmark`` and what looks at its tasks: quick, whole and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from posebed.config import read_params
from posebed.jobs.outcomes import State, write_record
from posebed.places import PARAMS
from posestages.benchmark import METRICS, failure_table, read_project, run_tasks, write_metrics

LOOKS = {
    "graph": "from posestages.benchmark import read_project; read_project()",
    "no-op": "from posestages.benchmark import run_tasks; assert run_tasks() == {}",
    "identities": "from posestages.identities import main; main([])",
    "status": "from posestages.cli import app; app(['status'], standalone_mode=False)",
}


def done(project: Path) -> None:
    """Every task counts as done."""
    for task in read_project().graph.tasks.values():
        task.outcome.parent.mkdir(parents=True, exist_ok=True)
        task.outcome.touch()
        write_record(task, 1.0)


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_at_tasks_that_are_done_imports_no_torch_and_starts_no_cluster(project: Path, look: str):
    done(project)
    heavy = "import sys; print([name for name in ('torch', 'ray', 'mlflow', 'deepspeed') if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", f"{LOOKS[look]}; {heavy}"], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "[]"


def test_of_a_new_project_everything_is_to_do_and_of_a_done_one_nothing(project: Path, capsys: pytest.CaptureFixture):
    statuses = read_project().statuses
    assert len(statuses) == 9 and {status.state for status in statuses.values()} == {State.NEVER}
    done(project)
    assert {status.state for status in read_project().statuses.values()} == {State.DONE}
    assert run_tasks() == {} and "nothing to do: 9 tasks are done" in capsys.readouterr().out


def test_a_run_whose_data_was_not_prepared_is_refused_with_what_makes_it(project: Path):
    (project / "data/splits/quads").rename(project / "elsewhere")
    with pytest.raises(ValueError, match=r"must find split quads, .* `dvc repro split@quads` makes it"):
        run_tasks(["floor"])


def test_metrics_hold_the_runs_that_have_a_result(project: Path):
    write_metrics(read_params(PARAMS))
    assert json.loads(METRICS.read_text()) == {}


def test_failures_stand_in_lines_of_their_own():
    table = failure_table({"train a seed 0": "no room", "score a": "skipped, since it needs train a seed 0"})
    assert table.splitlines() == [
        "  train a seed 0  no room",
        "  score a         skipped, since it needs train a seed 0",
    ]
