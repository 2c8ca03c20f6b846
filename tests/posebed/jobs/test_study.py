"""A search without a cluster: Optuna's own samplers on a database, asked and told as Ray Tune does."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest

from command_line import run_at_once
from posebed.catalog import installed
from posebed.experiment import Experiment, decide
from posebed.jobs.graph import GraphMaker, training_identity_of
from posebed.jobs.schedulers import scheduler_of
from posebed.jobs.search import Search, open_search, result_of
from posebed.jobs.search_space import own_setting
from posebed.jobs.study import open_storage
from posebed.jobs.suggest import StudySearch
from posebed.params import Params
from posebed.scoring.search_result import Trial, read_search, spent, write_search
from posebed.source_code import SourceCode

from ray.tune.search import Searcher  # isort: skip

CATALOG = installed()
EPOCHS = 4


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a study, which takes longer to make than to copy."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        open_storage().engine.dispose()  # pyright: ignore[reportAttributeAccessIssue]
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database of studies is a file of the working directory."""
    monkeypatch.delenv("POSEBED_STUDIES", raising=False)
    shutil.copytree(empty, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


CODE = SourceCode(("posebed", "posezoo"))


def opened(**search: Any) -> Search:
    """A search that a command would open, by what stands in ``params.yaml``."""
    entry: dict[str, Any] = {
        "model": "simple_baseline",
        "split": "plain",
        "pack": "small",
        "budget": {"trials": 6},
        "sampler": "random",
        "only": ["train.lr", "train.augment.rotation"],
        "train": {"epochs": EPOCHS, "engine": "torch"},
    }
    params = Params.model_validate(
        {
            "data": {"zoo": {"source": "coco_folder", "path": "zoo"}},
            "splits": {"plain": {"data": "zoo"}},
            "packs": {"small": {"data": "zoo", "crop_size": [64, 64]}},
            "models": {"simple_baseline": {}},
            "searches": {"s": entry | search},
        }
    )
    task = GraphMaker(params, CATALOG, CODE).graph().tasks["search s"]
    seed, identity = params.searches["s"].seed, training_identity_of(task)
    experiment = decide(params, "search@s", seed, CATALOG, Path("split"), Path("pack"), identity=identity)
    settings = params.searches["s"]
    return open_search(experiment, settings, CATALOG.sampler(settings.sampler))


def validation(experiment: Experiment, epoch: int) -> float:
    """What a trial would reach: the better the nearer the learning rate is to 1e-3."""
    return 0.5 - abs(math.log10(experiment.train.lr) + 3) / 10 + epoch / 100


@dataclass
class Tune:
    """Asks and tells a searcher in the order in which Ray Tune does."""

    search: Search
    at_once: int = 1
    stop: Mapping[int, int] = field(default_factory=dict[int, int])
    """Numbers of trials to the epochs after which the scheduler stops them."""
    fail: Mapping[int, str] = field(default_factory=dict[int, str])
    """Numbers of trials to what goes wrong with them."""
    lose: Mapping[int, int] = field(default_factory=dict[int, int])
    """Numbers of trials to how often they lose their process after the first epoch."""
    lose_after: Mapping[int, Sequence[int]] = field(default_factory=dict[int, Sequence[int]])
    """Numbers of trials to the epochs after which they lose their process, one loss after the other."""
    started: list[int] = field(default_factory=list[int])
    ended: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        self.algorithm = StudySearch(
            self.search.experiment,
            self.search.space,
            self.search.settings,
            self.search.study,
            self.search.sampler(),
            lambda varied, number: {"experiment": varied, "number": number},
            self.ended.append,
        )
        self._live: dict[str, Iterator[dict[str, Any]]] = {}
        self._losses = dict(self.lose)
        self._losses_after = {number: [*epochs] for number, epochs in self.lose_after.items()}
        self._names = iter(f"t{i}" for i in range(10_000))

    def run(self, steps: int | None = None) -> Tune:
        """To the end of the budget, or until so many results have come, as if killed then."""
        while self._fill():
            for name in list(self._live):
                if steps is not None and not steps:
                    return self
                steps = steps and steps - 1
                self._step(name)
        return self

    def _fill(self) -> bool:
        while len(self._live) < self.at_once:
            name = next(self._names)
            config = self.algorithm.suggest(name)
            if config is None or config == Searcher.FINISHED:
                assert self._live or config == Searcher.FINISHED, "nobody runs and nobody may start"
                break
            assert isinstance(config, dict)
            self.started.append(config["number"])
            self._live[name] = self._results(**config)
        return bool(self._live)

    def _results(self, experiment: Experiment, number: int) -> Iterator[dict[str, Any]]:
        for epoch in range(1, EPOCHS + 1):
            if number in self.fail:
                yield {"failed": self.fail[number], "seconds": 1.0, "done": True}
            if epoch > 1 and self._losses.get(number):
                self._losses[number] -= 1
                yield {"lost": True}
            if self._losses_after.get(number, [])[:1] == [epoch - 1]:
                del self._losses_after[number][0]
                yield {"lost": True}
            done = epoch == min(EPOCHS, self.stop.get(number, EPOCHS))
            result = {"epoch": epoch, "validation": validation(experiment, epoch), "seconds": 2.0, "failed": ""}
            yield result | {"done": done, "cost": experiment.train.augment.rotation}

    def _step(self, name: str) -> None:
        result = next(self._live[name])
        if result.get("lost"):
            del self._live[name]
            self.algorithm.on_trial_complete(name, error=True)
        elif result["done"]:
            del self._live[name]
            self.algorithm.on_trial_complete(name, result)
        else:
            self.algorithm.on_trial_result(name, result)


def by_number(search: Search) -> dict[int, Trial]:
    return {trial.number: trial for trial in search.trials()}


def tried(search: Search) -> list[dict[str, Any]]:
    return [trial.params for _, trial in sorted(by_number(search).items())]


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "nsga2"])
def test_the_first_trial_is_the_run_s_own_setting_and_others_differ(sampler: str):
    search = opened(sampler=sampler, budget={"trials": 4}, train={"epochs": EPOCHS, "lr": 0.004})
    assert Tune(search).run().started == [0, 1, 2, 3]
    params = tried(search)
    assert params[0] == own_setting(search.experiment, search.space)
    assert params[0]["train.lr"] == 0.004
    assert len({tuple(p.items()) for p in params}) == 4


