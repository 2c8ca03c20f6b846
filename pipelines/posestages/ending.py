"""How every command and stage ends: with 0, with a sentence and 2 where it refuses or the machine does, and with a
traceback only where the program is wrong."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from io import TextIOWrapper
from typing import Any, NoReturn

from pydantic import ValidationError

from posebed.address import hidden
from posebed.files import final_name, is_full_disk_to_torch
from posebed.forms import sentence
from posebed.listing import clipped, visible
from posestages.surroundings import have_sound_surroundings

_LONGEST_LINE, _MOST_LINES = 1000, 40
"""Characters and lines of a message that are printed; what is longer comes from data."""
_OUTSIDE = frozenset({"zipfile", "zlib", "_lzma", "yaml", "pyarrow", "safetensors", "sqlite3", "sqlalchemy", "h5py"})
"""Packages whose own exceptions tell of files and databases, never of a mistake in this program."""
_OUT_OF_MEMORY = re.compile(r"(?i)out of memory|allocate memory|not enough memory")
"""Words of torch's allocators, whose errors are of no class of their own on a CPU."""
_ADVICE = {
    errno.ENOSPC: "free space on that disk and run the command again",
    errno.EDQUOT: "free space within the quota and run the command again",
    errno.EROFS: "choose a place on a disk that can be written",
    errno.EACCES: "change its permissions or choose another place",
    errno.EPERM: "change its permissions or choose another place",
    errno.ENOENT: "make it, or choose another place",
    errno.ENOTDIR: "remove the file that stands where a folder must, or choose another place",
    errno.EISDIR: "remove the folder that stands where a file must, or choose another place",
    errno.EEXIST: "remove it, or choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "replace the links that lead in a circle",
    errno.EMFILE: "raise the number of open files (ulimit -n)",
    errno.ENFILE: "end programs that hold files open",
    errno.EIO: "look after the disk, and run the command again",
    errno.ESTALE: "mount the share again, and run the command again",
}


def run(main: Callable[[list[str]], None]) -> NoReturn:
    """Call ``main`` with the arguments of the command line and leave."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale without the letters of a name ends no command
    sys.excepthook = _show
    try:
        have_sound_surroundings()
        main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has enough, such as head
        _print_no_more()
        sys.exit(1)
    except Exception as error:
        answer = refusal(error)
        if answer is None:
            raise
        print(answer, file=sys.stderr)
        if isinstance(error, OSError):
            _print_no_more()
        sys.exit(2)
    sys.exit(0)


def _show(*error: Any) -> None:
    """A traceback without passwords."""
    print(hidden("".join(traceback.format_exception(*error))), end="", file=sys.stderr)


def _print_no_more() -> None:
    """What is left to print would fail once more when Python ends, with an exit code and words of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def refusal(error: Exception) -> str | None:
    """What to print where the user, a file or the machine is the cause; None for a mistake in the program."""
    cause = _cause(error)
    return None if cause is None else printable(cause)


def printable(text: str) -> str:
    """A message that may quote anything, in lines that a terminal shows and a person reads."""
    lines = visible(hidden(text)).splitlines()
    more = [f"and {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
    return "\n".join([*(clipped(line, _LONGEST_LINE) for line in lines[:_MOST_LINES]), *more])


def _cause(error: Exception) -> str | None:
    if isinstance(error, ValidationError):
        return sentence(error, error.title)
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
        return "the memory must be enough, but is not; take smaller batches, pictures or parts, or another machine"
    if isinstance(error, BrokenExecutor):
        return "every process of the command must reach its end, but one was killed, as for want of memory; try again"
    if is_full_disk_to_torch(error):
        return "a file must be written, but its disk does not take it; free space there and run the command again"
    if isinstance(error, RecursionError):
        return "what is read must be nested moderately deep, but is nested too deeply"
    if type(error).__module__.partition(".")[0] in _OUTSIDE:
        return f"a file or database must be whole, but is not: {type(error).__name__}: {error}"
    if isinstance(error, (KeyError, IndexError)):
        return None
    return str(error) if isinstance(error, (ValueError, LookupError)) else None


def _of_system(error: OSError) -> str:
    if error.errno is None:
        own = " must " in str(error)
        return str(error) if own else f"a file must be one that can be read, but: {error}"
    names = [str(final_name(name)) for name in (error.filename, error.filename2) if isinstance(name, str)]
    reason, advice = error.strerror or type(error).__name__, _ADVICE.get(error.errno, "run the command again")
    place = " and ".join(dict.fromkeys(names)) or "a file"
    return f"{place} must be one that can be read or written, but: {reason}; {advice}"
