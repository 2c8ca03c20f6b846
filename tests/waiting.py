"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def waited_for(condition: Callable[[], object], seconds: float = 120, what: str = "what had to happen") -> None:
    """Return once the condition holds.

    Raises:
        AssertionError: it does not within that time.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