@pytest.mark.parametrize("conditional", [False, True])
def test_tpe_tries_no_setting_twice(conditional: bool):
    narrow: dict[str, Any] = {"train.lr": [1e-4, 1e-3, 1e-2], "train.weight_decay": [0.0, 0.1, 0.2, 0.3]}
    narrow["train.optimizer"] = ["adam", "adamw", "sgd"]
    if conditional:
        narrow["train.momentum"] = {"choice": [0.5, 0.9], "when": {"train.optimizer": "sgd"}}
    search = opened(sampler="tpe", budget={"trials": 32}, only=["train.lr"], space=narrow)
    assert list(search.space) == [*narrow]
    Tune(search).run()
    settings = [tuple(sorted(params.items())) for params in tried(search)]
    # The first ten are drawn dimension by dimension, and may agree.
    assert len(set(settings[10:])) == 22
    assert not set(settings[10:]) & set(settings[:10])


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_conditional_dimension_is_proposed_where_its_condition_holds_alone(sampler: str):
    space = {
        "train.optimizer": ["sgd", "adam"],
        "train.momentum": {"low": 0.5, "high": 0.99, "when": {"train.optimizer": "sgd"}},
    }
    search = opened(sampler=sampler, budget={"trials": 14}, space=space)
    Tune(search).run()
    params = tried(search)
    assert all(("train.momentum" in p) == (p["train.optimizer"] == "sgd") for p in params)
    assert {p["train.optimizer"] for p in params} == {"sgd", "adam"}


def test_values_of_every_kind_come_back_as_they_went():
    space = {"train.decay_at": [[0.5, 0.9], [0.8]], "train.undecayed": [[], ["norm"]], "train.sync_batchnorm": [True]}
    space |= {"train.warmup_steps": {"low": 0, "high": 40, "step": 10}}
    search = opened(budget={"trials": 8}, space=space, train={"epochs": EPOCHS, "warmup_steps": 10})
    Tune(search).run()
    for params in tried(search):
        varied = search.experiment.with_overrides(params)
        assert {name: varied.value_of(name) for name in params} == params
        assert isinstance(params["train.warmup_steps"], int)


def test_a_trial_that_is_stopped_early_is_pruned_and_keeps_its_values():
    search = opened(budget={"trials": 3})
    Tune(search, stop={1: 2}).run()
    trials = by_number(search)
    assert [trials[n].state for n in range(3)] == ["complete", "pruned", "complete"]
    stopped = trials[1]
    varied = search.experiment.with_overrides(stopped.params)
    assert [m.validation for m in stopped.curve] == [validation(varied, e) for e in (1, 2)]
    assert (stopped.epochs, stopped.device_seconds, stopped.failed) == (2, 4.0, "")
    frozen = search.study.get_trials()[1]
    assert frozen.state is optuna.trial.TrialState.PRUNED
    assert frozen.intermediate_values == {m.epoch: m.validation for m in stopped.curve}


