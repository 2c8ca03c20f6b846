"""Studies that nobody needs any more."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta

import optuna
from sqlalchemy.exc import SQLAlchemyError

from posebed.address import without_secrets
from posebed.databases import LOCK_SECONDS
from posebed.jobs.study import OWN_STORAGE, PROJECT, STORAGE, open_storage
from posebed.leases import project_identity
from posebed.leftovers import Leftover

ZONES = timedelta(hours=26)
"""Optuna notes the local time of the machine that writes; two machines' differ by so much at most."""


def study_leftovers(needed: Callable[[str], bool], days: float) -> Iterator[Leftover]:
    """Studies of the project's own database that are not needed. Of a shared one only those that this project made, as
    no other can make them again, and in which nothing changed for some days, as others may have taken them up.

    Args:
        needed: by the study's name.

    Raises:
        ValueError: the database cannot be opened or read.
    """
    shared = bool(os.environ.get(STORAGE))
    if not shared and not OWN_STORAGE.is_file():
        return
    database = open_storage()
    own, latest = project_identity(), datetime.now() - timedelta(days=days) - ZONES
    try:
        for study in database.get_all_studies():
            name = study.study_name
            if needed(name) or (shared and study.user_attrs.get(PROJECT) != own):
                continue
            if not shared or _unchanged_since(name, database, latest):
                yield Leftover("studies", f"study {name}", None, lambda name=name: _delete(name, database))
    except SQLAlchemyError as error:
        raise _refused(error) from None


def _unchanged_since(name: str, database: optuna.storages.BaseStorage, latest: datetime) -> bool:
    """Whether no trial started or ended later; not where none ever did, as the study may be a new one."""
    trials = optuna.load_study(study_name=name, storage=database).get_trials(deepcopy=False)
    times = [time for trial in trials for time in (trial.datetime_start, trial.datetime_complete) if time]
    return bool(times) and max(times) < latest


def _delete(name: str, database: optuna.storages.BaseStorage) -> None:
    try:
        optuna.delete_study(study_name=name, storage=database)
    except KeyError:
        return  # another command was faster
    except SQLAlchemyError as error:
        raise _refused(error) from None


def _refused(error: SQLAlchemyError) -> ValueError:
    return ValueError(without_secrets(f"the database of studies fails with: {error}", os.environ.get(STORAGE, "")))


def shrunk_database() -> Iterator[Leftover]:
    """The room that deleted studies leave in the project's own database."""
    if not os.environ.get(STORAGE):
        yield Leftover("databases", f"room in {OWN_STORAGE}", None, _shrink)


def _shrink() -> None:
    try:
        with closing(sqlite3.connect(OWN_STORAGE, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
            connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
