"""What `posebed track` says is what the tracker holds, in real MLflow stores; and no failure looks like success."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from command_line import posebed
from posebed.reporting.search_tracking import tracked_searches
from posebed.reporting.tracking import EXPERIMENT, Tracker
from posebed.scoring.result import Cost, Epoch, Provenance, Result, Score, write_result
from posebed.scoring.search_result import Measured, SearchResult, Trial, write_search
from posestages.commands.mirror import mirror, track

pytestmark = pytest.mark.slow

RUNS = ("baseline", "floor", "prototypes")
SEVERAL = "floor"
"""The run that has two members."""
ENTRY = "{model: simple_baseline, split: quads, pack: small, budget: {trials: 2}}"


def result(key: str, seed: int = 0) -> Result:
    return Result(
        **{
            "key": key,
            "fingerprint": key * 8 + str(seed) * 8,
            "model": "hrnet",
            "task": "category_specific",
            "data": "quads",
        },
        **{"split": "quads", "pack": "small", "config": {}, "train": {"lr": 0.1}},
        seed=seed,
        **{"instances": 5, "images": 5, "queries": 5, "without_keypoints": 0},
        protocol={"boxes": "annotated"},
        scores=[Score(metric="PCK@0.2", definition="share", value=0.5, low=0.4, high=0.6)],
        by_category={},
        by_keypoint={},
        curve=[epoch(1)],
        cost=Cost(parameters=10, gflops=None, ms_per_image=1.0, train_seconds=8.0, device="cpu"),
        provenance=Provenance(
            **dict.fromkeys(("commit", "data_hash", "split_hash", "lock_hash", "checkpoint_hash", "checkpoint"), "0"),
            **{"dirty": False, "episodes_hash": None, "software": {}, "hardware": "cpu"},
            created="2026-01-01T00:00:00+00:00",
        ),
    )


def epoch(number: int) -> Epoch:
    return Epoch(epoch=number, loss=1.0, losses={}, learning_rate=0.1, seconds=1.0, images_per_second=1.0, waiting=0.0)


def search(key: str) -> SearchResult:
    trials = tuple(
        Trial(
            **{"number": n, "state": "complete", "params": {"train.lr": 0.1}, "validation": 0.5 + n / 10, "epochs": 1},
            curve=(Measured(epoch=1, validation=0.5 + n / 10, device_seconds=1.0),),
            device_seconds=1.0,
            started="2026-01-01T00:00:00+00:00",
            ended=f"2026-01-01T00:00:0{n}+00:00",
        )
        for n in range(2)
    )
    return SearchResult(
        **{"key": key, "study": f"{key}-1", "model": "hrnet", "task": "category_specific", "data": "quads"},
        **{"split": "quads", "pack": "small", "seed": 0, "settings": {"budget": {"trials": 2}, "epochs": 1}},
        **{"space": {"train.lr": "0 to 1"}, "trials": trials, "origin": {"created": "2026-01-01T00:00:00+00:00"}},
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with three results, of which one has two members, and a search. To be copied, not changed."""
    from conftest import PARAMS

    folder = tmp_path_factory.mktemp("finished")
    (folder / "params.yaml").write_text(PARAMS.replace("searches: {}", f"searches:\n  hunt: {ENTRY}"))
    for key in RUNS:
        run, members = result(key), [result(key, seed) for seed in (0, 1)]
        if key == SEVERAL:
            whole = tuple(member.as_member() for member in members)
            run = run.model_copy(update={"fingerprint": key * 4, "seeds": (0, 1), "members": whole})
            for member in members:
                write_result(member, folder / member.as_member().result)
        write_result(run, folder / "runs" / key / "result.json")
    write_search(search("search@hunt"), folder / "runs/search@hunt")
    return folder