@dataclass(frozen=True)
class Tried:
    """As much of Tune's trial as schedulers look at."""

    trial_id: str
    config: dict[str, Any] = field(hash=False)


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_poor_trials_are_stopped_by_what_former_searches_saw_and_the_run_s_own_setting_never(scheduler: str):
    search = opened(scheduler=scheduler, budget={"trials": 3})
    Tune(search).run()
    again = opened(scheduler=scheduler, budget={"trials": 9})
    judge: Any = scheduler_of(again.settings, again.experiment.train.epochs, again.trials())

    def judged(number: int, validation: float) -> str:
        trial = Tried(f"new-{number}", {"number": number})
        judge.on_trial_add(None, trial)
        return judge.on_trial_result(None, trial, {"epoch": 1, "validation": validation, "time_total_s": 1.0})

    assert judged(3, 0.01) == "STOP"
    assert judged(4, 0.99) == "CONTINUE"
    assert judged(0, 0.01) == "CONTINUE"
    failed = Tried("failed", {"number": 5})
    judge.on_trial_add(None, failed)
    judge.on_trial_complete(None, failed, {"epoch": 0, "validation": math.nan, "failed": "went wrong"})
    assert judged(6, 0.01) == "STOP", "a failed trial makes no measure"
    assert judged(7, 0.99) == "CONTINUE"


def test_a_trial_that_fails_says_why_and_harms_no_other():
    search = opened(budget={"trials": 4})
    Tune(search, at_once=2, fail={1: "the loss must be finite"}).run()
    trials = by_number(search)
    assert [trials[n].state for n in range(4)] == ["complete", "failed", "complete", "complete"]
    assert (trials[1].failed, trials[1].validation, trials[1].device_seconds) == ("the loss must be finite", None, 1.0)
    assert result_of(search, {}).best.number != 1


def test_a_validation_that_is_no_number_is_a_failure_in_words():
    search = opened(budget={"trials": 1})
    tune = Tune(search)
    tune.algorithm.suggest("t")
    tune.algorithm.on_trial_complete("t", {"epoch": 1, "validation": math.nan, "seconds": 1.0, "done": True})
    (trial,) = search.trials()
    assert trial.state == "failed"
    assert trial.failed == "the validation must be a number, but is nan in epoch 1"


def test_a_setting_that_the_sections_refuse_costs_a_trial_and_nothing_else():
    space = {"train.batch_size": [8, 10], "train.micro_batch": [2, 4]}
    small = {"epochs": EPOCHS, "batch_size": 8, "micro_batch": 2}
    search = opened(budget={"trials": 4}, only=["train.lr"], space=space, train=small)
    lr = search.experiment.train.lr
    search.study.enqueue_trial({"train.lr": lr, "train.batch_size": 10, "train.micro_batch": 4})
    tune = Tune(search).run()
    trials = by_number(search)
    assert 1 not in tune.started and 1 in tune.ended
    assert trials[1].state == "failed" and "batch_size must be a multiple of micro_batch" in trials[1].failed
    assert trials[1].params == {"train.lr": lr, "train.batch_size": 10, "train.micro_batch": 4}
    assert len(trials) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_one_place_at_a_time_and_the_same_seed_propose_the_same_trials(empty: Path, sampler: str):
    def proposed(key: str, seed: int) -> list[dict[str, Any]]:
        shutil.copytree(empty, key)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(key)
            search = opened(sampler=sampler, budget={"trials": 12}, seed=seed)
            Tune(search).run()
            return tried(search)

    assert proposed("one", 7) == proposed("other", 7)
    assert proposed("third", 8)[1:] != proposed("one more", 7)[1:]


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_killed_search_goes_on_with_its_own_trials_and_repeats_none(at_once: int):
    search = opened(budget={"trials": 6})
    killed = Tune(search, at_once).run(steps=9)
    under_way = {n for n in killed.started if n not in killed.ended}
    before = {t.number: t.params for t in search.study.get_trials()}
    assert under_way

    again = opened(budget={"trials": 6})
    assert again.study.study_name == search.study.study_name
    resumed = Tune(again, at_once).run()
    assert {*resumed.started[: len(under_way)]} == under_way, "they come first"
    assert not {*resumed.started} & {*killed.ended}, "what has ended is not started again"
    assert sorted([*killed.ended, *resumed.ended]) == list(range(6))
    trials = by_number(again)
    assert all(t.state == "complete" and [m.epoch for m in t.curve] == [1, 2, 3, 4] for t in trials.values())
    assert all(again.study.get_trials()[n].params == before[n] for n in before)


