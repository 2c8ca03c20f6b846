"""The code that a run can reach: modules found by following imports from entry points, without importing any.

The unit is the module. Its hash leaves out comments, docstrings and layout, so that only changed statements change it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast

SETTINGS = ("posebed.config", "posebed.params")
"""Modules whose values enter an identity as settings, and which therefore never enter as code."""


@dataclass(frozen=True)
class Source:
    """One module's file, as far as identities look at it."""

    hash: str
    imports: tuple[tuple[str, str], ...]
    """Pairs (module, name): ``import a.b`` is ``("a.b", "")``, ``from a.b import c`` is ``("a.b", "c")``."""


@dataclass
class SourceCode:
    """The modules of a few packages, each file parsed once."""

    packages: Sequence[str]
    """Import packages to follow; imports of others (torch, numpy, ...) are left out."""
    _roots: dict[str, Path] = field(default_factory=dict[str, Path])
    _files: dict[str, Path | None] = field(default_factory=dict[str, "Path | None"])

    def __post_init__(self) -> None:
        for package in self.packages:
            place = place_of(package)
            if place is None:
                raise LookupError(f"{package!r} must be an importable package, but none of that name is installed")
            self._roots[package] = place

    def reachable(self, entries: Iterable[str]) -> dict[str, str]:
        """The hash of every module that the entry points import, at any depth, by name and in order of names.

        Raises:
            LookupError: an entry point is no module of the packages.
        """
        waiting = list(entries)
        for entry in waiting:
            if self._file(entry) is None:
                raise LookupError(f"{entry!r} must be a module of {', '.join(self.packages)}, but is none")
        hashes: dict[str, str] = {}
        while waiting:
            module = waiting.pop()
            file = self._file(module)
            if file is None or module in hashes or module in SETTINGS:
                continue
            stat = file.stat()
            source = read_source(file, module, stat.st_mtime_ns, stat.st_size)
            hashes[module] = source.hash
            waiting += self._imported(module, source)
        return dict(sorted(hashes.items()))

    def _imported(self, module: str, source: Source) -> Iterator[str]:
        # Importing a.b.c runs a and a.b as well.
        for name in (module, *(name for name, _ in source.imports)):
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
        yield from (f"{name}.{attribute}" for name, attribute in source.imports if attribute)

    def _file(self, module: str) -> Path | None:
        """The file of a module; None where the name is that of no module of the packages."""
        if module not in self._files:
            root = self._roots.get(module.partition(".")[0])
            self._files[module] = _file_below(root, module) if root else None
        return self._files[module]


def place_of(package: str) -> Path | None:
    """The folder of a top-level package, or the file of a top-level module, which is not imported for that; None where
    there is none."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # made by hand, without a spec
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.has_location and spec.origin else None


def module_file(module: str) -> Path | None:
    """The file of a module, which is not imported for that; None where there is none."""
    root = place_of(module.partition(".")[0])
    return _file_below(root, module) if root else None


def _file_below(root: Path, module: str) -> Path | None:
    rest = module.split(".")[1:]
    if root.is_file():
        return None if rest else root
    folder = root.joinpath(*rest)
    places = (folder / "__init__.py", *([folder.with_name(f"{folder.name}.py")] if rest else []))
    return next((place for place in places if place.is_file()), None)


@lru_cache(maxsize=4096)
def read_source(file: Path, module: str, mtime_ns: int, size: int) -> Source:
    """Parse a module's file. Time and size of the file are part of the cache's key.

    Raises:
        ValueError: the file is no Python.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise ValueError(f"{file} must be Python, but is not in line {error.lineno}: {error.msg}") from error
    words = "\0".join(_canonical(tree, []))
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return Source(hashlib.sha256(words.encode()).hexdigest(), tuple(dict.fromkeys(_imports(tree, package))))


_LEFT_OUT = ("ctx", "kind", "type_comment")


def _canonical(node: object, words: list[str]) -> list[str]:
    """The statements of a tree as a list of words. Absent and empty fields are left out, since versions of Python
    differ in which of them there are."""
    if isinstance(node, ast.AST):
        words.append(f"({type(node).__name__}")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != [] and name not in _LEFT_OUT:
                words.append(name)
                _canonical(value, words)
        words.append(")")
    elif isinstance(node, list):
        words.append("[")
        for item in cast(list[object], node):
            if not _is_docstring(item):
                _canonical(item, words)
        words.append("]")
    else:
        words.append(f"{type(node).__name__} {node!r}")
    return words


def _is_docstring(node: object) -> bool:
    """Whether the node is a string that stands alone, of a module, class, function or attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Every import that can run, at the top or inside functions; those for type checkers alone cannot."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and (module := _imported_by_text(node)):
            yield module, ""
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _imported_by_text(call: ast.Call) -> str | None:
    """The module of a call such as ``import_module("a.b")``; None where the call is another."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    given = call.args[0] if call.args else None
    if name == "import_module" and isinstance(given, ast.Constant) and isinstance(given.value, str):
        return given.value
    return None


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"
