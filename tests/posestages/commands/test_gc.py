"""``posebed gc`` in a real project: what is named stays, all else goes, and a second call finds nothing."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusters import cluster_of
from command_line import posebed, posebed_process
from posebed.config import SEARCH
from posebed.jobs.outcomes import write_failure
from posebed.jobs.requests import only_command
from posebed.jobs.shelf import Shelf
from posebed.jobs.study import PROJECT, open_storage
from posebed.leases import lease_of, project_identity
from posebed.own_json import write_json
from posebed.places import LOCAL_JOBS, PROCESS_JOBS, RAY_JOBS
from posebed.records import PREPARED
from posebed.scoring.result import RESULT
from posebed.scoring.search_result import SEARCH as FOUND
from posebed.storage import Storage
from posestages.benchmark import read_project
from posestages.experiments import member_experiment
from posestages.reads import reads

SEARCHED = """
searches:
  tune: {model: simple_baseline, split: quads, pack: small, budget: {trials: 2}, seed: 5, warm_start: [learnt-from]}
"""
HASH = "0123456789abcdef"
KINDS = ("packs", "splits", "prepared", "menagerie")


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own is looked at."""
    for name in ("POSEBED_STORAGE", "POSEBED_STUDIES", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POSEBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def searched(project: Path) -> Path:
    """The project with a search as well."""
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("searches: {}\n", SEARCHED))
    return project


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def made(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "file").write_text("x" * 1000)


def job_of(key: str) -> str:
    return read_project().graph.tasks[f"train {key} seed 0"].job or ""


def test_a_task_and_its_experiment_name_the_same_job(searched: Path):
    project = read_project()
    trainings = [task for task in project.graph.tasks.values() if task.kind == "train"]
    assert len(trainings) == 3
    for task in trainings:
        experiment = member_experiment(project.params, project.catalog, task.key, task.seed or 0, task.identity)
        assert experiment.job == task.job


def test_of_a_project_with_nothing_to_remove_everything_stays(searched: Path):
    made(PROCESS_JOBS / job_of("baseline"), RAY_JOBS / job_of("prototypes"), RAY_JOBS / f"{SEARCH}tune-{HASH}/trial-1")
    made(LOCAL_JOBS / job_of("floor"))
    before = everything(searched)
    done = posebed("gc")
    assert (done.returncode, done.stdout) == (0, "nothing to remove\n")
    assert everything(searched) == before


def test_jobs_go_that_no_task_has_which_is_not_done(searched: Path):
    kept = (PROCESS_JOBS / job_of("baseline"), RAY_JOBS / f"{SEARCH}tune-{HASH}")
    gone = (
        *(PROCESS_JOBS / f"baseline-0-{HASH}", RAY_JOBS / f"gone-1-{HASH}", RAY_JOBS / f"{SEARCH}gone-{HASH}"),
        *(RAY_JOBS / "tune" / f"{SEARCH}tune-{HASH}-17000", LOCAL_JOBS / f"baseline-0-{HASH}"),
    )
    made(*kept, *gone)
    shown = posebed("gc", "--dry-run").stdout
    assert all(f"  {path}," in shown for path in gone) and not any(f"  {path}," in shown for path in kept)
    assert all(path.is_dir() for path in (*kept, *gone))
    done = posebed("gc")
    assert (done.returncode, done.stdout) == (0, "jobs: 5, 0.0 MB\n")
    assert [path for path in (*kept, *gone) if path.is_dir()] == [*kept]
    assert posebed("gc").stdout == "nothing to remove\n"


def test_the_job_of_a_model_that_is_gone_for_now_stays(project: Path):
    params = project / "params.yaml"
    former = job_of("baseline")
    made(PROCESS_JOBS / former)
    params.write_text(params.read_text().replace("simple_baseline", "uninstalled"))
    assert posebed("gc").stdout == "nothing to remove\n"
    assert (PROCESS_JOBS / former).is_dir()


