"""What files of our own must hold, said as types, and what is wrong with what they do hold, in our words."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from posebed.listing import clipped, shown, visible

_WORDS: Mapping[str, str] = {
    "model_type": "an object",
    "dict_type": "an object",
    "mapping_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
    "frozen_set_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "none_required": "null",
}
"""By pydantic's names of mistakes, what a value must be."""


_MOST_MISTAKES = 20
"""Of one file, in its message."""


Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A number that tables and databases hold; JSON has larger ones."""


class Form(BaseModel):
    """What an object in JSON must hold. It may hold more."""

    model_config = ConfigDict(allow_inf_nan=False)


@lru_cache
def _adapter(form: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(form)


def checked(content: object, form: type[Any], path: Path, name: str, again: str) -> Any:
    """A value of JSON as the type that it must be: nothing is converted, so that no text counts as a number.

    Args:
        form: a section, a form, or a list of such.
        path: of the file.
        name: in the message, what it must be.
        again: in the message, how to get such a file back.

    Raises:
        ValueError: it is of another type.
    """
    try:
        return _adapter(form).validate_json(to_json(content), strict=True)
    except ValidationError as error:
        raise ValueError(f"{path} must be {name}, but {complaint(error)}; {again}") from None
    except ValueError:  # a text that UTF-8 has no bytes for, or a number that no machine holds
        raise ValueError(f"{path} must be {name}, but holds what cannot be written in JSON; {again}") from None


def complaint(error: ValidationError) -> str:
    """The first mistake of a validation, and how many more there are, without the library's name and address."""
    first, *others = error.errors(include_url=False, include_context=True)
    place = clipped(visible(".".join(map(str, first["loc"])), keep=""))
    kind, message = first["type"], first["msg"].removeprefix("Value error, ")
    if kind == "missing":
        found = f"has no {place}"
    elif kind == "extra_forbidden":
        found = f"has {place}, which means nothing there"
    else:
        must = _WORDS.get(kind) or message.removeprefix("Input should be ")
        value = "another object" if isinstance(first["input"], dict) else shown(first["input"])
        found = (
            f"{place or 'it'} must be {must} and is {value}" if kind != "value_error" else f"{place} {message}".strip()
        )
    return f"{found}, and {len(others)} more values are wrong" if others else found


def sentence(error: ValidationError, where: str) -> str:
    """The mistakes of a validation in one line each, with its place and the value found; of many, the first ones."""
    return joined(mistakes(error, where))


def joined(lines: Sequence[str], between: str = "\n") -> str:
    """Mistakes in one text; of many, the first ones."""
    more = [f"and {len(lines) - _MOST_MISTAKES} more"] if len(lines) > _MOST_MISTAKES else []
    return between.join([*lines[:_MOST_MISTAKES], *more])


_TYPE = re.compile(r"constrained-\w+|(tuple|list|dict|set)\[.*\]")
"""What the library adds to a place where a value may be of several types."""


def mistakes(error: ValidationError, where: str, except_at: Collection[str] = ()) -> list[str]:
    """A line for each place of a validation that is wrong, with the value found there."""
    # What may be of several types has a mistake for each of them, at one place.
    found: dict[str, tuple[list[str], object]] = {}
    for e in error.errors(include_url=False):
        at = ".".join(visible(str(part), keep="") for part in e["loc"] if not _TYPE.fullmatch(str(part)))
        if at not in except_at:
            found.setdefault(at, ([], e["input"]))[0].append(e["msg"].removeprefix("Value error, "))
    return [
        f"{where}: {at + ': ' if at else ''}{' or: '.join(messages)}"
        + ("" if isinstance(value, dict) else f", but is {shown(value)}")
        for at, (messages, value) in found.items()
    ]
