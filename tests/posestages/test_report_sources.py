"""One report from three places: a folder of results, a tracking server, and the project itself."""

from __future__ import annotations

import csv
import html
import json
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from posebed.catalog import installed
from posebed.config import merged
from posebed.params import Params
from posebed.places import member_folder, prepared_folder
from posebed.predictions import Predictions, write_predictions
from posebed.provenance import origin
from posebed.records import Category, Record, categories_to_json, write_records
from posebed.reporting.common_ground import ground_sections
from posebed.reporting.headlines import read_headlines
from posebed.reporting.terminal import headlines_text
from posebed.reporting.tracking import EXPERIMENT, Tracker
from posebed.scoring.result import RESULT_FILE, Cost, Provenance, Repeat, Result, Score, read_result, write_result
from posebed.scoring.search_result import Measured, SearchResult, Trial, write_search
from posebed.yamlfile import yaml_text
from posestages.cli import app
from posestages.commands.mirror import mirror
from posestages.commands.presets import entries
from posestages.commands.report_sources import report_folder, report_tracker, results_in
from posestages.report import main, report, results_table
from posestages.score import metrics_of, score
from posestages.stage import entry

CATALOG = installed()


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


PRESET = "hrnet-w32-ap10k"
SEEDS = {"prototypes": (0, 1, 2)}
"""Of the runs that have several."""
KINDS = [Category(name, name, ("nose", "tail", "hip"), limbs=((0, 1),)) for name in ("cat", "dog", "fox", "hen")]
GROUND = {PRESET: "hrnet", "floor": "mean_pose", "prototypes": "proto_net"}
"""Runs that answer the same queries, the first of which knows its categories."""


def predict(folder: Path, model: str, queries: list[Record], error: float, seed: int) -> None:
    """Write answers that are so many pixels off in the mean."""
    rng = np.random.default_rng([len(model), seed])
    xy = np.array([record.keypoints[:, :2] for record in queries]) + rng.normal(0, error, (len(queries), 3, 2))
    supports = [[record] for record in np.roll(np.array(queries, object), 1)]
    shown = {} if model == "hrnet" else {"episode": range(len(queries)), "supports": supports}
    table = Predictions.from_records(KINDS, queries, xy, np.full(xy.shape[:2], 0.9), **shown)
    write_predictions(table, folder / "predicted/predictions.parquet")


