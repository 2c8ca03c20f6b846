"""Every benchmark runs in its reduced form, and prints the figures that pages show of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
OTHERS = {"cases.py", "figures.py", "simulation.py", "kills.py", "accelerator.py", "trunks.py", "turns.py"}
"""Modules, and what has a test of its own."""
SCRIPTS = sorted(path.name for path in (CHECKOUT / "benchmarks").glob("*.py") if path.name not in OTHERS)
FIGURE = re.compile(r"^figure (\S+) (\S.*)$", re.MULTILINE)


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    variables.pop("POSEBED_REAL", None)
    return subprocess.run(
        [sys.executable, f"benchmarks/{script}", *words], cwd=CHECKOUT, env=variables, capture_output=True, text=True
    )


def kind(name: str) -> str:
    """A figure's name without the model, set or pictures that it is of: the reduced form measures one of them."""
    parts = name.split("/")
    return "/".join([parts[0], "*", *parts[2:]]) if len(parts) > 2 else name


def on_pages(script: str) -> set[str]:
    figures = yaml.safe_load((CHECKOUT / "docs" / "figures.yaml").read_text(encoding="utf-8"))
    return {
        kind(name) for name, figure in figures.items() if figure["command"].startswith(f"python benchmarks/{script}")
    }


def has_browser() -> bool:
    return bool(os.environ.get("POSEBED_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome"))


@pytest.mark.services
@pytest.mark.slow(minutes=8)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_runs_in_its_reduced_form_and_prints_the_figures_of_the_pages(script: str):
    process = run(script, "--quick")
    assert process.returncode == 0, process.stdout + process.stderr
    printed = dict(FIGURE.findall(process.stdout))
    assert printed, process.stdout
    assert {name.split("/")[0] for name in printed} == {Path(script).stem}
    assert all(re.search(r"\d", value) and "nan" not in value for value in printed.values()), printed
    wanted = {name for name in on_pages(script) if has_browser() or not name.endswith("/opening")}
    assert wanted <= {kind(name) for name in printed}


@pytest.mark.services
@pytest.mark.slow(minutes=8)
@pytest.mark.parametrize("what", ["--inference", "--parts", "--switches"])
def test_the_other_measurements_of_models_run(what: str):
    process = run("models.py", "--quick", what)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "proto_net" in process.stdout


def test_a_reduced_form_is_never_recorded():
    process = run("drawing.py", "--quick", "--record")
    assert process.returncode == 2
    assert "not allowed with" in process.stderr


def test_make_bench_runs_every_benchmark_and_names_those_that_fail(tmp_path: Path):
    (tmp_path / "benchmarks").mkdir()
    for name, text in {"a": "raise SystemExit(1)", "b": "print('b ran')", "cases": "print('no benchmark')"}.items():
        (tmp_path / "benchmarks" / f"{name}.py").write_text(text)
    # "-o" leaves the environment of packages alone.
    process = subprocess.run(
        ["make", "-f", CHECKOUT / "Makefile", "-o", "setup", "bench"], cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode != 0
    assert "failed: benchmarks/a.py" in process.stderr
    assert "b ran" in process.stdout and "no benchmark" not in process.stdout


def test_make_bench_succeeds_when_every_benchmark_does(tmp_path: Path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "b.py").write_text("print('b ran')")
    process = subprocess.run(
        ["make", "-f", CHECKOUT / "Makefile", "-o", "setup", "bench"], cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