def test_a_search_that_has_spent_its_budget_starts_nothing():
    Tune(opened(budget={"trials": 3})).run()
    assert Tune(opened(budget={"trials": 3})).run().started == []


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_larger_budget_goes_on_without_repeating(sampler: str):
    Tune(opened(sampler=sampler, budget={"trials": 3})).run()
    search = opened(sampler=sampler, budget={"trials": 5})
    assert Tune(search).run().started == [3, 4]
    assert len({tuple(p.items()) for p in tried(search)}) == 5


@pytest.mark.parametrize(
    ("budget", "trials"),
    [
        ({"trials": 3}, 3),
        ({"epochs": 9}, 3),
        ({"epochs": 8}, 2),
        ({"device_seconds": 17.0}, 3),
        ({"trials": 5, "device_seconds": 8.0}, 1),
    ],
)
def test_a_search_ends_when_any_part_of_its_budget_is_spent(budget: dict[str, Any], trials: int):
    search = opened(budget=budget)
    Tune(search).run()
    assert spent(search.trials()) == {"trials": trials, "epochs": 4 * trials, "device_seconds": 8.0 * trials}


def test_a_budget_counts_the_work_of_every_worker():
    search = opened(budget={"device_seconds": 17.0}, train={"epochs": EPOCHS, "workers": 2})
    Tune(search).run()
    assert spent(search.trials())["device_seconds"] == 2 * 16.0


def test_trials_under_way_count_towards_the_budget():
    search = opened(budget={"epochs": 8})
    assert sorted(Tune(search, at_once=3).run().started) == [0, 1]


def test_a_trial_that_loses_its_process_starts_again_under_its_number():
    search = opened(budget={"trials": 4})
    tune = Tune(search, at_once=2, lose={1: 2}).run()
    assert tune.started.count(1) == 3 and sorted({*tune.started}) == [0, 1, 2, 3]
    trial = by_number(search)[1]
    assert trial.state == "complete" and [m.epoch for m in trial.curve] == [1, 2, 3, 4]
    assert "its process was lost after epoch 1; it starts again" in trial.notes


def test_a_loss_is_remembered_though_the_search_is_killed_before_the_trial_starts_again():
    tune = Tune(opened(budget={"trials": 2}), lose={0: 1})
    tune.run(steps=2)
    again = opened(budget={"trials": 2})
    Tune(again).run()
    assert "its process was lost after epoch 1; it starts again" in by_number(again)[0].notes


def test_a_trial_that_loses_its_process_again_and_again_fails():
    search = opened(budget={"trials": 2})
    tune = Tune(search, lose={0: 9}).run()
    assert tune.started.count(0) == StudySearch.RESTARTS + 1
    trial = by_number(search)[0]
    assert (trial.state, trial.failed) == ("failed", "its process was lost 4 times without coming any further")
    assert by_number(search)[1].state == "complete"


@pytest.mark.parametrize(("after", "state"), [((1, 1, 1, 2, 2, 2, 3, 3, 3), "complete"), ((2, 1, 2, 1, 3), "failed")])
def test_losses_of_a_trial_are_counted_since_it_last_came_further(after: Sequence[int], state: str):
    search = opened(budget={"trials": 1})
    tune = Tune(search, lose_after={0: after}).run()
    assert by_number(search)[0].state == state
    assert tune.started.count(0) == (len(after) + 1 if state == "complete" else StudySearch.RESTARTS + 1)


def test_another_study_is_learnt_from_and_counts_for_nothing():
    first = opened(budget={"trials": 5})
    Tune(first, stop={2: 1}).run()
    name = first.study.study_name
    search = opened(budget={"trials": 2}, seed=5, **{"from": name})
    assert search.study.study_name != name
    learnt = [t for t in search.trials() if t.source]
    assert len(learnt) == 4 and {t.source for t in learnt} == {name}
    assert [t.params for t in learnt] == [t.params for t in first.trials() if t.state == "complete"]
    tune = Tune(search).run()
    assert tune.started == [0, 5], "before and after those that were learnt"
    assert by_number(search)[0].params == own_setting(search.experiment, search.space)
    result = result_of(search, {})
    assert [t.number for t in result.own] == [0, 5] and result.best in result.own
    assert spent(result.own)["trials"] == 2