def score_here(key: str, params: Params) -> Result:
    run = entry("runs", params.runs, key)
    return score(key, params, CATALOG, origin(prepared_folder(params.splits[run.split].data)))


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    """A project whose runs repeat a preset, or answer the same queries, or both. To be copied, not changed."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, written_and_scored()


@pytest.fixture
def project(uri: str, scored: tuple[Path, Params]) -> Params:
    """The parameters of a copy of that project in this folder."""
    folder, params = scored
    shutil.copytree(folder, Path.cwd(), dirs_exist_ok=True)
    return params


def written_and_scored() -> Params:
    wanted = entries(PRESET)
    (data,), (split,), (pack,) = (wanted[section] for section in ("data", "splits", "packs"))
    others = {
        key: {"model": model, "split": split, "pack": pack, "seeds": SEEDS.get(key, (0,))}
        for key, model in GROUND.items()
        if key != PRESET
    }
    params = Params.model_validate(merged(wanted, {"models": {m: {} for m in GROUND.values()}, "runs": others}))
    points = np.array([[20, 20, 2], [60, 30, 2], [40, 50, 2]], np.float32)
    records = [
        Record(f"{kind.key}{i}", "noise.png", 90, 70, kind.key, (10.0, 10.0, 60.0, 50.0), 3000.0, points)
        for kind in KINDS
        for i in range(4)
    ]
    prepared, episodes = Path("data/prepared") / data, Path("data/splits") / split / "about.json"
    write_records(records, prepared / "records.parquet")
    (prepared / "categories.json").write_text(categories_to_json(KINDS))
    cv2.imwrite(str(prepared / "noise.png"), np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8))
    about = {"root": str(prepared), "checked": 16, "kept": 16, "dropped": {}, "notes": [], "default_sigmas": []}
    (prepared / "about.json").write_text(json.dumps(about))
    episodes.parent.mkdir(parents=True)
    episodes.write_text(json.dumps({"data": data, "draw": "own"}))
    for i, (key, model) in enumerate(GROUND.items()):
        task = "category_specific" if key == PRESET else "category_agnostic"
        for seed in SEEDS.get(key, (0,)):
            run = {
                **{"key": key, "fingerprint": f"{key}{seed}", "model": f"posezoo.{model}", "task": task, "seed": seed},
                **{"config": {}, "train": {}, "data": data, "split": split, "pack": pack, "shots": int(key != PRESET)},
                **{"boxes": "annotated", "padding": 1.25, "convention": "plain", "size": [256, 256], "keypoints": 3},
                "categories": json.loads(categories_to_json(KINDS)),
            }
            folder = member_folder(key, seed)
            (folder / "train").mkdir(parents=True)
            (folder / "train/run.json").write_text(json.dumps(run))
            (folder / "train/curve.json").write_text("[]")
            (folder / "train/best.safetensors").touch()
            predict(folder, model, records, 2.0 * i + 2, seed)
            (folder / "predicted/cost.json").write_text(made("a", 0.5).cost.model_dump_json())
        score_here(key, params)
    return params


def results_of(keys: Iterable[str]) -> list[Result]:
    return [read_result(Path(f"runs/{key}/result.json")) for key in keys]


def column(path: Path, name: str) -> list[str]:
    with path.open(newline="") as file:
        return [line[name] for line in csv.DictReader(file)]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_report_of_a_folder_and_that_of_a_tracker_are_equal(uri: str, tmp_path: Path):
    results = [made("b", 0.7), made("a", 1 / 3), made("c", 0.5, data="plants")]
    for result in results:
        write_result(result, tmp_path / "runs" / result.key / "result.json")
    mirror(results)
    searches = [searched("search@b", 0.7), searched("search@a", 1 / 3)]
    for search in searches:
        write_search(search, tmp_path / "runs" / search.key)
    mirror([], searches)
    report_folder(tmp_path / "runs", tmp_path / "1")
    report_tracker(uri, tmp_path / "2")
    one, other = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert one == other
    assert {"index.html", "report.json", "leaders.csv", "leaders.md", "leaders.tex", "trials.csv"} <= one.keys()
    everything = json.loads(one["report.json"])
    assert [Result.model_validate(r) for r in everything["results"]] == sorted(results, key=lambda r: r.key)
    found = [SearchResult.model_validate({**search, "files": {}}) for search in everything["searches"]]
    assert found == sorted(searches, key=lambda s: s.key)
    assert everything["tracked"].keys() == {"a", "b", "c"}
    for tracked in everything["tracked"].values():
        assert tracked["run"].encode() in one["index.html"]


def test_papers_and_common_ground_are_those_of_the_project(uri: str, project: Params):
    mirror(results_of(GROUND))
    report_folder(Path("runs"), Path("1"))
    report_tracker(uri, Path("2"))
    report(project, Path("3"))
    one, other, own = (contents(Path(name)) for name in "123")
    assert one == other
    assert {name for name in own if one.get(name) != own[name]} == {"index.html"}, "which has pictures"
    for page in (one, own):
        assert all(f'id="{part}"'.encode() in page["index.html"] for part in ("papers", "common-ground-1"))
    assert set(column(Path("1/common_ground.csv"), "run")) == GROUND.keys()
    assert PRESET in column(Path("1/papers.csv"), "runs")
    assert b"Hardest queries" in own["index.html"] and b"Hardest queries" not in one["index.html"]


def test_a_run_and_its_members_have_a_result_each(project: Params):
    (run,) = results_of(["prototypes"])
    members = [read_result(member_folder("prototypes", seed) / RESULT_FILE) for seed in (0, 1, 2)]
    assert run.seeds == (0, 1, 2) and [member.seeds for member in members] == [(0,), (1,), (2,)]
    for own, member in zip(members, run.members, strict=True):
        assert own.as_member() == member and Path(member.result).is_file()
    value = run.score("PCK@0.2")
    of_members = [own.score("PCK@0.2").value for own in members]
    assert (value.value, value.spread) == pytest.approx((np.mean(of_members), np.std(of_members, ddof=1)))
    assert metrics_of([run]) == {"prototypes": {s.metric: s.value for s in run.scores}}
    assert not [*Path("runs").rglob("metrics.json")]
    (floor,) = results_of(["floor"])
    assert floor == read_result(member_folder("floor", 0) / RESULT_FILE).model_copy(update={"members": floor.members})


def test_a_run_without_the_predictions_of_a_member_is_refused_and_nothing_is_written(project: Params):
    Path("runs/prototypes/seed-2/predicted/predictions.parquet").unlink()
    Path("runs/prototypes/result.json").unlink()
    with pytest.raises(LookupError, match=r"every member of prototypes must have .* none in runs/prototypes/seed-2"):
        score_here("prototypes", project)
    assert not Path("runs/prototypes/result.json").exists()
    with pytest.raises(LookupError, match="runs must have an entry 'lost'"):
        score_here("lost", project)


def test_results_of_members_are_no_runs_of_a_folder(project: Params):
    assert [path.as_posix() for path in results_in(Path("runs"))] == sorted(f"runs/{key}/result.json" for key in GROUND)


def test_a_result_says_what_it_repeats(project: Params):
    repeated, *others = results_of(GROUND)
    assert repeated.repeats == Repeat(preset=PRESET)
    assert [result.repeats for result in others] == [None, None]
    changed = merged(project.model_dump(exclude_unset=True), {"runs": {PRESET: {"train": {"epochs": 2}}}})
    assert score_here(PRESET, Params.model_validate(changed)).repeats == Repeat(preset=PRESET, changed="train.epochs 2")


def test_a_run_whose_predictions_are_missing_is_left_out_of_the_ground(
    uri: str, project: Params, capsys: pytest.CaptureFixture[str]
):
    Path("runs/floor/seed-0/predicted/predictions.parquet").unlink()
    mirror(results_of(GROUND))
    report_folder(Path("runs"), Path("1"))
    report_tracker(uri, Path("2"))
    assert contents(Path("1")) == contents(Path("2"))
    assert set(column(Path("1/common_ground.csv"), "run")) == GROUND.keys() - {"floor"}
    assert "floor is left out, since its table of predictions must be there" in Path("1/index.html").read_text()
    assert capsys.readouterr().err.count("floor: left out of common ground") == 2


def test_where_nobody_has_the_queries_there_is_no_ground_and_it_is_reported(
    project: Params, capsys: pytest.CaptureFixture[str]
):
    for path in ("floor/seed-0", "prototypes/seed-1"):
        Path(f"runs/{path}/predicted/predictions.parquet").unlink()
    report_folder(Path("runs"), Path("1"))
    assert not Path("1/common_ground.csv").exists()
    assert "floor, prototypes: left out of common ground" in capsys.readouterr().err


def test_only_predictions_on_common_ground_are_fetched(uri: str, project: Params, monkeypatch: pytest.MonkeyPatch):
    elsewhere = made("elsewhere", 0.5)
    shutil.copytree(f"runs/{PRESET}", "runs/elsewhere")
    mirror([elsewhere, *results_of(GROUND)])
    fetched: list[str] = []
    fetch = Tracker.predictions

    def counted(tracker: Tracker, run: str, folder: Path) -> Path | None:
        fetched.append(run)
        return fetch(tracker, run, folder)

    monkeypatch.setattr(Tracker, "predictions", counted)
    report_tracker(uri, Path("1"))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    names = {run.info.run_id: run.info.run_name for run in client.search_runs([experiment.experiment_id])}
    wanted = [*GROUND.keys() - SEEDS.keys(), *(f"{key} seed {seed}" for key, of in SEEDS.items() for seed in of)]
    assert sorted(names[run] or "" for run in fetched) == sorted(wanted)


def test_the_command_compares_with_a_named_run_and_refuses_others(project: Params):
    def command(*words: str) -> None:
        app(["report", "--out", "1", "--from", "runs", *words], standalone_mode=False)

    command("--reference", "prototypes")
    assert set(column(Path("1/common_ground.csv"), "reference")) == {"prototypes"}
    choices = ", ".join(sorted(GROUND))
    with pytest.raises(LookupError, match=f"must stand on a common ground, but is 'lost'; there is {choices}"):
        command("--reference", "lost")


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


def test_of_a_run_that_was_repeated_the_newest_counts_and_the_others_are_reported(
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
    mirror([], [searched("search@a", 0.7, study="new", origin=later), searched("search@a", 0.5, study="old")])
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
    with pytest.raises(LookupError, match="must hand out what it holds, but does not"):
        report_tracker("http://127.0.0.1:9", tmp_path / "out")


def test_a_folder_without_results_is_refused(tmp_path: Path):
    with pytest.raises(LookupError, match=r"must hold results as KEY/result\.json"):
        report_folder(tmp_path, tmp_path / "out")


def test_passwords_of_a_tracker_are_never_reported():
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}/x"
        assert Tracker(f"http://me:secret@{place}").address == f"http://{place}"


@pytest.fixture
def no_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails what computes common ground again."""

    def refused(*_: object) -> None:
        raise AssertionError("must not be computed again")

    monkeypatch.setattr("posestages.report.ground_sections", refused)


