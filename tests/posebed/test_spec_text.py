"""What is listed of a model is what its SPEC says once it is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plugins import install, spec
from posebed.catalog import MODELS, installed
from posebed.source_code import module_file
from posebed.spec_text import Stated, stated_by

CATALOG = installed()


@pytest.mark.parametrize("name", sorted(CATALOG.models))
def test_the_text_says_what_the_import_says(name: str):
    file = module_file(CATALOG.model_entry(name).module)
    assert file
    imported = CATALOG.model(name)
    stated = Stated(imported.tasks, imported.paper, imported.floor, imported.answering, imported.widths)
    assert stated_by(file) == stated


@pytest.mark.parametrize("text", ["", "SPEC: int", "def SPEC(): ..."])
def test_a_module_without_a_spec_says_so(tmp_path: Path, text: str):
    (tmp_path / "model.py").write_text(text)
    with pytest.raises(ValueError, match=r"model.py must hold a SPEC, but has none"):
        stated_by(tmp_path / "model.py")


def test_what_is_no_python_says_so(tmp_path: Path):
    (tmp_path / "model.py").write_text("def (")
    with pytest.raises(ValueError, match=r"model.py must be Python, but is not in line 1"):
        stated_by(tmp_path / "model.py")


@pytest.mark.parametrize(
    "value",
    ["make()", "ModelSpec(tasks=TASKS, paper=PAPER, answering=NAMES, widths=3)", "3", "ModelSpec(paper=Paper(f()))"],
)
def test_what_is_computed_stays_empty(tmp_path: Path, value: str):
    (tmp_path / "model.py").write_text(f"SPEC = {value}")
    assert stated_by(tmp_path / "model.py") == Stated()


def test_listing_many_plugins_imports_none_of_them_and_no_torch(tmp_path: Path):
    for number in range(50):
        files = {f"plugin{number}.py": "raise SystemExit('imported')\n" + spec()}
        install(tmp_path, f"plugin{number}", files, {MODELS: {f"plugin{number}": f"plugin{number}"}})
    code = f"""
import sys
sys.path.append({str(tmp_path)!r})
from posestages.cli import app
app(["models"], standalone_mode=False)
assert "torch" not in sys.modules
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("1.2") == 50 and "kitpose" in process.stdout
