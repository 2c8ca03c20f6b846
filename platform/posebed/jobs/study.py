"""An Optuna study of one search: its storage, its space in Optuna's words, and its trials in ours.

Everything that a search must not forget lies here: what was tried, how far it came, what it cost. A search that was
killed finds its unfinished trials again and goes on with them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from posebed.address import shown_address
from posebed.config import SearchConfig, Section
from posebed.databases import Database, cause, private_file
from posebed.experiment import Experiment
from posebed.files import locked
from posebed.jobs.study_storage import StudyStorage
from posebed.leases import project_identity
from posebed.listing import shortened
from posebed.scoring.search_result import Measured, State, Trial
from posebed.space import Choice, LogUniform, Space, Steps, Unconditional, When, holds

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
os.environ.setdefault("PGCONNECT_TIMEOUT", "20")  # seconds; Postgres' drivers wait minutes for a machine that is silent

Distribution = CategoricalDistribution | FloatDistribution

STORAGE = "POSEBED_STUDIES"
"""Variable with the address of a database for all studies, such as ``postgresql://...``; else a file of this folder."""
OWN_STORAGE = Path(".posebed/studies.db")
STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
NOTE = "posebed"
"""Attribute of a trial."""
PROJECT = "project"
"""Attribute of a study: identity of the project that made it."""


class Note(Section):
    """What a study keeps of a trial beside its values; as in ``search_result.Trial``."""

    curve: tuple[Measured, ...] = ()
    epochs: int = 0
    device_seconds: float = 0.0
    cost: float | None = None
    notes: tuple[str, ...] = ()
    failed: str = ""
    source: str = ""


PLAIN = (str, int, float, bool, type(None))
"""Kinds of values that a study stores as they are."""


def open_storage() -> optuna.storages.RDBStorage:
    """The database of all studies. A file of this machine waits for no disk at each of its many small changes: a power
    cut may cost the last of them, a kill none.

    Raises:
        ValueError: the database cannot be opened, or its tables are of another version; the message names no password.
    """
    from sqlalchemy import event
    from sqlalchemy.exc import SQLAlchemyError

    address = os.environ.get(STORAGE, "")
    place = f"{STORAGE} must be the address of" if address else "studies must lie in"
    shown = shown_address(address) or str(OWN_STORAGE)
    try:
        database = Database.at(address or f"sqlite:///{OWN_STORAGE}")
        database.check("studies", reading=False)
        # Two that make the tables of an empty database at once would hinder each other.
        with locked(OWN_STORAGE):
            if database.file:
                private_file(database.file)
            storage = _opened(database.address, {"timeout": 60} if database.file else {})
        _must_be_ours(storage, place, shown)
        storage.get_all_studies()
    except _Refused:
        raise
    # Tables that were damaged or changed are found out in many ways.
    except (SQLAlchemyError, StorageInternalError, ImportError, OSError, ValueError, AssertionError) as error:
        raise ValueError(f"{place} a database that can be opened, but {cause(error, address)}") from None
    if address:
        return storage

    def quick(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", quick)
    storage.engine.dispose()  # connections that were opened before are opened anew
    return storage


def _opened(address: str, arguments: Mapping[str, Any]) -> optuna.storages.RDBStorage:
    """The storage, whatever the version of its tables.

    Commands on other machines, with which there is no common lock, may make its first tables at the same moment: the
    database refuses all but one, and the others find them made when they try again.
    """
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    def opened() -> optuna.storages.RDBStorage:
        engine = {"connect_args": dict(arguments)}
        return optuna.storages.RDBStorage(address, engine_kwargs=engine, skip_compatibility_check=True)

    for pause_seconds in (0.5, 1.0, 2.0):
        try:
            return opened()
        except (IntegrityError, ProgrammingError):
            time.sleep(pause_seconds)
    return opened()


class _Refused(ValueError):
    """A sentence of ours, which is whole."""


def _must_be_ours(storage: optuna.storages.RDBStorage, place: str, shown: str) -> None:
    version, ours = storage.get_current_version(), storage.get_head_version()
    if version == ours:
        return
    older = version in storage.get_all_versions()
    way = "`optuna storage upgrade --storage ADDRESS` upgrades it" if older else "use the program that made it"
    raise _Refused(
        f"{place} a database of Optuna {optuna.__version__}, whose tables have version {ours}, but {shown} has "
        f"{'the older' if older else 'an unknown'} version {version}; {way}, or another database"
    )


def study_name(experiment: Experiment, space: Space, cost: str | None) -> str:
    """The key and what decides whether two searches may share their trials: experiment, space and objectives."""
    identity = json.dumps([experiment.fingerprint, {name: repr(d) for name, d in space.items()}, cost])
    return f"{experiment.key}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def open_study(
    name: str,
    storage: optuna.storages.BaseStorage,
    *,
    space: Space,
    own_setting: Mapping[str, Any],
    settings: SearchConfig,
) -> optuna.Study:
    """The study of that name; a new one gets the run's own setting as its first trial, and what other studies know.

    Args:
        own_setting: the run's own values of every dimension that has one.

    Raises:
        LookupError: a study to learn from is not in the storage.
    """
    there = optuna.get_all_study_names(storage)
    lost = [] if name in there else sorted({*settings.warm_start} - {*there})
    if lost:
        raise LookupError(
            f"from must name a study of the storage, but {lost[0]!r} is none; there is {shortened(there)}"
        )
    directions = [StudyDirection.MAXIMIZE, *([StudyDirection.MINIMIZE] if settings.cost else [])]
    optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    study = optuna.load_study(storage=StudyStorage(storage, name), study_name=name)
    if not study.get_trials(deepcopy=False):
        study.set_user_attr(PROJECT, project_identity())
        study.enqueue_trial({n: _label(value) for n, value in own_setting.items()})
        for source in settings.warm_start:
            _learn(study, storage, source, space)
    return study


