"""The house stands as drawn: lower rooms know nothing of higher ones, and the source roots shadow nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
ROOTS = {"posebed": "platform", "menagerie": "platform", "posezoo": "models", "posestages": "pipelines"}
BELOW = {
    "posebed": set(),
    "menagerie": {"posebed"},
    "posezoo": {"posebed"},
    "posestages": {"posebed", "menagerie", "posezoo"},
}
FLOORS = (
    {"address", "config", "files", "listing", "pose", "predictions", "provenance", "records", "space", "yamlfile"},
    {"identity", "source_code"},
    {"catalog", "contracts", "spec_text"},
    {"experiment"},
    {"data", "metrics", "scoring"},
    {"annotations", "training", "reporting"},
    {"datasets", "inference"},
    {"jobs", "testing"},
)
HOMES = {
    "ray": {"jobs"},
    "deepspeed": {"training/zero.py"},
    "optuna": {"jobs"},
    "pytest": {"testing"},
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
        "posebed.config",
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
