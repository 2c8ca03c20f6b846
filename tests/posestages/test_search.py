"""The stage ``search``: what it reads, what it may not see, what it refuses, and runs that take its best settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file

from experiments import experiment_of, searched_experiment
from posebed.data.pack import Pack
from posebed.data.splits import read_split
from posebed.jobs.outcomes import State
from posebed.jobs.search import open_search
from posebed.jobs.trial import validations
from posebed.jobs.trial_log import TrialLog
from posebed.params import read_params
from posebed.places import member_folder, pack_folder, run_folder, split_folder
from posebed.scoring.result import RESULT_FILE, read_result
from posebed.scoring.search_result import read_search
from posebed.training.log import FolderLog
from posebed.training.loop import epochs
from posebed.training.process_group import join_process_group
from posebed.training.run_folder import read_about
from posebed.training.untrained import untrained_model
from posebed.training.validate import Validation
from posestages.benchmark import read_project
from redescribed import redescribe

OWN = {"train.lr": 0.01, "train.batch_size": 8, "train.micro_batch": 2, "model.channels": 8}


def searched(**more: Any) -> dict[str, Any]:
    """An entry under ``searches:``."""
    return {
        "model": "simple_baseline",
        "split": "quads",
        "pack": "small",
        "budget": {"trials": 5},
        "only": ["train.lr"],
        "train": {"engine": "torch"},
    } | more


def write(project: Path, **sections: Any) -> None:
    """Change sections of ``params.yaml``."""
    place = project / "params.yaml"
    place.write_text(yaml.safe_dump(yaml.safe_load(place.read_text()) | sections))


def tuned(**more: Any) -> dict[str, Any]:
    """A run with the parameters of the search ``s``."""
    taken = {"model": "simple_baseline", "split": "quads", "pack": "small", "params_from": "s"}
    return taken | {"train": {"engine": "torch"}} | more


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (tuned(seeds=[0, 1000]), r"runs\.final\.seeds must leave out the seed of its search, but hold 1000"),
        (tuned(params_from="t"), r"runs\.final\.params_from must name a search, but is 't'; there is s"),
        (tuned(params_from="search@s"), r"params_from: String should match pattern"),
        (tuned(model="mean_pose", train={}), r"runs\.final\.model must be simple_baseline, that of its search"),
    ],
)
def test_a_run_that_could_not_take_its_parameters_from_a_search_is_refused(project: Path, entry: dict, message: str):
    write(project, searches={"s": searched()}, runs={"final": entry})
    with pytest.raises(ValueError, match=message):
        read_params(project / "params.yaml")


def test_a_search_that_has_not_ended_gives_no_parameters(project: Path):
    write(project, searches={"s": searched()}, runs={"final": tuned()})
    with pytest.raises(LookupError, match="must hold a finished search, but has no best"):
        experiment_of("final")


def test_the_best_trial_is_laid_below_the_run_s_own_settings_and_above_the_model_s(project: Path):
    write(project, searches={"s": searched()}, runs={"final": tuned(train={"lr": 0.5, "engine": "torch"})})
    best = {"train.lr": 0.25, "train.batch_size": 4, "train.augment.rotation": 3.0, "model.channels": 16}
    folder = run_folder("search@s")
    folder.mkdir(parents=True)
    (folder / "best.yaml").write_text(yaml.safe_dump({"params": best}))
    experiment = experiment_of("final")
    assert experiment.train.lr == 0.5, "the run's own"
    assert (experiment.train.batch_size, experiment.train.augment.rotation) == (4, 3.0), "the search's"
    assert experiment.config.model_dump()["channels"] == 16
    assert experiment.train.epochs == 4, "what models: says"
    assert experiment.params_from == "s" and experiment.described()["params_from"] == "s"


def test_a_search_is_named_by_its_place_in_what_it_refuses(project: Path):
    write(project, searches={"s": searched(space={"train.lrr": [1]}), "t": searched(train={"lr": -1})})
    with pytest.raises(ValueError, match=r"search@s: train\.lrr must name a parameter"):
        open_search(*searched_experiment("s"))
    with pytest.raises(ValueError, match=r"searches\.t: lr"):
        searched_experiment("t")
    with pytest.raises(LookupError, match=r"but is 'search@u'; there is .*search@s, search@t"):
        read_project().graph.of(["search@u"])


def blank_test_part(split: str) -> None:
    """Every crop of the test part turns black, and no keypoint of it is known any more."""
    folder = pack_folder("small")
    pack = Pack.open(folder)
    rows = [pack.row[record] for record in read_split(split_folder(split)).records("test")]
    assert rows
    for name in ("training", "evaluation"):
        crops = np.load(folder / f"{name}-0000.npy")
        assert crops[rows].any()
        crops[rows] = 0
        np.save(folder / f"{name}-0000.npy", crops)
    index = pq.read_table(folder / "index.parquet")
    keypoints = index["keypoints"].to_pylist()
    for row in rows:
        keypoints[row] = [0.0] * len(keypoints[row])
    place = index.schema.get_field_index("keypoints")
    blank = pa.array(keypoints, index.schema.field("keypoints").type)
    pq.write_table(index.set_column(place, index.schema.field("keypoints"), blank), folder / "index.parquet")
    redescribe(folder)


@pytest.mark.parametrize(("model", "split"), [("simple_baseline", "quads"), ("proto_net", "held-out")])
def test_a_trial_never_sees_the_test_part(project: Path, model: str, split: str):
    write(project, searches={"s": searched(model=model, split=split, cost="gflops")})

    def trial(name: str) -> list[float | None]:
        experiment, settings, proposer = searched_experiment("s")
        open_search(experiment, settings, proposer)
        varied = experiment.with_overrides({"train.lr": 0.002, "train.epochs": 2, "train.checkpoint_every": 1})
        return [line.validation for line in epochs(varied, FolderLog(Path(name), name))]

    seeing = trial("seeing")
    blank_test_part(split)
    assert trial("blind") == seeing
    one, other = (load_file(f"{name}/checkpoint/last.safetensors") for name in ("seeing", "blind"))
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.services
@pytest.mark.timeout(3000)
def test_trials_that_fail_in_different_ways_harm_no_other_and_a_run_takes_the_best(project: Path):
    choices = {"train.lr": [0.01, 1e20], "train.batch_size": [8, 10], "train.micro_batch": [2, 4]}
    choices |= {"model.channels": [8, 10**9]}
    train = {"engine": "torch", "optimizer": "sgd", "lr": 0.01, "micro_batch": 2, "epochs": 2, "checkpoint_every": 1}
    entry = searched(sampler="random", scheduler="median", space=choices, train=train)
    write(project, searches={"s": entry}, runs={"final": tuned()})
    study = open_search(*searched_experiment("s")).study
    for wrong in ({"train.lr": 1e20}, {"train.batch_size": 10, "train.micro_batch": 4}, {"model.channels": 10**9}, {}):
        study.enqueue_trial(OWN | wrong)

    printed = posebed_run("final")
    folder = run_folder("search@s")
    result = read_search(folder)
    trials = {trial.number: trial for trial in result.trials}
    assert [trials[n].state for n in range(5)] == ["complete", "failed", "failed", "failed", "complete"]
    assert trials[0].validation == trials[4].validation and trials[0].params == trials[4].params == OWN
    assert "the loss of search@s must be finite" in trials[1].failed and "a lower train.lr" in trials[1].failed
    assert "batch_size must be a multiple of micro_batch x workers" in trials[2].failed
    assert trials[3].failed.startswith("ran out of memory: ")
    for number in (1, 2, 3):
        assert f"trial {number} failed: {trials[number].failed}" in printed
        assert trials[number].validation is None
    assert result.best.number == 0
    assert {path.name for path in folder.iterdir()} >= {"best.yaml", "trials.parquet", "search.json", "figures"}
    assert (folder / "figures").is_dir() and any((folder / "figures").glob("*history*.svg"))
    assert not list(Path(".posebed/ray").rglob("trial-*"))

    about = read_about(member_folder("final", 0) / "train")
    assert (about["train"]["lr"], about["train"]["optimizer"], about["seed"]) == (0.01, "adam", 0)
    assert read_result(run_folder("final") / RESULT_FILE).answered["parameters from"] == "s"
    assert "nothing to do: 4 tasks are done" in posebed_run("final")
    write(project, searches={"s": entry | {"budget": {"trials": 6}}})
    states = {name: status.state for name, status in read_project().statuses.items()}
    assert states == dict.fromkeys(states, State.STALE), "the best of more trials may be another"


MATCH: dict[str, Any] = {"backbone": "test_resnet", "weights": "none", "stride": 8, "resolution": None}
LAYERS: dict[str, Any] = {
    **dict.fromkeys(("model.backbone", "model.block", "model.resolution")),
    "model.stride": [4, 8, 64],
    "model.upsample": [1, 4],
}


def matched(**more: Any) -> dict[str, Any]:
    """A search for settings of a model that is not trained."""
    return {"model": "match", "split": "held-out", "pack": "small", "budget": {"trials": 4}, "space": LAYERS} | more


def write_matched(project: Path, **more: Any) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    run = {"model": "match", "split": "held-out", "pack": "small"}
    runs = {"plain": run, "chosen": {**run, "params_from": "s"}}
    write(project, models={**params["models"], "match": {"config": MATCH}}, searches={"s": matched(**more)}, runs=runs)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"budget": {"epochs": 9}}, r"searches\.s\.budget must say trials or device_seconds for match, .* says epochs"),
        (
            {"space": {"train.lr": [0.1]}},
            "must name settings of match alone, .* but has train.lr",
        ),
        ({"only": ["train.lr"]}, "only must name dimensions of the model's space, but has train.lr"),
    ],
)
def test_a_search_without_training_varies_the_model_alone(project: Path, more: dict[str, Any], message: str):
    write_matched(project, **more)
    with pytest.raises(ValueError, match=message):
        open_search(*searched_experiment("s"))


def test_a_model_that_is_not_trained_has_no_epochs_and_one_worker_whatever_is_written(project: Path):
    write_matched(project, train={"epochs": 7, "workers": 2})
    for experiment in (experiment_of("plain"), searched_experiment("s")[0]):
        assert (experiment.train.epochs, experiment.train.workers) == (0, 1)


def test_a_trial_of_a_model_that_is_not_trained_is_its_validation(project: Path):
    """As a training is validated, by supports that are encoded for every query."""
    write_matched(project)
    experiment = searched_experiment("s")[0]
    log = TrialLog(Path("trial"), "s", 60.0)
    (line,) = validations(experiment, log)
    pack, split = Pack.open(experiment.pack_folder), read_split(experiment.split_folder)
    engine: Any = Whole(untrained_model(experiment))
    assert line == (0, pytest.approx(Validation(experiment, pack, split)(engine, join_process_group()), abs=1e-6))
    blank_test_part("held-out")
    assert list(validations(experiment, log)) == [line], "the test part is not seen"


class Whole:
    """A model as an engine calls it."""

    def __init__(self, module: Any) -> None:
        self.module = self.step_module = module

    def __call__(self, batch: Any) -> Any:
        return self.module(batch), {}


@pytest.mark.services
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_a_model_that_is_not_trained_is_searched_and_its_run_takes_the_best(project: Path, scheduler: str):
    write_matched(project, sampler="random", scheduler=scheduler, cost="gflops" if scheduler == "median" else None)
    study = open_search(*searched_experiment("s")).study
    own = {"model.descriptor": "bilinear", "model.shots": "mean", "model.window": 5, "model.temperature": 0.02}
    own |= {"model.geometry": 0.0, "model.upsample": 4}
    for stride in (4, 64):
        study.enqueue_trial({**own, "model.stride": stride})

    printed = posebed_run("chosen", "plain")
    folder = run_folder("search@s")
    result = read_search(folder)
    assert [t.state for t in result.trials] == ["complete", "complete", "failed", "complete"]
    assert "stride must be one of 2, 4, 8, 16, 32, which test_resnet has, but is 64" in result.trials[2].failed
    assert "at epoch" not in printed and all(t.epochs == 0 and t.device_seconds > 0 for t in result.trials[:2])
    assert any((folder / "figures").glob("*history*.svg"))
    about = read_about(member_folder("chosen", 0) / "train")
    assert {f"model.{name}": value for name, value in about["config"].items()}.items() >= result.best.params.items()
    scored = read_result(run_folder("chosen") / RESULT_FILE)
    assert not scored.curve and scored.answered["parameters from"] == "s"
    assert "nothing to do: 7 tasks are done" in posebed_run("chosen", "plain")
    assert "search@s" in Path("report/index.html").read_text()


def posebed_run(*keys: str) -> str:
    code = "from posestages.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "run", *keys], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