def _learn(study: optuna.Study, storage: optuna.storages.BaseStorage, source: str, space: Space) -> None:
    """Take over the finished trials of another study, as far as they could have been tried here."""
    plain = {n: d.then if isinstance(d, When) else d for n, d in space.items()}
    other = optuna.load_study(study_name=source, storage=storage)
    for trial in other.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        fits = all(n in plain and holds(plain[n], value) for n, value in trial.params.items())
        if fits and len(trial.values) == len(study.directions):
            study.add_trial(
                optuna.trial.create_trial(
                    values=trial.values,
                    params=trial.params,
                    distributions={n: _distribution(plain[n]) for n in trial.params},
                    user_attrs={NOTE: _attribute(noted(trial).model_copy(update={"source": source}))},
                )
            )


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Values for every dimension that is there for this trial."""
    chosen: dict[str, Any] = {}
    for name, dimension in space.items():
        if isinstance(dimension, When):
            if dimension.name not in chosen or chosen[dimension.name] not in dimension.values:
                continue
            dimension = dimension.then
        value = _suggested(trial, name, _distribution(dimension))
        chosen[name] = meant(dimension, value)
    return chosen


def _suggested(trial: optuna.Trial, name: str, distribution: Distribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    low, high = distribution.low, distribution.high
    return trial.suggest_float(name, low, high, log=distribution.log, step=distribution.step)


def _distribution(dimension: Unconditional) -> Distribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution([_label(value) for value in dimension.values])
    step = dimension.step if isinstance(dimension, Steps) else None
    return FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, LogUniform), step=step)


def _label(value: object) -> Any:
    """What a study stores of a value: lists as JSON."""
    return value if isinstance(value, PLAIN) else json.dumps(value)


def meant(dimension: Unconditional, stored: Any) -> Any:
    """The value of which a study has stored the label."""
    if isinstance(dimension, Choice):
        return next(value for value in dimension.values if _label(value) == stored)
    if isinstance(dimension, Steps) and float(stored).is_integer() and float(dimension.step).is_integer():
        return int(stored)
    return stored


def trials_of(study: optuna.Study, space: Space) -> tuple[Trial, ...]:
    """All trials that have ended, in our words."""
    return tuple(_trial(t, space) for t in study.get_trials(deepcopy=False) if t.state in STATES)


def trial_of(study: optuna.Study, space: Space, number: int) -> Trial:
    """One trial that has ended."""
    return _trial(study.get_trials(deepcopy=False)[number], space)


def _trial(frozen: FrozenTrial, space: Space) -> Trial:
    about = noted(frozen)
    plain = {n: d.then if isinstance(d, When) else d for n, d in space.items()}
    curve = about.curve
    failed = frozen.state is TrialState.FAIL
    return Trial(
        number=frozen.number,
        state=STATES[frozen.state],
        params={n: meant(plain[n], v) for n, v in frozen.params.items()},
        validation=curve[-1].validation if curve and not failed else None,
        cost=about.cost,
        curve=curve,
        epochs=about.epochs,
        device_seconds=about.device_seconds,
        failed=about.failed or ("ended without a word" if failed else ""),
        notes=about.notes,
        started=_utc(frozen.datetime_start),
        ended=_utc(frozen.datetime_complete),
        source=about.source,
    )


def _utc(local: datetime | None) -> str:
    return local.astimezone(UTC).isoformat(timespec="milliseconds") if local else ""


def noted(trial: optuna.Trial | FrozenTrial) -> Note:
    """What is known of a trial beside its values."""
    return Note.model_validate(trial.user_attrs.get(NOTE, {}))


def note(trial: optuna.Trial, about: Note) -> None:
    """Keep what is known of a trial: a search that is killed after this finds the trial again."""
    trial.set_user_attr(NOTE, _attribute(about))


def _attribute(about: Note) -> dict[str, Any]:
    return about.model_dump(exclude_defaults=True)


def importance(study: optuna.Study) -> dict[str, float]:
    """Dotted names to the share of the validation's variance that each explains, the largest first; empty where too
    few trials were seen to their end to tell."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < 4 or len({t.values[0] for t in done}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator, target=lambda t: t.values[0])
    return {name: float(share) for name, share in shares.items()}
