"""One report from three places: a folder of results, a tracking server, and the project itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from posebed.reporting.tracking import EXPERIMENT, Tracker
from posebed.scoring.result import Cost, Provenance, Result, Score, write_result
from posebed.scoring.search_result import Measured, SearchResult, Trial, write_search
from posestages import search
from posestages.score import mirror
from posestages.sources import report_folder, report_tracker

pytestmark = pytest.mark.slow


def made(key: str, value: float, **changes: object) -> Result:
    score = Score(metric="PCK@0.2", definition="share", value=value, low=value - 0.1, high=value + 0.1)
    return Result(
        key=key,
        fingerprint=key * 8,
        model="hrnet",
        task="category_specific",
        data="animals",
        split="by-image",
        pack="small",
        seed=0,
        config={"width": 32, "backbone": "resnet18"},
        train={"lr": 0.1, "augment": {"scale": 0.25, "flip": 0.5}},
        protocol={"part": "test", "boxes": "annotated"},
        instances=5,
        images=5,
        queries=5,
        without_keypoints=0,
        scores=[score],
        by_category={"fox": {"PCK@0.2": value}},
        by_keypoint={"fox": {"nose": value}},
        curve=[],
        cost=Cost(parameters=10, gflops=None, ms_per_image=1 / 3, train_seconds=8.0, device="cpu"),
        provenance=Provenance(
            commit="c" * 40,
            dirty=False,
            data_hash="d",
            split_hash="s",
            episodes_hash=None,
            lock_hash="l",
            checkpoint_hash="k",
            checkpoint="w",
            software={},
            hardware="cpu",
            created="2026-01-01T00:00:00+00:00",
        ),
    ).model_copy(update=changes)


def searched(key: str, value: float, **changes: object) -> SearchResult:
    trials = tuple(
        Trial(
            number=i,
            state=state,
            params={"train.lr": value / 3, "model.width": i},
            validation=value + i / 100,
            curve=(Measured(epoch=1, validation=value + i / 100, device_seconds=1 / 3),),
            epochs=1,
            device_seconds=1 / 3,
            notes=("its process was lost",) * i,
            ended=f"2026-01-01T00:00:0{i}+00:00",
        )
        for i, state in enumerate(("complete", "pruned", "complete"))
    )
    return SearchResult(
        key=key,
        study=f"{key}-1234",
        model="hrnet",
        task="category_specific",
        data="animals",
        split="by-image",
        pack="small",
        seed=1000,
        settings={"budget": {"trials": 3}, "epochs": 2},
        space={"train.lr": "0 to 1", "model.width": "0, 1, 2"},
        trials=trials,
        origin={"commit": "c" * 40, "created": "2026-01-01T00:00:00+00:00"},
    ).model_copy(update=changes)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store of MLflow, which takes seconds to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty tracker, which is also the one that results are mirrored to."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty, tmp_path / "mlflow.db")
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_report_of_a_folder_and_that_of_a_tracker_are_equal(uri: str, tmp_path: Path):
    results = [made("b", 0.7), made("a", 1 / 3), made("c", 0.5, data="plants")]
    for result in results:
        write_result(result, tmp_path / "runs" / result.key / "result.json")
    mirror(results)
    searches = [searched("search@b", 0.7), searched("search@a", 1 / 3)]
    for found in searches:
        write_search(found, tmp_path / "runs" / found.key)
    search.mirror(searches)
    report_folder(tmp_path / "runs", tmp_path / "1")
    report_tracker(uri, tmp_path / "2")
    one, other = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert one == other
    assert {"index.html", "report.json", "leaders.csv", "leaders.md", "leaders.tex", "trials.csv"} <= one.keys()
    everything = json.loads(one["report.json"])
    assert [Result.model_validate(r) for r in everything["results"]] == sorted(results, key=lambda r: r.key)
    assert [SearchResult.model_validate(s) for s in everything["searches"]] == sorted(searches, key=lambda s: s.key)
    assert everything["tracked"].keys() == {"a", "b", "c"}
    for tracked in everything["tracked"].values():
        assert tracked["run"].encode() in one["index.html"]


def test_all_results_of_a_tracker_are_read_over_many_pages(uri: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("posebed.reporting.tracking.PER_PAGE", 2)
    tracker = Tracker(uri)
    logged = {tracker.log_result(made(key, 0.5)) for key in "abcde"}
    assert {tracked.run for _, tracked in Tracker(uri).results()} == logged


def test_of_one_fingerprint_the_newest_result_counts(uri: str):
    tracker = Tracker(uri)
    first = tracker.log_result(made("a", 0.5))
    client = MlflowClient(uri)
    client.set_tag(first, "posebed.fingerprint", "elsewhere")
    second = tracker.log_result(made("a", 0.6))
    client.set_tag(first, "posebed.fingerprint", made("a", 0.6).fingerprint)
    ((result, tracked),) = Tracker(uri).results()
    assert (result.scores[0].value, tracked.run) == (0.6, second)


def test_of_a_run_that_was_repeated_the_newest_counts_and_the_others_are_told(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    tracker = Tracker(uri)
    origin = made("a", 0.6).provenance
    newer = origin.model_copy(update={"created": "2026-02-01T00:00:00+00:00"})
    tracker.log_result(made("a", 0.6, provenance=newer, fingerprint="new"))
    tracker.log_result(made("a", 0.5, fingerprint="old"))
    report_tracker(uri, tmp_path / "out")
    (kept,) = json.loads((tmp_path / "out/report.json").read_text())["results"]
    assert kept["fingerprint"] == "new"
    assert "1 older results" in capsys.readouterr().err


def test_of_a_search_that_was_repeated_the_newest_counts(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    later = {"created": "2026-02-01T00:00:00+00:00"}
    search.mirror([searched("search@a", 0.7, study="new", origin=later), searched("search@a", 0.5, study="old")])
    report_tracker(uri, tmp_path / "out")
    (kept,) = json.loads((tmp_path / "out/report.json").read_text())["searches"]
    assert kept["study"] == "new"
    assert "1 older searches" in capsys.readouterr().err


def test_a_folder_of_searches_alone_has_a_report(tmp_path: Path):
    write_search(searched("search@a", 0.5), tmp_path / "search@a")
    assert 'id="searches-1"' in report_folder(tmp_path, tmp_path / "out").read_text()


def test_runs_without_a_result_are_passed_over(uri: str):
    tracker = Tracker(uri)
    tracker.open("training", "1" * 64)
    tracker.log_result(made("a", 0.5))
    assert [result.key for result, _ in tracker.results()] == ["a"]


def test_reading_makes_no_experiment(uri: str, tmp_path: Path):
    with pytest.raises(LookupError, match="must hold at least one result"):
        report_tracker(uri, tmp_path / "out")
    assert MlflowClient(uri).get_experiment_by_name(EXPERIMENT) is None


def test_a_tracker_out_of_reach_is_one_sentence(tmp_path: Path):
    with pytest.raises(LookupError, match="must be in reach, but is not"):
        report_tracker("http://127.0.0.1:9", tmp_path / "out")


def test_a_folder_without_results_is_refused(tmp_path: Path):
    with pytest.raises(LookupError, match=r"must hold results as KEY/result\.json"):
        report_folder(tmp_path, tmp_path / "out")


def test_passwords_of_a_tracker_are_never_told():
    assert Tracker("http://me:secret@tracker:5000/x").address == "http://tracker:5000/x"