NAMES = st.sets(st.sampled_from("abcdef"), max_size=4)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=st.sets(st.sampled_from("abcdef")), by_results=NAMES, by_searches=NAMES)
def test_data_stays_that_an_entry_or_a_result_names(
    there: set[str], by_results: set[str], by_searches: set[str], project: Path
):
    for kind in KINDS:
        for path in (project / "data" / kind).iterdir():
            if len(path.name) == 1:
                shutil.rmtree(path)
    shutil.rmtree(project / "runs", ignore_errors=True)
    made(*(Path("data") / kind / key for kind in KINDS for key in there))
    for key in by_results:
        write_json({"pack": key, "split": key, "data": key}, Path(f"runs/{key}/result.json"), RESULT)
    for key in by_searches:
        named = {"pack": key, "split": key, "data": key, "study": key, "files": {}}
        write_json(named, Path(f"runs/{SEARCH}{key}/search.json"), FOUND)
    if "a" in there:  # its pictures are those of another set
        empty = {"notes": [], "checked": 0, "kept": 0, "dropped": {}, "default_sigmas": [], "files": {}}
        write_json({"root": "data/menagerie/b", **empty}, Path("data/prepared/a/about.json"), PREPARED)
    runs, kept = everything(project / "runs"), there & (by_results | by_searches)
    assert posebed("gc").returncode == 0
    left = {kind: {path.name for path in Path("data", kind).iterdir()} for kind in KINDS}
    assert left["packs"] == {"small"} | kept
    assert left["splits"] == {"quads", "held-out"} | kept
    assert left["prepared"] == {"quads"} | kept
    assert left["menagerie"] == {"quads"} | ({"b"} & there if "a" in kept else set())
    assert everything(project / "runs") == runs


def test_data_behind_a_link_may_be_others_and_stays(project: Path, tmp_path: Path):
    (project / "data/packs").rename(tmp_path / "packs")
    Path("data/packs").symlink_to(tmp_path / "packs")
    made(tmp_path / "packs" / "others")
    assert posebed("gc").stdout == "nothing to remove\n"
    assert (tmp_path / "packs/others/file").is_file()


def test_notes_go_of_tasks_that_there_are_no_more(project: Path):
    write_failure(read_project().graph.tasks["train baseline seed 0"], "why")
    left = [*Path(".posebed/failures").iterdir()]
    Path(".posebed/failures/train@gone@0.json").write_text("{}")
    made(Path(".posebed/logs"))
    Path(".posebed/logs/score@gone.log").write_text("printed")
    assert posebed("gc").stdout == "logs and notes of tasks: 2, 0.0 MB\n"
    assert [*Path(".posebed/failures").iterdir()] == left
    assert not Path(".posebed/logs/score@gone.log").exists()


def test_while_a_command_runs_tasks_it_is_refused(project: Path):
    made(PROCESS_JOBS / f"gone-0-{HASH}")
    with only_command():
        done = posebed("gc")
    assert done.returncode == 2
    assert "must be used by one process at a time" in done.stderr
    assert (PROCESS_JOBS / f"gone-0-{HASH}").is_dir()


def test_a_result_that_cannot_be_read_protects_everything(project: Path):
    made(Path("data/packs/old"), Path("runs/new"))
    Path("runs/new/result.json").write_text("{")
    assert posebed("gc").returncode == 2
    assert Path("data/packs/old/file").is_file()


def study(name: str, made_by: str | None, at: datetime | None = None) -> None:
    """A study in the database: with one trial that began and ended then, or none that began."""
    new = optuna.create_study(storage=open_storage(), study_name=name)
    if made_by:
        new.set_user_attr(PROJECT, made_by)
    if at is None:
        new.enqueue_trial({})
    else:
        trial = optuna.trial.create_trial(value=1.0)
        trial.datetime_start = trial.datetime_complete = at
        new.add_trial(trial)


def studies() -> set[str]:
    return {*optuna.get_all_study_names(open_storage())}


def test_of_the_own_studies_those_stay_that_a_result_a_warm_start_or_a_search_names(searched: Path):
    write_json({"study": f"{SEARCH}done-{HASH}"}, Path(f"runs/{SEARCH}done/search.json"), FOUND)
    kept = {f"{SEARCH}done-{HASH}", f"{SEARCH}tune-{HASH}", "learnt-from"}
    for name in (*kept, f"{SEARCH}gone-{HASH}", f"{SEARCH}done-{HASH[::-1]}"):
        study(name, None)
    assert f"study {SEARCH}gone-{HASH}" in posebed("gc", "--dry-run").stdout
    assert len(studies()) == 5
    assert posebed("gc").stdout == "studies: 2\n"
    assert studies() == kept
    assert posebed("gc").stdout == "nothing to remove\n"


