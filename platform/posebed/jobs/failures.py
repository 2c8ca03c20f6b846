"""Why a training failed, in words."""

from __future__ import annotations

from posebed.address import hidden


def reason(error: BaseException) -> str:
    """What went wrong, in one line without passwords."""
    # On a CPU torch raises a plain RuntimeError.
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if memory or "allocate memory" in _line(error) or "not enough memory" in _line(error):
        return f"ran out of memory: {_line(error) or 'the machine gave no more'}"
    return _line(error) if isinstance(error, ValueError | LookupError) else f"{type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    return " ".join(hidden(error).split())
