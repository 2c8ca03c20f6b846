"""A call measures what is missing of a run until its time is over; the next one goes on."""

from __future__ import annotations

import faulthandler
import gc
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from card.run_file import MOST_BEGINNINGS, Run

GRACE = 60.0
"""Seconds that the last entry of a call may take beyond its end; it is given up then."""
HUNG = 30.0
"""Seconds after which a process that does not even give up is ended."""


@dataclass(frozen=True)
class Entry:
    name: str
    """``KIND/CASE``, or a kind alone."""
    measure: Callable[[], Mapping[str, Any]]


class DeviceLost(Exception):
    """Nothing more can be measured in this process."""


class TimeOver(BaseException):
    """No part of an entry may take it for a fault of its own."""


def measured(run: Run, entries: Sequence[Entry], minutes: float, again: bool = False) -> bool:
    """Measure entries in their order; whether none is missing at the end.

    Args:
        again: those that ended in an error too.

    Raises:
        DeviceLost: an entry left the device unusable; another process can go on.
    """
    ends = time.monotonic() + minutes * 60
    missing = [
        each for each in entries if each.name not in run.entries or (again and "error" in run.entries[each.name])
    ]
    console = Console(stderr=True, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress, ended_after(minutes * 60):
        bar = progress.add_task("", total=len(entries), completed=len(entries) - len(missing))
        for number, entry in enumerate(missing, len(entries) - len(missing) + 1):
            if time.monotonic() + expected(run, entry.name) > ends:
                return False
            progress.update(bar, description=entry.name)
            try:
                _one(run, entry)
            except TimeOver:
                return False
            progress.advance(bar)
            progress.console.print(f"{number}/{len(entries)} {line(run, entry.name)}", highlight=False, markup=False)
    return True


def expected(run: Run, name: str) -> float:
    """Seconds that an entry takes at most, as far as others of its kind tell."""
    kind = name.partition("/")[0]
    return max((each["seconds"] for other, each in run.entries.items() if other.partition("/")[0] == kind), default=0.0)


def line(run: Run, name: str) -> str:
    """What is known of an entry, in one line."""
    entry = run.entries[name]
    found = entry.get("error") or ", ".join(f"{key} {_short(value)}" for key, value in entry["outcome"].items())
    return f"{name} ({entry['seconds']:.1f} s): {found}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _one(run: Run, entry: Entry) -> None:
    if run.begun.get(entry.name, 0) >= MOST_BEGINNINGS:
        reason = f"{MOST_BEGINNINGS} calls ended within it: it ends the process, or takes longer than a call"
        run.end(entry.name, 0.0, error=reason)
        return
    run.begin(entry.name)
    started = time.monotonic()
    try:
        outcome, error = dict(entry.measure()), ""
    except KeyboardInterrupt:
        run.interrupted(entry.name)
        raise
    except Exception as raised:  # whatever a model, a compiler or a device may raise is what the entry found
        outcome, error = {}, sentence(raised)
    # Only now is what the error held of the device free.
    run.end(entry.name, time.monotonic() - started, **({"error": error} if error else {"outcome": outcome}))
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()  # with its graphs goes their memory
    gc.collect()
    if torch.cuda.is_available():
        _must_answer()


def _must_answer() -> None:
    """Raises:
    DeviceLost: kernels fail since an earlier one did, for as long as the process lives.
    """
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        assert torch.ones(2, device="cuda").sum().item() == 2
    except Exception as error:
        raise DeviceLost(sentence(error)) from error


def sentence(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Raise ``TimeOver`` in the main thread after so many seconds and ``GRACE``, and end the process if it hangs."""

    def over(*_: object) -> None:
        raise TimeOver

    former = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)
    faulthandler.dump_traceback_later(seconds + GRACE + HUNG, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
