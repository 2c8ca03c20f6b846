"""MLflow's client, as the mirrors of runs and searches use it: all that fails in it is one kind of error."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
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

from posebed.address import shown_address, without_secrets  # noqa: E402
from posebed.files import locked  # noqa: E402

DEFAULT_URI = "sqlite:///mlflow.db"
LOCK = Path(".posebed/tracker")
"""Its lock is held while the database of this folder is opened."""

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

    def __init__(self, uri: str | None = None) -> None:
        self.uri = tracking_uri(uri)
        # Two that make the tables of an empty database at once would hinder each other.
        with locked(LOCK) if self.uri == DEFAULT_URI else nullcontext(), _failures(self.uri):
            super().__init__(self.uri)

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


def out_of_reach(uri: str | None = None) -> str:
    """Why the tracker does not answer; empty where it does."""
    try:
        Client(uri).search_experiments(max_results=1)
    except TrackerError as error:
        return str(error)
    return ""


def must_answer() -> None:
    """Ask the tracker for something small.

    Raises:
        ValueError: it does not answer, or does not know the user.
    """
    if reason := out_of_reach():
        address = shown_address(tracking_uri())
        raise ValueError(
            f"MLFLOW_TRACKING_URI must be the address of a tracker that lets us in, but {address} does not: {reason}; "
            f"where it is not set, runs are tracked in {DEFAULT_URI}"
        )


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
        text = str(error) if isinstance(error, MlflowException) else f"{type(error).__name__}: {error}"
        if isinstance(error, MlflowException) and error.get_http_status_code() == 401:
            text = UNKNOWN_USER
        raise TrackerError(without_secrets(text, uri)) from error