def test_of_shared_studies_only_own_ones_go_in_which_nothing_changed_for_long(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("POSEBED_STUDIES", f"sqlite:///{tmp_path / 'shared.db'}")
    own, now = project_identity(), datetime.now()
    study("own-old", own, now - timedelta(days=9))
    study("own-recent", own, now - timedelta(days=6))
    study("own-new", own)
    study("others-old", "other", now - timedelta(days=90))
    study("nobodys-old", None, now - timedelta(days=90))
    assert posebed("gc").stdout == "studies: 1\n"
    assert studies() == {"own-recent", "own-new", "others-old", "nobodys-old"}


def stored_names(storage: Storage) -> set[str]:
    return {file.name for folder in ("contents", "jobs", "leases") for file in storage.files(folder)}


def test_a_command_leases_what_its_tasks_read_and_the_jobs_of_all_that_is_not_done(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    storage, project = Storage(str(tmp_path / "storage")), read_project()
    todo = [project.graph.tasks[name] for name in project.todo()]
    shelf = Shelf(storage, lambda task: reads(task, project.params), todo)
    shelf.fill([task for task in todo if task.key == "baseline"], lambda line: None)
    lease = lease_of(storage, project_identity())
    assert lease.contents == {Path(file.name).name for file in storage.files("contents")} != set()
    assert lease.jobs == {f"{SEARCH}tune", *(job_of(key) for key in ("floor", "baseline", "prototypes"))}
    first = next(task for task in todo if task.job == job_of("baseline"))
    shelf.add(first, {"runs/baseline/seed-0/train/run.json": "a" * 64})
    shelf.renew()
    renewed = lease_of(storage, project_identity())
    assert (renewed.contents - lease.contents, lease.jobs - renewed.jobs) == ({"a" * 64}, {first.job})


def test_files_that_a_search_may_choose_are_read_by_it_and_by_runs_that_take_what_it_found(searched: Path):
    files = [searched / name for name in ("a.pth", "b.pth")]
    for file in files:
        file.touch()
    params = searched / "params.yaml"
    text = params.read_text().replace(
        "budget: {trials: 2}", "space: {config.weights: [a.pth, b.pth, none]}, budget: {trials: 2}"
    )
    params.write_text(
        text.replace(
            "runs:\n", "runs:\n  taken: {model: simple_baseline, split: quads, pack: small, params_from: tune}\n"
        )
    )
    project = read_project()
    for name in (f"search {SEARCH}tune", "search tune", "train taken seed 0"):
        if task := project.graph.tasks.get(name):
            assert {Path("a.pth"), Path("b.pth")} <= {*reads(task, project.params)}, name


def test_a_project_that_waited_for_long_keeps_its_own_jobs_and_contents(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("POSEBED_STORAGE", str(tmp_path / "storage"))
    storage, here = Storage(str(tmp_path / "storage")), read_project()
    tasks = [*here.graph.tasks.values()]
    shelf = Shelf(storage, lambda task: reads(task, here.params), tasks)
    shelf.fill(tasks, lambda line: None)
    for name in (f"jobs/{job_of('baseline')}/000001-ab/weights", f"jobs/baseline-0-{HASH}/000001-ab/weights"):
        storage.put(project / "params.yaml", name)
    storage.put(project / "params.yaml", f"contents/00/{'0' * 64}")
    then = time.time() - 30 * 24 * 3600
    for path in (tmp_path / "storage").rglob("*"):
        os.utime(path, (then, then))
    before, gone = stored_names(storage), {f"jobs/baseline-0-{HASH}/000001-ab/weights", f"contents/00/{'0' * 64}"}
    assert posebed("gc", "--dry-run").returncode == 0
    assert stored_names(storage) == before
    done = posebed("gc")
    assert (done.returncode, done.stdout) == (0, "stored contents: 1, 0.0 MB\nstored jobs: 1, 0.0 MB\n")
    assert stored_names(storage) == before - gone
    assert job_of("baseline") in lease_of(storage, project_identity()).jobs
    assert posebed("gc").stdout == "nothing to remove\n"


def test_what_cannot_be_used_is_told_before_anything_is_done(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made(PROCESS_JOBS / f"gone-0-{HASH}", tmp_path / "cache/.work.0123456789abcdef.part")
    before = everything(project)
    with monkeypatch.context() as wrong:
        wrong.setenv("POSEBED_CACHE_GB", "abc")
        refused = posebed("gc")
    assert refused.returncode == 2 and "POSEBED_CACHE_GB must be a number" in refused.stderr
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("POSEBED_STORAGE", str(tmp_path / "file"))
    refused = posebed("gc")
    assert refused.returncode == 2 and "the storage" in refused.stderr
    assert everything(project) == before


@pytest.mark.slow
def test_the_caches_of_a_clusters_machines_are_cleared(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cached = tmp_path / "cache/contents/00" / ("0" * 64)
    made(cached.parent, tmp_path / "cache/.work.0123456789abcdef.part")
    cached.write_text("cached")
    os.utime(cached, (0, 0))
    with cluster_of({"num_cpus": 1}, {"num_cpus": 1}) as cluster:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address or "")
        named = posebed_process("gc", "--dry-run")
        assert named.returncode == 0, named.stderr
        assert cached.is_file() and named.stdout.count(str(cached)) == 1
        done = posebed_process("gc")
        assert (done.returncode, done.stdout) == (0, "cached contents: 1, 0.0 MB\nunfinished files: 1, 0.0 MB\n")
    assert not cached.exists() and not (tmp_path / "cache/.work.0123456789abcdef.part").exists()
