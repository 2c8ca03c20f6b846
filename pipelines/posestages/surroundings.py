"""What a command finds around it, made sound before any library reads it: the terminal's size, the working folder and
the home."""

from __future__ import annotations

import os
import re
from pathlib import Path

from posebed.private import have_home

WIDEST = 1000
"""Columns or lines of a terminal: rich builds whole lines, so that a size from a mistake would take all memory."""
_SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
"""Variables from which rich and typer take it."""


def have_sound_surroundings() -> None:
    """
    Raises:
        ValueError: the working folder is not there, or no folder can be made for a home.
    """
    have_sound_terminal()
    try:
        Path.cwd()
    except OSError as error:
        raise ValueError(
            f"the working folder must be there and readable, but is not: {error.strerror}; change to another folder"
        ) from error
    have_home()


def have_sound_terminal() -> None:
    """Drop sizes that no terminal has; then it is asked itself. To be called before rich is asked for a console."""
    for name in _SIZES:
        written = os.environ.get(name)
        if written is not None and not (re.fullmatch("[0-9]{1,4}", written) and 1 <= int(written) <= WIDEST):
            del os.environ[name]
