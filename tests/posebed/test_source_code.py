"""The code that a run can reach: followed without being imported, changed by statements alone."""

from __future__ import annotations

import ast
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.source_code import SourceCode

FILES = {
    "__init__.py": '"""A package."""\n',
    "model.py": "from zoo.blocks import head\nfrom zoo.blocks.neck import Neck\n\nSIZE = 3\n",
    "lazy.py": "def later():\n    from zoo import far\n    return far\n",
    "far.py": "VALUE = 1\n",
    "typed.py": """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from zoo import far
else:
    from zoo import other
""",
    "other.py": "import zoo.blocks.head as h\n",
    "relative.py": "from .blocks import neck\nfrom . import far\n",
    "by_text.py": 'import importlib\nimportlib.import_module("zoo.far")\n',
    "blocks/__init__.py": "",
    "blocks/head.py": "import numpy\nfrom zoo.blocks import ring\n",
    "blocks/ring.py": "from zoo.blocks import head\n",
    "blocks/neck.py": "class Neck:\n    width: int = 4\n",
}
numbers = itertools.count()


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that may be imported, and never is."""
    for name, text in FILES.items():
        file = tmp_path / "zoo" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "zoo"
    assert "zoo" not in sys.modules


def reachable(*entries: str) -> dict[str, str]:
    return SourceCode(("zoo",)).reachable(entries)


@pytest.mark.parametrize(
    ("entry", "modules"),
    [
        ("zoo.model", {"zoo", "zoo.model", "zoo.blocks", "zoo.blocks.head", "zoo.blocks.ring", "zoo.blocks.neck"}),
        ("zoo.lazy", {"zoo", "zoo.lazy", "zoo.far"}),
        ("zoo.typed", {"zoo", "zoo.typed", "zoo.other", "zoo.blocks", "zoo.blocks.head", "zoo.blocks.ring"}),
        ("zoo.relative", {"zoo", "zoo.relative", "zoo.blocks", "zoo.blocks.neck", "zoo.far"}),
        ("zoo.by_text", {"zoo", "zoo.by_text", "zoo.far"}),
    ],
)
def test_imports_are_followed_wherever_they_can_run(zoo: Path, entry: str, modules: set[str]):
    assert set(reachable(entry)) == modules


def rewritten(file: Path, text: str) -> None:
    """Write, with a time of change of its own: two writes within the clock's tick must not look alike."""
    file.write_text(text)
    tick = next(numbers)
    os.utime(file, (1_000_000 + tick, 1_000_000 + tick))


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name]])
def test_a_changed_statement_changes_the_hash_of_its_module_alone(zoo: Path, name: str):
    entries = [f"zoo.{stem}" for stem in ("model", "lazy", "typed", "relative", "by_text")]
    before = reachable(*entries)
    rewritten(zoo / name, FILES[name] + "\nADDED = 1\n")
    after = reachable(*entries)
    assert [module for module in before if before[module] != after[module]] == [
        ".".join(["zoo", *Path(name).with_suffix("").parts]).removesuffix(".__init__")
    ]


PLAIN = """
def f(x, y=(1, 2)):
    return x + 1

class C:
    a: int = 1
    def g(self):
        return f'{self.a}!'
"""
DRESSED = '''"""DOC"""

# COMMENT
def f(x,   y=(1,2)):
    """DOC"""

    return (x
        + 1)  # COMMENT

class C:
    """DOC"""
    a: int = 1
    """DOC"""

    def g(self):
        """DOC"""
        return f'{self.a}!'
'''
words = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters='"\\'), max_size=20)


@given(doc=words, comment=words, blank=st.integers(0, 3))
def test_docstrings_comments_and_layout_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, doc: str, comment: str, blank: int
):
    folder = tmp_path_factory.mktemp("layout")
    gap = "\n" * blank
    dressed = DRESSED.replace("DOC", doc).replace("# COMMENT", f"# {comment}").replace("\n\n", f"\n\n{gap}")
    hashes = [hash_of(folder, text) for text in (PLAIN, dressed)]
    assert hashes[0] == hashes[1]
    assert hash_of(folder, PLAIN.replace("x + 1", "x + 2")) != hashes[0]


def hash_of(folder: Path, text: str) -> str:
    from posebed.source_code import read_source

    ast.parse(text)
    file = folder / f"m{next(numbers)}.py"
    file.write_text(text)
    return read_source(file, "m", 0, 0).hash


def test_the_platform_s_own_defaults_never_enter_as_code():
    code = SourceCode(("posebed", "posezoo")).reachable(["posezoo.kitpose", "posebed.training.loop"])
    assert "posebed.config" not in code
    assert {"posezoo.kitpose", "posezoo.blocks.kit", "posebed.data.augment", "posebed.training.zero"} <= set(code)
    assert not {"posezoo.fmmp", "posebed.annotations.coco", "posebed.metrics.coco.oks", "posezoo.presets"} & set(code)


def test_following_imports_imports_nothing():
    command = (
        "import sys; from posebed.source_code import SourceCode; "
        "SourceCode(('posebed', 'posezoo')).reachable(['posezoo.kitpose', 'posebed.training.loop']); "
        "sys.exit('torch' in sys.modules or 'posezoo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_what_is_no_module_or_no_python_is_refused(zoo: Path):
    with pytest.raises(LookupError, match=r"'zoo\.lost' must be a module of zoo, but is none"):
        reachable("zoo.lost")
    with pytest.raises(LookupError, match="must be an importable package"):
        SourceCode(("no_such_package",))
    rewritten(zoo / "far.py", "def broken(:\n")
    with pytest.raises(ValueError, match=r"far\.py must be Python, but is not in line 1"):
        reachable("zoo.far")
