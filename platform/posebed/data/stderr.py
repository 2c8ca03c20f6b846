"""What C libraries print to standard error, caught instead of shown: libjpeg reports damage in no other way."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def caught_stderr() -> Generator[list[str]]:
    """Collect the lines that any thread of this process prints to file descriptor 2 within the block; the list is
    filled when the block ends."""
    lines: list[str] = []
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as file:
        _flush()
        terminal = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            _flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
