"""The house stands as drawn: lower rooms know nothing of higher ones, and the source roots shadow nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from posebed.catalog import installed

CHECKOUT = Path(__file__).parents[2]
ROOTS = {"posebed": "platform", "menagerie": "platform", "posezoo": "models", "posestages": "pipelines"}
BELOW = {
    "posebed": set(),
    "menagerie": {"posebed"},
    "posezoo": {"posebed"},
    "posestages": {"posebed", "menagerie"},
}
FLOORS = (
    {
        *("address", "config", "databases", "files", "foreign_files", "forms", "json_bounds", "limits", "listing"),
        *("own_json", "params", "parquet", "pose"),
        *("predictions", "private", "provenance", "records", "space", "yamlfile"),
    },
    {"storage"},
    {"contents"},
    {"leftovers"},
    {"leases"},
    {"identity", "source_code"},
    {"catalog", "contracts", "entries", "spec_text"},
    {"experiment"},
    {"metrics"},
    {"data", "scoring"},
    {"annotations", "training", "reporting", "submissions"},
    {"formats"},
    {"datasets", "inference"},
    {"export"},
    {"jobs", "samplers", "testing"},
)
HOMES = {
    "ray": {"jobs"},
    "deepspeed": {"training/zero.py"},
    "optuna": {"jobs", "samplers"},
    "pytest": {"testing"},
    "fsspec": {"storage.py"},
    "sleap_io": {"formats/sleap.py"},
    "onnx": {"export/onnx_file.py"},
    "onnxruntime": {"export/onnx_file.py"},
    "scipy": {"scoring/paired.py", "scoring/power.py", "scoring/ranks.py", "reporting/compare.py"},
    "mlflow": {"reporting/mlflow_client.py", "reporting/tracking.py", "reporting/search_tracking.py"},
}


def sources(package: str) -> list[Path]:
    return sorted((CHECKOUT / ROOTS[package] / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside functions."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


@pytest.mark.parametrize("package", ROOTS)
def test_a_lower_package_never_names_a_higher_one(package: str):
    for path in sources(package):
        named = {name.split(".")[0] for name in imported(path)} & set(ROOTS)
        assert named <= BELOW[package] | {package}, path


def named_by(path: Path) -> set[str]:
    """Every word of a file's identifiers and strings, but for docstrings."""
    texts: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        fields = [value for _, value in ast.iter_fields(node)]
        texts |= {value for value in fields if isinstance(value, str)}
        waiting += ast.iter_child_nodes(node)
    return {word for text in texts for word in re.findall(r"\w+", text)}


def strings_of(path: Path) -> set[str]:
    constants = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


ORDINARY = {"match"}
"""Names of models that code needs for other things, as for regular expressions: they must be no whole string."""


def test_platform_and_pipelines_name_no_model_no_backbone_and_no_zoo():
    catalog = installed()
    backbones = {preset.config.get("backbone", "") for preset in catalog.published().presets.values()}
    names = {"posezoo", *catalog.models, *(backbone.partition(".")[0] for backbone in backbones)}
    for path in (path for package in ("posebed", "menagerie", "posestages") for path in sources(package)):
        assert not named_by(path) & (names - ORDINARY), path
        assert not strings_of(path) & ORDINARY, path


def floor_of(module: str) -> int | None:
    return next((i for i, rooms in enumerate(FLOORS) if module in rooms), None)


def test_inside_the_platform_arrows_point_down_or_along():
    for path in sources("posebed"):
        here = floor_of(path.relative_to(CHECKOUT / "platform" / "posebed").parts[0].removesuffix(".py"))
        if here is None:
            continue
        for name in imported(path):
            parts = name.split(".")
            there = floor_of(parts[1]) if parts[0] == "posebed" and len(parts) > 1 else None
            assert there is None or there <= here, f"{path} imports {name}"


@pytest.mark.parametrize("library", HOMES)
def test_a_library_stays_in_its_own_few_files(library: str):
    for package in ROOTS:
        for path in sources(package):
            if library in {name.split(".")[0] for name in imported(path)}:
                place = path.relative_to(CHECKOUT / ROOTS[package] / package).as_posix()
                assert any(place.startswith(home) for home in HOMES[library]), f"{path} imports {library}"


def test_no_module_lies_at_the_top_of_a_source_root():
    for root in ROOTS.values():
        assert not list((CHECKOUT / root).glob("*.py")), root


def test_the_folder_platform_never_shadows_the_standard_module():
    process = subprocess.run(
        [sys.executable, "-c", "import platform; print(platform.__file__, platform.python_version())"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.split()[0].endswith("platform.py")
    assert not (CHECKOUT / "platform" / "__init__.py").exists()


@pytest.mark.parametrize(
    "module",
    [
        "posebed.catalog",
        "posebed.params",
        "posebed.contracts",
        "posebed.spec_text",
        "posebed.scoring.scores",
        "posebed.scoring.members",
        "posebed.reporting.site",
        "posebed.data.splits",
        "posestages.score",
        "posestages.report",
        "posestages.prepare",
        "posestages.cli",
    ],
)
def test_what_needs_no_torch_imports_none(module: str):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
