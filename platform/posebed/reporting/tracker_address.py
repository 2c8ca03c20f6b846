"""What stands at the address of a tracker, found out in seconds, before MLflow tries it for minutes or makes it."""

from __future__ import annotations

import os
import urllib.request
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

from posebed.address import shown_address
from posebed.databases import Database, reach
from posebed.listing import shown

DEFAULT_URI = "sqlite:///mlflow.db"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
TABLE = "experiments"
"""A table that every database of MLflow has."""
SERVERS = {"http": 80, "https": 443}
"""Schemes of servers, and the ports of addresses that name none."""
MUST = "the address of a tracker must be http://HOST:PORT or a database such as sqlite:///mlflow.db"
LEFT_TO_MLFLOW = ("databricks", "databricks-uc", "uc")


def database_at(uri: str) -> Database | None:
    """The database that MLflow opens itself; None for a server or a folder.

    Raises:
        ValueError: the address is none, or the driver is not installed.
    """
    return Database.at(uri) if _scheme(uri) in DATABASES else None


def check(uri: str, reading: bool) -> None:
    """
    Args:
        reading: nothing may be made there.

    Raises:
        ValueError: nothing can be tracked there, or read; a sentence that names no password.
    """
    scheme = _scheme(uri)
    if scheme in DATABASES:
        Database.at(uri).check(TABLE, reading)
    elif scheme in SERVERS:
        _check_server(uri, scheme)
    elif scheme in ("", "file"):
        _check_folder(uri, reading)
    elif scheme not in LEFT_TO_MLFLOW and scheme not in entry_points(group="mlflow.tracking_store").names:
        raise ValueError(f"{MUST}, but is {_shown(uri)}")


def _scheme(uri: str) -> str:
    if uri in LEFT_TO_MLFLOW:
        return uri
    return uri.partition(":")[0].partition("+")[0].lower() if ":" in uri else ""


def _check_server(uri: str, scheme: str) -> None:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or SERVERS[scheme]
    except ValueError:
        raise ValueError(f"{MUST}, but is {_shown(uri)}") from None
    if not host:
        raise ValueError(f"{MUST}, but is {_shown(uri)}, which names no host")
    # A proxy may reach what this machine does not.
    if scheme not in urllib.request.getproxies() or urllib.request.proxy_bypass(host):
        reach(host, port)


def _check_folder(uri: str, reading: bool) -> None:
    folder = Path(urlsplit(uri).path if uri.startswith("file:") else uri)
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        raise ValueError(
            f"{MUST}, but is the folder {_shown(uri)}, to which "
            " MLflow writes no more; `mlflow migrate-filestore` makes a database of it"
        )
    if reading and not folder.is_dir():
        raise ValueError(f"{_shown(uri)} must be a folder of MLflow, but there is none")


def _shown(uri: str) -> str:
    return shown(shown_address(uri))
