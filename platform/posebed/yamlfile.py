"""The one reader and writer of YAML. Scalars mean what YAML 1.2 and DVC, which reads the same ``params.yaml``, take
them for: ``1e-4`` and ``010`` are numbers (0.0001 and 10), ``yes``, ``off`` and ``1:30`` are texts.

PyYAML follows YAML 1.1, so its rules for booleans and numbers are replaced by those of DVC's reader, ruamel.yaml, which
is ten times slower.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from posebed.limits import MOST_LEVELS
from posebed.listing import clipped, shortened

_MOST_BYTES = 10_000_000
"""Of a file: some hundred thousand lines. The reader takes a hundred times as much memory."""
_MOST_VALUES = 1_000_000
"""That a file may hold once aliases are replaced by what they stand for: a few lines of them can make billions."""

_BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float"))
_MERGE = "tag:yaml.org,2002:merge"
_SCALARS = (
    (_BOOL, "tTfF", r"true|True|TRUE|false|False|FALSE"),
    (
        _FLOAT,
        "-+0123456789.",
        r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    ),
    (_INT, "-+0123456789", r"[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?[0-9_]+|[-+]?0x[0-9a-fA-F_]+"),
)
"""Tag, the characters that such a scalar starts with, and its form."""


class _Loader(yaml.CSafeLoader):
    """Reads YAML 1.2 into plain values."""


class _Dumper(yaml.CSafeDumper):
    """Quotes every text that a reader of YAML 1.1 or 1.2 could take for something else."""


class _LineDumper(_Dumper):
    """Writes line breaks as escapes."""


def _text(dumper: _LineDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None)


_LineDumper.add_representer(str, _text)


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    return int(text, next((base for mark, base in (("0b", 2), ("0o", 8), ("0x", 16)) if mark in text[:3]), 10))


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in rules if tag not in (_BOOL, _INT, _FLOAT)]
    for first, rules in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _first, _form in _SCALARS:
    for _class in (_Loader, _Dumper, _LineDumper):
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_form})$"), list(_first))
_Loader.add_constructor(_INT, _integer)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file in UTF-8, with or without a byte order mark; None where it is empty.

    Raises:
        ValueError: there is no such file, it does not parse, or a mapping has a key twice; the message names it.
    """
    if not path.is_file():
        raise ValueError(f"{path} must be a YAML file, but there is none")
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} must be YAML of at most {_MOST_BYTES} bytes, but has {path.stat().st_size}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} must be a YAML file that can be read, but: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be YAML in UTF-8, but is not: {error}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Any:
    """As ``read_yaml``, of a text that is called ``name`` in messages."""
    try:
        complaint, content = _parse(text)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{name} must be YAML, but does not parse: {_one_line(error)}") from error
    if complaint:
        raise ValueError(f"{name} must {complaint}")
    return content


def _parse(text: str) -> tuple[str, Any]:
    """What the text must be and is not, if anything; and its content."""
    if re.search(r"^\ufeff?%YAML[ \t]+(?!1\.2\b)", text, re.MULTILINE):
        return "be YAML 1.2, but states another version", None
    if _levels(text) > MOST_LEVELS:
        return f"be nested at most {MOST_LEVELS} levels deep, but is deeper", None
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        values, levels = _size(root, {}) if root else (0, 0)
        if values > _MOST_VALUES or levels > MOST_LEVELS:
            most = f"{_MOST_VALUES} values on {MOST_LEVELS} levels"
            return f"hold at most {most}, aliases counted as what they stand for, but holds more", None
        twice = _keys_in_several_lines(loader, root)
        if root is None or twice:
            return (f"have every key once, but {shortened(twice)}" if twice else ""), None
        return "", loader.construct_document(root)
    finally:
        loader.dispose()


def yaml_text(value: Any, flow: bool = False) -> str:
    """Plain values as YAML that reads back as they are; ``flow``: in one line, without its end."""
    if flow:
        one_line = yaml.dump(value, Dumper=_LineDumper, default_flow_style=True, sort_keys=False, width=2**30)
        return one_line.strip()
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _levels(text: str) -> int:
    """How deep collections are nested, counted up to one more than is allowed."""
    level = deepest = 0
    for event in yaml.parse(text, _Loader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        deepest = max(deepest, level)
        if deepest > MOST_LEVELS:
            break
    return deepest


def _size(node: yaml.Node, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """How many values a node is once aliases are replaced, and over how many levels; infinitely many where it holds
    itself.

    Args:
        known: sizes by the node's identity, which is filled.
    """
    if id(node) not in known:
        known[id(node)] = (math.inf, math.inf)  # met again on the way down: it holds itself
        parts = [_size(part, known) for part in _parts(node)]
        levels = 0 if isinstance(node, yaml.ScalarNode) else 1 + max((levels for _, levels in parts), default=0)
        known[id(node)] = 1 + sum(values for values, _ in parts), levels
    return known[id(node)]


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _keys_in_several_lines(loader: _Loader, root: yaml.Node | None) -> list[str]:
    """The keys that a mapping has more than once, and their lines."""
    twice: list[str] = []
    for place, node in _mappings(root):
        lines: dict[Any, list[int]] = defaultdict(list)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                value = "<<" if key.tag == _MERGE else loader.construct_object(key)
                lines[value].append(key.start_mark.line + 1)
        several = {key: of for key, of in lines.items() if len(of) > 1}
        twice += [f"{'.'.join([*place, str(key)])} stands in {_lines(of)}" for key, of in several.items()]
    return twice


def _mappings(root: yaml.Node | None) -> Iterator[tuple[tuple[str, ...], yaml.MappingNode]]:
    """Every mapping of a document once, with the keys that lead to it."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], yaml.Node]] = [((), root)] if root else []
    while waiting:
        place, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield place, node
            waiting += [((*place, str(key.value)), value) for key, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*place, str(i)), item) for i, item in reversed([*enumerate(node.value)])]


def _lines(numbers: list[int]) -> str:
    if len({*numbers}) == 1:
        return f"line {numbers[0]} {len(numbers)} times"
    return f"lines {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _one_line(error: Exception) -> str:
    """The words of an error without the library's name for the text."""
    return clipped(re.sub(r'in "<[^"]*>", ', "in ", " ".join(str(error).split())), 300)
