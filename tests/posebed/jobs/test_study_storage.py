"""A study in memory and the database behind it, with Optuna's own database as it is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import DataError, OperationalError

from posebed.jobs import study_storage
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
    """All that is known of a trial; of one that has ended, also when it began and ended."""
    names = [
        "number",
        "state",
        "params",
        "distributions",
        "user_attrs",
        "system_attrs",
        "intermediate_values",
        "values",
    ]
    names += ["datetime_start", "datetime_complete"] if trial.state.is_finished() else []
    return {name: getattr(trial, name) for name in names}


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
    assert cost[-1][1] <= 4, "start, report, end, and the time of that"
    assert cost[-1][0] <= 26


class Unreliable(optuna.storages.RDBStorage):
    """Is away at some of its calls: before it does anything, or after it has done it."""

    draw: random.Random | None = None
    away = 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not (name.startswith("set_trial") or name in ("create_new_trial", "get_all_trials")) or not self.draw:
            return found

        def called(*words: Any, **named: Any) -> Any:
            moment = self.draw.choice(["never", "never", "before", "after"])
            answer = found(*words, **named) if moment != "before" else None
            if moment != "never":
                self.away += 1
                raise StorageInternalError("no answer") from OperationalError("", None, Exception("closed"))
            return answer

        return called


@pytest.mark.parametrize("seed", range(3))
def test_a_database_that_is_away_now_and_then_has_in_the_end_what_the_memory_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
):
    monkeypatch.setattr(study_storage.time, "sleep", lambda seconds: None)
    database = Unreliable(f"sqlite:///{tmp_path / 'studies.db'}")
    study = study_in(database, optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial({"kind": "a", "rate": 0.01, "more": 0.5})
    database.draw = random.Random(seed)
    for number in range(6):
        trial = study.ask()
        value = suggested(trial)
        trial.report(value, 1)
        trial.set_user_attr("noted", {"epochs": number})
        study.tell(trial, value)
    assert database.away > 10
    database.draw = None
    assert kept(database) == [told(trial) for trial in study.get_trials()]
    assert [trial["number"] for trial in kept(database)] == [*range(6)]
    database.engine.dispose()


def test_patience_ends_and_what_is_refused_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    waits = list[float]()
    monkeypatch.setattr(study_storage.time, "sleep", waits.append)
    database = Unreliable(f"sqlite:///{tmp_path / 'studies.db'}")
    study = study_in(database)
    trial = study.ask()
    for cause, patient in (
        (OperationalError("", None, Exception("closed")), True),
        (DataError("", None, Exception()), False),
    ):
        waits.clear()
        moments = iter(range(0, 10_000, 50))
        monkeypatch.setattr(study_storage.time, "monotonic", lambda moments=moments: float(next(moments)))

        def refuse(*words: Any, cause: Exception = cause) -> None:
            raise StorageInternalError("no") from cause

        monkeypatch.setattr(database, "create_new_trial", refuse)
        with pytest.raises(StorageInternalError):
            trial.set_user_attr("noted", 1)
        assert bool(waits) is patient
    database.engine.dispose()