@contextmanager
def project(finished: Path, store: Path) -> Iterator[str]:
    """A copy as the working directory, and the address of an empty store."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        shutil.copytree(finished, folder, dirs_exist_ok=True)
        shutil.copy(store, Path(folder) / "mlflow.db")
        patch.chdir(folder)
        uri = f"sqlite:///{folder}/mlflow.db"
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


def held(uri: str) -> tuple[set[str], set[str]]:
    """Keys of the results and the searches that can be read back; each is there once."""
    runs, searches = Tracker(uri).results(), tracked_searches(uri)
    keys = Counter(result.key for result, _ in runs) + Counter(result.key for result in searches)
    assert not keys or max(keys.values()) == 1
    return {result.key for result, _ in runs}, {result.key for result in searches}


CALLS = (
    *("search_experiments", "get_experiment_by_name", "create_experiment", "search_runs", "create_run", "get_run"),
    *("update_run", "log_batch", "log_inputs", "log_text", "log_artifacts", "set_terminated", "set_tag"),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    call=st.sampled_from(CALLS),
    first=st.integers(0, 12),
    lasting=st.booleans(),
    error=st.sampled_from([MlflowException("no"), OSError("full"), KeyError("lost"), ConnectionError("gone")]),
)
def test_whatever_call_fails_the_closing_line_counts_what_the_tracker_holds(
    finished: Path, empty_tracker: Path, call: str, first: int, lasting: bool, error: Exception
):
    with project(finished, empty_tracker) as uri:
        times = 0
        real = getattr(MlflowClient, call)

        def failing(*arguments: Any, **named: Any) -> Any:
            nonlocal times
            times += 1
            if times == first + 1 or (lasting and times > first):
                raise error
            return real(*arguments, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MlflowClient, call, failing)
            tracked = posebed("track")
        code, out = tracked.returncode, tracked.stdout
        runs, searches = held(uri)
        assert f"{len(runs)} of 3 runs and {len(searches)} of 1 searches tracked" in out
        assert code == (0 if len(runs) == 3 and searches else 1)
        missing = {*RUNS, "search@hunt"} - runs - searches
        printed = out.partition("not written: ")[2]
        assert {key for key in (*RUNS, "search@hunt") if re.search(rf"\b{key}\b", printed)} == missing
        again = posebed("track")
        assert (again.returncode, again.stdout) == (0, "3 of 3 runs and 1 of 1 searches tracked\n")
        assert held(uri) == ({*RUNS}, {"search@hunt"})


def test_one_run_that_cannot_be_written_stops_no_other(
    finished: Path, empty_tracker: Path, monkeypatch: pytest.MonkeyPatch
):
    with project(finished, empty_tracker) as uri:
        real = MlflowClient.log_text

        def full(client: MlflowClient, run: str, text: str, name: str) -> None:
            if '"key": "floor"' in text:
                raise OSError("no space left")
            real(client, run, text, name)

        monkeypatch.setattr(MlflowClient, "log_text", full)
        tracked = posebed("track")
        assert tracked.returncode == 1
        assert tracked.stdout == ("2 of 3 runs and 1 of 1 searches tracked; not written: floor: no space left\n")
        assert held(uri) == ({"baseline", "prototypes"}, {"search@hunt"})


def test_a_member_whose_result_is_gone_is_a_reason_and_stops_no_other(finished: Path, empty_tracker: Path):
    with project(finished, empty_tracker) as uri:
        Path(f"runs/{SEVERAL}/seed-1/result.json").unlink()
        tracked = posebed("track")
        assert tracked.returncode == 1
        assert f"not written: {SEVERAL}: runs/{SEVERAL}/seed-1/result.json must be a result" in tracked.stdout
        assert held(uri) == ({*RUNS} - {SEVERAL}, {"search@hunt"})


def test_a_deleted_experiment_is_reported_and_the_command_in_the_sentence_brings_it_back(
    finished: Path, empty_tracker: Path
):
    with project(finished, empty_tracker) as uri:
        assert posebed("track").returncode == 0
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment
        client.delete_experiment(experiment.experiment_id)
        done = posebed("track")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "0 of 3 runs and 1 of 1 searches tracked; not written: baseline, floor, prototypes: " in done.stdout
        assert "is deleted" in done.stdout
        report = posebed("report", "--from-mlflow", uri)
        assert report.returncode == 2 and "is deleted" in report.stderr
        command = done.stdout.split("`")[1]
        subprocess.run(command, shell=True, check=True, capture_output=True)  # noqa: S602  # as the user would type it
        assert posebed("track").returncode == 0
        assert held(uri) == ({*RUNS}, {"search@hunt"})


@pytest.mark.parametrize(
    ("address", "reason"),
    [("./mlruns", "MLflow writes no more"), ("http://somebody:hush-hush@127.0.0.1:9", "Connection refused")],
)
def test_a_tracker_that_takes_nothing_is_no_success(finished: Path, empty_tracker: Path, address: str, reason: str):
    with project(finished, empty_tracker):
        done = posebed("track", MLFLOW_TRACKING_URI=address, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
        assert done.returncode == 1
        assert "0 of 3 runs and 0 of 1 searches tracked; not written: baseline, floor, prototypes, search@hunt: " in (
            done.stdout
        )
        assert reason in done.stdout
        written = done.stdout + done.stderr
        assert not any(word in written for word in ("somebody", "hush-hush", "Traceback"))


@contextmanager
def hung_up() -> Iterator[tuple[str, list[int]]]:
    """A server that ends every connection at once, and counts them."""
    connections: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(1)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", connections
        server.shutdown(socket.SHUT_RDWR)


def test_a_tracker_out_of_reach_is_tried_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    keys = [str(n) for n in range(20)]
    with hung_up() as (uri, connections):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert [*track([result(key) for key in keys], [search("search@a")])] == [*keys, "search@a"]
        assert len(connections) == 2, "one to see whether anything answers, and one request"


def test_after_the_tracker_is_lost_no_further_run_is_tried(
    finished: Path, empty_tracker: Path, monkeypatch: pytest.MonkeyPatch
):
    tried: list[str] = []

    def lost(client: MlflowClient, *arguments: Any, **named: Any) -> None:
        tried.append(named.get("run_name", ""))
        raise ConnectionError("gone")

    with project(finished, empty_tracker):
        monkeypatch.setattr(MlflowClient, "create_run", lost)
        searching = MlflowClient.search_experiments

        def answers(client: MlflowClient, *arguments: Any, **named: Any) -> Any:
            if tried:
                raise ConnectionError("gone")
            return searching(client, *arguments, **named)

        monkeypatch.setattr(MlflowClient, "search_experiments", answers)
        missing = track([result(key) for key in RUNS], [search("search@hunt")])
    assert missing.keys() == {*RUNS, "search@hunt"} and tried == ["baseline"]


def test_beside_a_stage_what_was_not_tracked_is_reported_on_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:hush-hush@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mirror([result("floor")], [search("search@hunt")])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("not tracked, `posebed track` writes it later: floor, search@hunt: ")
    assert "somebody" not in err and "hush-hush" not in err