def written_project(params: Params) -> Params:
    Path("params.yaml").write_text(yaml_text(params.model_dump(mode="json", exclude_unset=True)))
    return params


def test_the_stage_ends_with_the_table_of_the_page_and_where_it_lies(
    project: Params, capsys: pytest.CaptureFixture[str]
):
    written_project(project)
    main([])
    printed = capsys.readouterr().out.rstrip().splitlines()
    assert printed[-1] == f"The report: {Path('report/index.html').absolute().as_uri()}"
    assert "\n".join(printed[:-1]) == headlines_text(read_headlines(Path("report")))
    page = Path("report/index.html").read_text()
    for table in read_headlines(Path("report")).tables:
        assert {row.run for row in table.rows} == GROUND.keys()
        assert html.escape(table.sure) in page
        for row in table.rows:
            assert f"<b>{row.value:.3f}</b>" in page and f"{row.value:.3f}" in "\n".join(printed)


def test_results_are_printed_from_the_report_without_resampling(project: Params, no_resampling: None):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("posestages.report.ground_sections", ground_sections)
        report(project)
    table = results_table(project)
    assert table.startswith(headlines_text(read_headlines(Path("report"))))
    assert table.endswith(f"The report: {Path('report/index.html').absolute().as_uri()}")


def test_results_are_computed_anew_where_the_report_is_absent_damaged_or_of_other_results(project: Params):
    first = results_table(project)
    assert "The report:" not in first and not Path("report").exists(), "nothing is written"
    report(project)
    assert results_table(project).startswith(first)
    Path("report/results.json").write_text("{")
    assert results_table(project).startswith(first)
    report(project)
    Path("runs/prototypes/seed-1/predicted/predictions.parquet").unlink()
    rerun = read_result(Path("runs/prototypes/result.json")).model_copy(update={"fingerprint": "later"})
    write_result(rerun, Path("runs/prototypes/result.json"))
    other = results_table(project)
    assert not other.startswith(first) and other.endswith("older than these results, `posebed report` writes it anew")
    shutil.rmtree("runs/floor")
    assert "floor " not in results_table(project)


