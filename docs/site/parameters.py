"""The parameters reference: the sections of ``posebed/config.py`` as Markdown."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from posebed import config
from posebed.config import Section
from posebed.params import Params

PLACES = {
    "DataConfig": "data.KEY",
    "SplitConfig": "splits.KEY",
    "EpisodesConfig": "splits.KEY.episodes",
    "PackConfig": "packs.KEY",
    "ModelConfig": "models.NAME",
    "RunConfig": "runs.KEY",
    "SearchConfig": "searches.KEY",
    "BudgetConfig": "searches.KEY.budget",
    "ResourcesConfig": "runs.KEY.resources",
    "SubmissionConfig": "submissions.KEY",
    "TrainConfig": "train",
    "WorkersConfig": "train.workers",
    "AugmentConfig": "train.augment",
    "ScoringConfig": "scoring",
    "LimitsConfig": "limits",
}
"""Sections in the order of the page, and where they stand in the file."""
WORDS = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    type(None): "`null`",
    Any: "any value",
}
BOUNDS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "multiple_of": "a multiple of {}",
    "max_length": "at most {} of them",
    "pattern": "matching `{}`",
}
_KEY = next(item.pattern for item in get_args(config.Key)[1].metadata if hasattr(item, "pattern"))
"""Tells the type of keys from other texts."""


def page() -> str:
    """Every section of ``params.yaml``.

    Raises:
        LookupError: ``posebed.config`` has a section that ``PLACES`` does not place.
    """
    sections = {name: getattr(config, name) for name in PLACES}
    if missing := sorted({section.__name__ for section in _below(Params)} - set(PLACES)):
        raise LookupError(f"every section of params.yaml must have a place on its page, but {missing} have none")
    parts = ["## The whole file {#params}", _summary(Params), fields(Params)]
    for name, section in sections.items():
        parts += [f"## {PLACES[name]} {{#{name}}}", _summary(section), fields(section)]
    return "\n\n".join(part for part in parts if part)


def fields(section: type[Section]) -> str:
    """A definition list: each field with type, bounds and default, and what it says."""
    return "\n\n".join(_entry(_name(name, field), field) for name, field in section.model_fields.items())


def _entry(name: str, field: FieldInfo) -> str:
    facts = [words(field.annotation, field.metadata), default(field)]
    shown = "; ".join(fact for fact in facts if fact)
    return f"**`{name}`** <span class=facts>{shown}</span>\n:   {markdown(field.description or '')}"


def _name(name: str, field: FieldInfo) -> str:
    """As the file has it: the first of its other names, if it has some."""
    choices = getattr(field.validation_alias, "choices", None)
    return str(choices[0]) if choices else name


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return ""
    return "empty by default" if value in ({}, ()) else f"default `{plain(value)}`"


def plain(value: Any) -> str:
    """As YAML has it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(plain, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def words(kind: Any, metadata: Any = ()) -> str:
    """A type in words, such as "whole number, at least 0"."""
    if any(getattr(item, "pattern", None) == _KEY for item in _flat(metadata)):
        return "[key](#keys)"
    return ", ".join([_kind(kind), *_bounds(metadata)])


def _kind(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return words(inner[0], inner[1:])
    if origin is Literal:
        return "one of " + ", ".join(f"`{plain(value)}`" for value in inner) if len(inner) > 1 else f"`{inner[0]}`"
    if origin in (Union, types.UnionType):
        return ", or ".join(map(_kind, inner))
    if origin is tuple:
        same = len({*inner}) == 1 or Ellipsis in inner
        count = f"{len(inner)} values" if Ellipsis not in inner else "list"
        return f"{count}: {_kind(inner[0])}" if same else "list: " + "; ".join(map(_kind, inner))
    if origin is dict:
        section = inner[1]
        if inspect.isclass(section) and issubclass(section, Section):
            return f"entries by key: [{PLACES.get(section.__name__, section.__name__)}](#{section.__name__})"
        return "mapping"
    if inspect.isclass(kind) and issubclass(kind, Section):
        return f"[section](#{kind.__name__})"
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _bounds(metadata: Any) -> Iterator[str]:
    for item in _flat(metadata):
        for bound, text in BOUNDS.items():
            value = getattr(item, bound, None)
            if value is not None and value != config.LARGEST:  # which says no more than "a number"
                yield text.format(plain(value))


def _flat(metadata: Any) -> Iterator[Any]:
    """What annotations say, those of nested fields too."""
    for item in metadata:
        yield from getattr(item, "metadata", None) or [item]


def _summary(section: type[Section]) -> str:
    return markdown(inspect.cleandoc(section.__doc__ or ""))


def markdown(text: str) -> str:
    """A docstring in one paragraph; its code is marked as Markdown has it."""
    return " ".join(text.split()).replace("``", "`")


def _below(section: type[Section]) -> Iterator[type[Section]]:
    """Every section that a section holds, at any depth."""
    for field in section.model_fields.values():
        for kind in _classes(field.annotation):
            if issubclass(kind, Section):
                yield kind
                yield from _below(kind)


def _classes(kind: Any) -> Iterator[type]:
    if inspect.isclass(kind) and not get_args(kind):
        yield kind
    for inner in get_args(kind):
        yield from _classes(inner)
