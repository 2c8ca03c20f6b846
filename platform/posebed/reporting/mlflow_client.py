"""MLflow's client, as the mirrors of runs and searches use it: all that fails in it is one kind of error."""

from __future__ import annotations

import inspect
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a tracker out of reach holds nothing up
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from posebed.address import shown_address  # noqa: E402
from posebed.databases import Database, cause  # noqa: E402
from posebed.files import locked, writing  # noqa: E402
from posebed.places import must_be_in_text  # noqa: E402
from posebed.reporting import tracker_address  # noqa: E402
from posebed.reporting.tracker_address import DEFAULT_URI  # noqa: E402

ARTIFACTS = Path("mlruns")
"""The folder where MLflow keeps the artifacts of a database that it opens itself."""
DATABASE_ATTEMPTS = 2
"""How often MLflow tries to open a database; its own ten take two minutes."""

UNKNOWN_USER = (
    "the tracker asks for a user and a password that it knows, which MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD give"
)


class TrackerError(Exception):
    """A call of the tracker failed; the message is one line without user name and password."""


def tracking_uri(uri: str | None = None) -> str:
    """Where runs are tracked: as given, as ``MLFLOW_TRACKING_URI`` says, or in a file of this folder."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


class Client(MlflowClient):
    """Every public method raises ``TrackerError`` where it fails, be it for the server, its database, its store of
    artifacts or the network."""

    def __init__(self, uri: str | None = None, reading: bool = False) -> None:
        """
        Args:
            reading: nothing is made at the address; else the tables of an empty database are.
        """
        self.uri = tracking_uri(uri)
        with _failures(self.uri):
            must_be_in_text()
            tracker_address.check(self.uri, reading)
            database = tracker_address.database_at(self.uri)
            with _room_for(database, reading):
                super().__init__(database.address if database else self.uri)

    @property
    def address(self) -> str:
        """The URI without user and password."""
        return shown_address(self.uri)

    def experiment_id(self, name: str) -> str | None:
        """The id of the experiment of that name; None where there is none.

        Raises:
            TrackerError: also where the experiment is deleted, since MLflow takes no runs into it.
        """
        experiment = self.get_experiment_by_name(name)
        if experiment is None:
            return None
        identity = experiment.experiment_id
        if experiment.lifecycle_stage != "active":
            restore = f"MLFLOW_TRACKING_URI={self.address} mlflow experiments restore --experiment-id {identity}"
            raise TrackerError(f"the experiment {name!r} is deleted in the tracker; `{restore}` brings it back")
        return identity

    def opened_experiment(self, name: str) -> str:
        """The id of the experiment of that name, made if there is none."""
        known = self.experiment_id(name)
        if known is not None:
            return known
        try:
            return self.create_experiment(name)
        except TrackerError:
            # Another process may have made it in between.
            made = self.experiment_id(name)
            if made is None:
                raise
            return made

    def __getattribute__(self, name: str) -> Any:
        attribute = super().__getattribute__(name)
        return attribute if name.startswith("_") or not inspect.ismethod(attribute) else _guarded(attribute, self.uri)


@contextmanager
def _room_for(database: Database | None, reading: bool) -> Iterator[None]:
    """What MLflow makes of its own is for this user alone."""
    if database is None:
        yield
        return
    from mlflow.store.db import utils  # which takes time that a server does not cost

    utils.MAX_RETRY_COUNT = DATABASE_ATTEMPTS
    # MLflow sets levels of its own when it is imported, and shows tracebacks of what it also raises.
    for name in ("mlflow", utils.__name__, "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if reading:
        yield
        return
    with suppress(FileExistsError):
        ARTIFACTS.mkdir(mode=0o700)
    # Two that make the tables of an empty database at once would hinder each other.
    with locked(database.file) if database.file else nullcontext():
        if database.file and (not database.file.is_file() or not database.file.stat().st_size):
            _make_tables(database, database.file)
        yield


def _make_tables(database: Database, file: Path) -> None:
    """Let MLflow make its tables elsewhere: what is half made when its process is killed is broken to it for good."""
    with TemporaryDirectory() as folder, writing(file) as unfinished:
        made = Path(folder) / "tables"
        MlflowClient(database.url.set(database=str(made)).render_as_string(hide_password=False))
        unfinished.chmod(0o600)
        shutil.copyfile(made, unfinished)


def out_of_reach(uri: str | None = None) -> str:
    """Why the tracker does not answer; empty where it does."""
    try:
        Client(uri).search_experiments(max_results=1)
    except TrackerError as error:
        return str(error)
    return ""


def _guarded(call: Callable[..., Any], uri: str) -> Callable[..., Any]:
    @wraps(call)
    def guarded(*arguments: Any, **named: Any) -> Any:
        with _failures(uri):
            return call(*arguments, **named)

    return guarded


@contextmanager
def _failures(uri: str) -> Iterator[None]:
    try:
        yield
    except TrackerError:
        raise
    except Exception as error:  # of MLflow, and of whichever database, store or network lies behind it
        text = cause(error, uri)
        if isinstance(error, MlflowException) and error.get_http_status_code() == 401:
            text = UNKNOWN_USER
        elif not isinstance(error, MlflowException | ValueError | SQLAlchemyError | OSError):
            text = f"{type(error).__name__}: {text}"
        # The cause's own words may hold a password, which a traceback would show.
        raise TrackerError(text) from None
