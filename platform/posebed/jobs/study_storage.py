"""A study in memory, whose trials a database keeps.

Optuna's own cache of a database asks it again for every trial under way, several times per trial, and writes each
parameter by itself. One process runs a study: it need not read what it has written, and writes a trial as a whole when
it starts, when something is noted of it, and when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

PATIENCE_SECONDS = 120.0
"""A database that does not answer is tried again for so long: servers are restarted, and links are cut for a while."""
_LONGEST_WAIT = 8.0


class StudyStorage(InMemoryStorage):
    """Holds one study.

    What is noted of a trial (an attribute of the user) and its end are in the database when the call returns, and with
    them everything before: parameters, reports, what the sampler remembers. A process that is killed in between loses
    a trial that has not begun, or the newest report of one under way. A database that is away is waited for.
    """

    def __init__(self, database: BaseStorage, name: str) -> None:
        """
        Args:
            name: of a study that the database has.
        """
        super().__init__()
        self._database = database
        self._study = database.get_study_id_from_name(name)
        self._kept: list[_Kept] = []
        """By number."""
        study = super().create_new_study(database.get_study_directions(self._study), name)
        for key, value in database.get_study_user_attrs(self._study).items():
            super().set_study_user_attr(study, key, value)
        for key, value in database.get_study_system_attrs(self._study).items():
            super().set_study_system_attr(study, key, value)
        for trial in self._read():
            super().create_new_trial(study, trial)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        if template_trial:
            self._write(trial_id)
        return trial_id

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        self._write(trial_id)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        changed = super().set_trial_state_values(trial_id, state, values)
        if state.is_finished():
            self._write(trial_id)
        return changed

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_user_attr(study_id, key, value)
        _patiently(lambda: self._database.set_study_user_attr(self._study, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_system_attr(study_id, key, value)
        _patiently(lambda: self._database.set_study_system_attr(self._study, key, value))

    def _read(self) -> Sequence[FrozenTrial]:
        """All trials of the database, which are noted as what it has."""
        trials = self._database.get_all_trials(self._study, deepcopy=False)
        self._kept = [_Kept.of(trial, _identity(trial)) for trial in trials]
        return trials

    def _write(self, trial_id: int) -> None:
        """Bring the database's trial to the state of ours. One that was away is read again before, since it may have
        taken what it could not confirm."""
        _patiently(lambda: self._update(trial_id), before_again=self._read)

    def _update(self, trial_id: int) -> None:
        """Write what the database has not; earlier trials that nobody has written come first, since it numbers them as
        they come."""
        number = self.get_trial_number_from_id(trial_id)
        for trial in self.get_all_trials(0, deepcopy=False)[len(self._kept) : number + 1]:
            self._kept.append(_Kept.of(trial, self._database.create_new_trial(self._study, trial)))
        trial, kept = self.get_trial(trial_id), self._kept[number]
        kept.write(trial, self._database)
        self._kept[number] = _Kept.of(trial, kept.identity)
        if trial.state.is_finished():  # Optuna took the time anew for the database, where a resumed search finds it
            known = self._database.get_trial(kept.identity)
            trial.datetime_start, trial.datetime_complete = known.datetime_start, known.datetime_complete


def _patiently(action: Callable[[], object], before_again: Callable[[], object] = lambda: None) -> None:
    """Do it; where the database is away, wait and try again."""
    until, wait, steps = time.monotonic() + PATIENCE_SECONDS, 0.5, [action]
    while True:
        try:
            for step in steps:
                step()
            return
        except (StorageInternalError, SQLAlchemyError) as error:
            if not _is_away(error) or time.monotonic() > until:
                raise
        time.sleep(wait)
        wait, steps = min(2 * wait, _LONGEST_WAIT), [before_again, action]


def _is_away(error: BaseException | None) -> bool:
    """Whether the database did not answer; it may also have refused what it was given."""
    return error is not None and (isinstance(error, OperationalError | InterfaceError) or _is_away(error.__cause__))


@dataclass(frozen=True)
class _Kept:
    """What the database has of a trial. Copied, since Optuna changes dictionaries of trials in place."""

    identity: int
    """By which the database knows it."""
    state: TrialState
    params: frozenset[str]
    steps: frozenset[int]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]

    @classmethod
    def of(cls, trial: FrozenTrial, identity: int) -> _Kept:
        params, steps = frozenset(trial.params), frozenset(trial.intermediate_values)
        return cls(identity, trial.state, params, steps, {**trial.user_attrs}, {**trial.system_attrs})

    def write(self, trial: FrozenTrial, database: BaseStorage) -> None:
        """Give the database what it has not yet."""
        identity = self.identity
        if self.state is TrialState.WAITING and trial.state is not TrialState.WAITING:
            database.set_trial_state_values(identity, TrialState.RUNNING)
        for name in trial.params.keys() - self.params:
            distribution = trial.distributions[name]
            database.set_trial_param(identity, name, distribution.to_internal_repr(trial.params[name]), distribution)
        for step in trial.intermediate_values.keys() - self.steps:
            database.set_trial_intermediate_value(identity, step, trial.intermediate_values[step])
        for key, value in _new(trial.user_attrs, self.user_attrs).items():
            database.set_trial_user_attr(identity, key, value)
        for key, value in _new(trial.system_attrs, self.system_attrs).items():
            database.set_trial_system_attr(identity, key, value)
        if trial.state.is_finished() and not self.state.is_finished():
            database.set_trial_state_values(identity, trial.state, trial.values)


def _new(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in now.items() if key not in before or before[key] != value}


def _identity(trial: FrozenTrial) -> int:
    """Optuna writes to a trial by this number alone, and says it nowhere else."""
    return trial._trial_id  # pyright: ignore[reportPrivateUsage]