def test_trials_outside_the_space_are_not_learnt_from():
    Tune(first := opened(budget={"trials": 6})).run()
    narrow = {"train.augment.rotation": {"low": 30, "high": 60}}
    own = {"epochs": EPOCHS, "augment": {"rotation": 45}}
    search = opened(seed=5, space=narrow, train=own, **{"from": first.study.study_name})
    assert all(t.params["train.augment.rotation"] >= 30 for t in search.trials())
    assert len(search.trials()) < 6


def test_a_study_that_is_not_there_is_refused_with_those_that_are():
    name = opened().study.study_name
    with pytest.raises(LookupError, match=f"storage, but 'nobody' is none; there is {name}$"):
        opened(seed=3, **{"from": "nobody"})


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "gp"])
def test_two_objectives_have_a_front_that_no_trial_beats(sampler: str):
    search = opened(cost="gflops", sampler=sampler, budget={"trials": 8})
    Tune(search, at_once=2, stop={2: 1}).run()
    result = result_of(search, {})
    assert by_number(search)[2].state == "pruned"
    assert all(t.cost == t.params["train.augment.rotation"] for t in result.own)
    front = result.front
    assert front and result.best.validation == max(t.validation or 0 for t in front)
    for trial in front:
        beaten = [t for t in result.own if t.number != 2 and t.cost <= trial.cost and t.validation >= trial.validation]  # pyright: ignore
        assert all((t.cost, t.validation) == (trial.cost, trial.validation) for t in beaten)


def test_what_is_written_reads_back(tmp_path: Path):
    search = opened(budget={"trials": 5}, space={"train.decay_at": [[0.5, 0.9], [0.8], [0.81, 0.952]]})
    Tune(search, stop={1: 1}, fail={2: "went wrong"}, lose={3: 1}).run()
    result = result_of(search, {"commit": "abc"})
    folder = tmp_path / result.key
    write_search(result, folder)
    again = read_search(folder)
    assert again.files.keys() == {"best.yaml", "trials.parquet"}
    assert again.model_copy(update={"files": {}}).model_dump_json() == result.model_dump_json()
    moved = folder.rename(tmp_path / "search@moved")
    assert read_search(moved).key == "search@moved" and read_search(moved, named=False).key == result.key
    assert {t.state for t in again.trials} == {"complete", "pruned", "failed"}


def test_a_search_without_a_finished_trial_has_no_best_and_says_so(tmp_path: Path):
    search = opened(budget={"trials": 2})
    Tune(search, fail={0: "went wrong", 1: "went wrong"}).run()
    with pytest.raises(LookupError, match=r"search@s must have a finished trial, but all of 2 ended early"):
        write_search(result_of(search, {}), tmp_path)


@pytest.mark.parametrize(
    "address", ["foo://somebody:hush-hush@db/x", "postgresql://somebody:hush-hush@127.0.0.1:9/x", "nonsense"]
)
def test_a_database_that_cannot_be_opened_is_one_sentence_without_password(
    monkeypatch: pytest.MonkeyPatch, address: str
):
    monkeypatch.setenv("POSEBED_STUDIES", address)
    with pytest.raises(ValueError, match="POSEBED_STUDIES must be the address of a database") as refused:
        open_storage()
    text = str(refused.value)
    assert "somebody" not in text and "hush-hush" not in text and "\n" not in text


@pytest.mark.services
def test_several_searches_may_make_the_database_at_once(tmp_path: Path):
    folder = tmp_path / "new"
    folder.mkdir()
    run_at_once("from posebed.jobs.study import open_storage; READY; open_storage()", folder, 4)


def test_a_damaged_file_of_studies_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for file in (tmp_path / ".posebed").iterdir():
        file.write_text("x" * 5000)
    with pytest.raises(ValueError, match=r"studies must lie in a database that can be opened.*not a database"):
        open_storage()


def test_a_trial_whose_cost_was_not_measured_failed_instead_of_costing_nothing():
    search = opened(cost="gflops", budget={"trials": 2})
    tune = Tune(search)
    results = tune._results

    def without_cost(experiment: Experiment, number: int) -> Iterator[dict[str, Any]]:
        for result in results(experiment, number):
            yield result if number else {name: value for name, value in result.items() if name != "cost"}

    tune._results = without_cost
    tune.run()
    first, second = by_number(search)[0], by_number(search)[1]
    assert (first.state, first.failed) == ("failed", "its cost must be measured, but was not")
    assert second.state == "complete" and second.cost is not None


def test_a_search_is_finished_when_its_budget_is_spent_and_not_before():
    for steps in (1, 5, 9):
        assert not Tune(opened(seed=steps), at_once=2).run(steps).algorithm.finished
    assert Tune(opened(seed=99)).run().algorithm.finished
