"""What a model's ``SPEC`` states in plain values, read from the module's text: to list models, none is imported."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posebed.contracts import Paper, Task


@dataclass(frozen=True)
class Stated:
    """What could be read; what a module computes stays empty."""

    tasks: tuple[Task, ...] = ()
    paper: Paper | None = None
    floor: bool = False
    answering: tuple[str, ...] = ()
    widths: Mapping[str, str] = field(default_factory=dict[str, str])


def stated_by(file: Path) -> Stated:
    """Of the file of a model's module.

    Raises:
        ValueError: the file is no Python, or has no ``SPEC``.
    """
    try:
        statements = ast.parse(file.read_bytes()).body
    except SyntaxError as error:
        raise ValueError(f"{file} must be Python, but is not in line {error.lineno}: {error.msg}") from error
    for statement in statements:
        if isinstance(statement, ast.Assign) and any(_is_named(target, "SPEC") for target in statement.targets):
            return _of_call(statement.value)
    raise ValueError(f"{file} must hold a SPEC, but has none")


def _of_call(value: ast.expr) -> Stated:
    arguments = {word.arg: word.value for word in value.keywords} if isinstance(value, ast.Call) else {}
    return Stated(
        tasks=_tasks(arguments.get("tasks")),
        paper=_paper(arguments.get("paper")),
        floor=_literal(arguments.get("floor"), default=False),
        answering=_literal(arguments.get("answering"), default=()),
        widths=_literal(arguments.get("widths"), default={}),
    )


def _tasks(value: ast.expr | None) -> tuple[Task, ...]:
    """Of ``(Task.CATEGORY_SPECIFIC, ...)``."""
    names = (
        [item.attr for item in value.elts if isinstance(item, ast.Attribute)] if isinstance(value, ast.Tuple) else []
    )
    return tuple(Task[name] for name in names if name in Task.__members__)


def _paper(value: ast.expr | None) -> Paper | None:
    """Of ``Paper("title", 2025, "arXiv:...")``."""
    if not isinstance(value, ast.Call):
        return None
    try:
        given = [ast.literal_eval(argument) for argument in value.args]
        return Paper(*given, **{str(word.arg): ast.literal_eval(word.value) for word in value.keywords})
    except (ValueError, TypeError):
        return None


def _literal(value: ast.expr | None, default: Any) -> Any:
    """The value that is written out, of the default's type; else the default."""
    try:
        found = ast.literal_eval(value) if value else default
    except ValueError:
        return default
    return found if isinstance(found, type(default)) else default


def _is_named(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name
