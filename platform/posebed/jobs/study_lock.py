"""One command leads a search: two that share a database, as those of two clones, would give trials the same numbers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

PATIENCE_SECONDS = 10.0
"""The lock of a process that was killed is free once Postgres has noticed that."""
ALIVE = ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3")
"""By which Postgres notices within a minute that a machine is lost."""


@contextmanager
def leading(study: str, database: sqlalchemy.Engine) -> Generator[None]:
    """Lead the study of that name meanwhile.

    Postgres holds the lock for the connection and so for this process. Any other database is a file of one project,
    whose commands exclude one another.

    Raises:
        ValueError: another command leads it.
    """
    if database.dialect.name != "postgresql":
        yield
        return
    connection = database.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        for setting in ALIVE:
            connection.execute(sqlalchemy.text(f"SET {setting}"))
        _take(connection, study)
        yield
    finally:
        with suppress(SQLAlchemyError):  # the server may have been started anew meanwhile
            connection.detach()
            connection.close()


def _take(connection: sqlalchemy.Connection, study: str) -> None:
    number = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], signed=True)
    end = time.monotonic() + PATIENCE_SECONDS
    while not connection.scalar(sqlalchemy.text("SELECT pg_try_advisory_lock(:number)"), {"number": number}):
        if time.monotonic() > end:
            raise ValueError(
                f"the study {study} must be led by one command, but another one that uses this database leads it; wait "
                "until that has ended, or change what is searched"
            )
        time.sleep(0.5)
