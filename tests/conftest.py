"""Where tests find data that does not live in the repository, and telemetry switched off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for name in ("RAY_USAGE_STATS_ENABLED", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DVC_NO_ANALYTICS"):
    os.environ[name] = "0" if name == "RAY_USAGE_STATS_ENABLED" else "true"
os.environ.setdefault("DS_ACCELERATOR", "cpu")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real", default=os.environ.get("POSEBED_REAL"), help="folder of real annotated photographs")
    parser.addoption("--parity", default=os.environ.get("POSEBED_PARITY"), help="folder of reference numbers")


def _folder(request: pytest.FixtureRequest, option: str) -> Path:
    given = request.config.getoption(option)
    if not given:
        pytest.skip(f"needs {option} DIR")
    path = Path(given)
    if not path.is_dir():
        pytest.fail(f"{option} must be a folder, but {path} is none")
    return path.resolve()


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> Path:
    """One folder per category: images/ and annotations.json."""
    return _folder(request, "--real")


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Path:
    """One folder per model: spec.json, outputs.npz, tolerance.json."""
    return _folder(request, "--parity")
