"""What `posebed why` prints, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from posebed.reporting.trace import TRACKED, Tracked
from posebed.scoring.result import Cost, Provenance, Result, Score, write_result
from posebed.scoring.search_result import SearchResult, Trial, write_search
from posestages.commands.why import why


def made(key: str = "fox-run") -> Result:
    return Result(
        key=key,
        fingerprint="f" * 64,
        model="hrnet",
        task="category_specific",
        data="animals",
        split="by-image",
        pack="small",
        seed=17,
        config={"head": {"layers": 3}},
        train={"lr": 0.1},
        protocol={"boxes": "annotated"},
        answered={"flip test": "off"},
        instances=5,
        images=4,
        queries=6,
        without_keypoints=1,
        scores=[
            Score(
                metric="PCK@0.2",
                definition="Share of keypoints.",
                value=0.71234,
                low=0.6,
                high=0.8,
                low_categories=0.5,
                high_categories=0.9,
            ),
            Score(metric="NME", definition="Mean error.", value=0.1, low=0.05, high=0.2, better="lower"),
        ],
        by_category={"red fox": {"PCK@0.2": 0.25}},
        by_keypoint={},
        curve=[],
        cost=Cost(parameters=1234, gflops=None, ms_per_image=1.5, train_seconds=8.0, device="cpu"),
        provenance=Provenance(
            commit="c" * 40,
            dirty=True,
            data_hash="d" * 32,
            split_hash="a" * 32,
            episodes_hash="9" * 64,
            lock_hash="b" * 64,
            checkpoint_hash="e" * 64,
            checkpoint="runs/fox-run/train/best.safetensors",
            software={"torch": "2.13"},
            hardware="2 x cpu",
            created="2026-01-01T00:00:00+00:00",
        ),
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_result(made(), tmp_path / "fox-run/result.json")
    return tmp_path


def test_everything_that_a_number_depends_on_is_printed(runs: Path):
    printed, origin = why("fox-run:PCK@0.2", runs), made().provenance
    for value in (*origin.model_dump(exclude={"dirty", "software"}).values(), "with uncommitted changes", "torch"):
        assert value in printed
    for value in ("f" * 64, "17", "head.layers", "flip test", "annotated", "1,234", "not counted", "MLflow run"):
        assert value in printed


def test_a_metric_comes_with_value_intervals_and_definition(runs: Path):
    printed = why("fox-run:PCK@0.2", runs)
    for text in ("0.7123", "0.6000 to 0.8000", "0.5000 to 0.9000", "Share of keypoints.", "6 queries of 5 instances"):
        assert text in printed
    assert "Mean error." not in printed


def test_a_run_alone_comes_with_all_its_metrics(runs: Path):
    printed = why("fox-run", runs)
    assert "0.7123" in printed and "0.1000" in printed


def test_a_category_comes_with_its_own_value(runs: Path):
    assert "0.2500 on red fox alone" in why("fox-run:PCK@0.2:red fox", runs)


def test_the_mlflow_run_is_named_where_it_is_known(runs: Path):
    assert "not known here" in why("fox-run", runs)
    (runs / "fox-run" / TRACKED).write_text(Tracked(run="1a2b", tracker="http://tracker:5000").model_dump_json())
    assert "1a2b at http://tracker:5000" in why("fox-run", runs)


def test_a_search_is_explained_too(runs: Path):
    search = SearchResult(
        **{name: getattr(made(), name) for name in ("model", "task", "data", "split", "pack", "seed")},
        key="search@fox",
        study="search@fox-1234",
        settings={"budget": {"trials": 64}, "epochs": 20, "sampler": "tpe"},
        space={"train.lr": "0.1 to 1"},
        trials=(Trial(number=0, state="complete", params={"train.lr": 0.25}, validation=0.625, device_seconds=2.5),),
        origin={"commit": "c" * 40},
    )
    write_search(search, runs / "search@fox")
    printed = why("search@fox", runs)
    for value in ("search@fox-1234", "64 trials", "0.6250", "0.25", "0.1 to 1", "c" * 40, "tpe", "2.5"):
        assert value in printed


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("lost", "a run with a result, but names 'lost'; there is fox-run"),
        ("../fox-run", "but names '../fox-run'"),
        ("fox-run:AP", "a metric of fox-run, but names 'AP'; there is PCK@0.2, NME"),
        ("fox-run:PCK@0.2:cow", "a category of fox-run, but names 'cow'; there is red fox"),
        ("fox-run:NME:red fox", "a metric of red fox, but names 'NME'"),
        ("search@fox", "a search, but names 'search@fox'; there is none"),
    ],
)
def test_unknown_names_are_refused_with_choices(runs: Path, cell: str, message: str):
    with pytest.raises(LookupError, match="must name") as refused:
        why(cell, runs)
    assert message in str(refused.value)


def test_of_many_choices_those_that_are_alike_are_reported(runs: Path):
    for i in range(40):
        write_result(made(f"bear-{i:02}"), runs / f"bear-{i:02}/result.json")
    with pytest.raises(LookupError, match=r"there is fox-run, .*, and more$"):
        why("fox-ruin", runs)


def test_the_command_prints_and_refuses_with_code_2(runs: Path):
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        code = "from posestages.cli import main; main()"
        return subprocess.run([sys.executable, "-c", code, "why", *words], capture_output=True, text=True, timeout=600)

    done = command("fox-run:PCK@0.2", "--from", str(runs))
    assert done.returncode == 0 and "e" * 64 in done.stdout
    for words in (("fox-run:AP", "--from", str(runs)), ("x", "--from", str(runs / "nothing"))):
        refused = command(*words)
        assert refused.returncode == 2
        assert "must" in refused.stderr and "Traceback" not in refused.stderr
