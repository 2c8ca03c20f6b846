"""Clauses of the contract, of which a ``SPEC`` may name exceptions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pytest


class Suite(Protocol):
    def exceptions(self, given: Mapping[str, Any]) -> Mapping[str, str]:
        """What the ``SPEC`` that a test looks at says, from the arguments of the test."""
        ...


def clause(test: Callable[..., None]) -> Callable[..., None]:
    """A test that the ``exceptions`` of a ``SPEC`` may name, without ``test_``; then it must fail."""

    @functools.wraps(test)
    def checked(self: Suite, **given: Any) -> None:
        reason = self.exceptions(given).get(test.__name__.removeprefix("test_"))
        if reason is None:
            return test(self, **given)
        try:
            test(self, **given)
        except (AssertionError, pytest.fail.Exception):
            return None
        pytest.fail(f"the SPEC says {reason!r} here, but the clause is held; remove the exception")

    return checked


def clauses_of(suite: type) -> set[str]:
    """The names that exceptions may have."""
    return {name.removeprefix("test_") for name, test in vars(suite).items() if hasattr(test, "__wrapped__")}
