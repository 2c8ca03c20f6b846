"""What the stages share: their argument, their entry of the parameters, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from posebed.listing import shortened
from posebed.places import PARAMS
from posestages import stage_times

ZOO = "posezoo"
PACKAGES = ("posebed", ZOO, "posestages")
"""What workers of a cluster are sent."""

Entry = TypeVar("Entry")


def run(main: Callable[[list[str]], None]) -> NoReturn:
    """Call ``main`` with the arguments of the command line and leave: with 2 and a sentence where it refuses."""
    try:
        main(sys.argv[1:])
    except (KeyError, IndexError):
        raise  # a mistake in the program, whose traceback is wanted
    except (ValueError, LookupError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def run_stage(name: str, main: Callable[[list[str]], None]) -> NoReturn:
    """Run a stage of ``dvc.yaml``, and note how long it took."""

    def timed(arguments: list[str]) -> None:
        main(arguments)
        stage_times.add(name)

    run(timed)


def only_key(arguments: list[str]) -> str:
    """The one argument of a stage.

    Raises:
        ValueError: there is not exactly one.
    """
    if len(arguments) != 1:
        raise ValueError(f"a stage must be given one KEY of {PARAMS}, but got {' '.join(arguments) or 'nothing'}")
    return arguments[0]


def entry(section: str, entries: Mapping[str, Entry], key: str) -> Entry:
    """The entry of a section of the parameters.

    Raises:
        LookupError: there is none of that key.
    """
    if key not in entries:
        raise LookupError(f"{section} must have an entry {key!r}, but has {shortened(entries)}")
    return entries[key]
