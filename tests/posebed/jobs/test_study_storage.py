"""A study in memory and the database behind it, with Optuna's own database as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

from posebed.jobs.study_storage import StudyStorage


@pytest.fixture
def database(tmp_path: Path) -> Iterator[optuna.storages.RDBStorage]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'studies.db'}")
    yield storage
    storage.engine.dispose()


def study_in(database: optuna.storages.RDBStorage, sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
    optuna.create_study(storage=database, study_name="s", direction="maximize", load_if_exists=True)
    return optuna.load_study(study_name="s", storage=StudyStorage(database, "s"), sampler=sampler)


def suggested(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    return trial.suggest_float("rate", 1e-5, 1e-1, log=True) + (trial.suggest_float("more", 0, 1) if kind == "a" else 0)


def told(trial: FrozenTrial) -> dict[str, Any]:
    """All that is known of a trial but the moment of its end, which the database takes itself."""
    names = ("number", "state", "params", "distributions", "user_attrs", "system_attrs", "intermediate_values")
    return {name: getattr(trial, name) for name in names} | {"values": trial.values}


def kept(database: optuna.storages.RDBStorage) -> list[dict[str, Any]]:
    return [told(trial) for trial in optuna.load_study(study_name="s", storage=database).get_trials()]


@pytest.mark.parametrize("sampler", ["TPESampler", "CmaEsSampler", "NSGAIISampler"])
def test_the_database_has_what_the_memory_has(database: optuna.storages.RDBStorage, sampler: str):
    study = study_in(database, getattr(optuna.samplers, sampler)(seed=1))
    study.enqueue_trial({"kind": "a", "rate": 0.01, "more": 0.5})
    for number in range(12):
        trial = study.ask()
        value = suggested(trial)
        trial.report(value, 1)
        trial.set_user_attr("noted", {"epochs": number})
        trial.report(value + 1, 2)
        states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
        study.tell(trial, value if number % 3 == 0 else None, state=states[number % 3])
    assert kept(database) == [told(trial) for trial in study.get_trials()]
    assert [told(trial) for trial in study_in(database).get_trials()] == kept(database)


def test_what_was_noted_of_a_trial_outlives_the_memory_and_the_trial_goes_on(database: optuna.storages.RDBStorage):
    study = study_in(database)
    begun, unsaid = study.ask(), study.ask()
    suggested(begun)
    suggested(unsaid)
    begun.set_user_attr("noted", {"epochs": 1})
    (found,) = [t for t in study_in(database).get_trials() if t.state is TrialState.RUNNING]
    assert (found.number, found.params, found.user_attrs) == (0, begun.params, {"noted": {"epochs": 1}})

    again = study_in(database)
    trial = optuna.Trial(again, again.get_trials()[0]._trial_id)
    assert suggested(trial) is not None and trial.params == begun.params
    again.tell(trial, 0.5)
    assert again.ask().number == 1
    assert [t.state.name for t in study_in(database).get_trials()] == ["COMPLETE"]


def test_numbers_agree_though_a_later_trial_is_noted_first(database: optuna.storages.RDBStorage):
    study = study_in(database)
    trials = [study.ask() for _ in range(3)]
    for trial in reversed(trials):
        suggested(trial)
        trial.set_user_attr("noted", trial.number)
    assert [(t["number"], t["user_attrs"]) for t in kept(database)] == [(n, {"noted": n}) for n in range(3)]
    assert kept(database) == [told(trial) for trial in study.get_trials()]


def test_a_trial_asks_the_database_the_same_few_times_however_many_there_are(database: optuna.storages.RDBStorage):
    statements, commits = list[str](), list[None]()
    event.listen(database.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    event.listen(database.engine, "commit", lambda _: commits.append(None))
    study, cost = study_in(database, optuna.samplers.RandomSampler(seed=1)), list[tuple[int, int]]()
    for _ in range(30):
        statements.clear()
        commits.clear()
        trial = study.ask()
        trial.suggest_float("rate", 0, 1)
        trial.set_user_attr("noted", {})
        trial.report(0.5, 1)
        study.tell(trial, 0.5)
        cost.append((len(statements), len(commits)))
    assert len({*cost[1:]}) == 1, "none reads the others"
    assert cost[-1][1] <= 3, "start, report, end"
    assert cost[-1][0] <= 20
