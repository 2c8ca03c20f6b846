"""Whole numbers of the command line: in plain digits, within bounds, and refused in a short sentence."""

from __future__ import annotations

import re
from collections.abc import Callable

import typer

from posebed.config import LARGEST
from posebed.listing import shown

_DIGITS = re.compile("[0-9]{1,20}")


def whole_number(text: str, least: int, most: int = LARGEST) -> int:
    """
    Raises:
        ValueError: it is none from ``least`` to ``most``; the sentence lacks its subject.
    """
    if not _DIGITS.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(f"must be a whole number from {least} to {most}, but is {shown(text)}")
    return int(text)


def whole(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """The ``parser`` of an option that takes one."""

    def number(text: str) -> int:
        try:
            return whole_number(str(text), least, most)  # a default is no text
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return number