def test_a_report_of_the_folder_serves_the_project_until_a_run_or_search_is_another(
    project: Params, no_resampling: None
):
    split, pack = project.runs["floor"].split, project.runs["floor"].pack
    search = {"base": {"model": "hrnet", "split": split, "pack": pack, "budget": {"trials": 3}}}
    params = Params.model_validate(merged(project.model_dump(exclude_unset=True), {"searches": search}))
    write_search(searched("search@base", 0.7), Path("runs/search@base"))
    report_folder(Path("runs"), Path("report"))
    assert results_table(params).count("common ground") == 1
    write_search(searched("search@base", 0.8, study="later"), Path("runs/search@base"))
    with pytest.raises(AssertionError, match="must not be computed again"):
        results_table(params)


def test_without_a_result_there_is_one_sentence(project: Params):
    for key in GROUND:
        Path(f"runs/{key}/result.json").unlink()
    with pytest.raises(LookupError, match="at least one run must have a result, but none has"):
        results_table(project)


@pytest.mark.parametrize("failed", [{}, {"score lost": "RuntimeError: it broke"}])
def test_a_command_that_made_results_ends_with_the_table_and_failures_last(
    project: Params, monkeypatch: pytest.MonkeyPatch, failed: dict[str, str]
):
    written_project(project)
    monkeypatch.setattr("posestages.benchmark.run_tasks", lambda keys: failed)

    def command() -> tuple[int, str]:
        done = CliRunner().invoke(app, ["run"])
        return done.exit_code, done.stdout

    code, printed = command()
    place = printed.index("The report: file://")
    assert printed[:place].rstrip() == headlines_text(read_headlines(Path("report")))
    assert code == bool(failed)
    for task, reason in failed.items():
        assert printed.index(task) > place and printed.rstrip().endswith(reason)
    assert "The report" not in command()[1], "no new result"
    # A report that fails hides no failure.
    shutil.rmtree("report")
    for about in Path("data/prepared").glob("*/about.json"):
        about.unlink()
    if failed:
        code, printed = command()
        assert code == 1 and printed.rstrip().endswith("RuntimeError: it broke")
    else:
        with pytest.raises(ValueError, match="there is no such file"):
            app(["run"], standalone_mode=False)
