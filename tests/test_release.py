"""The audit of a release: no data is told apart from no weakness. Its tools slow no other process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[1] / "release/audit.py"
WEAK = {"name": "weak", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
SOUND = {"name": "sound", "version": "1", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


def audited(folder: Path, said: str) -> subprocess.CompletedProcess[str]:
    """With a pip-audit that says this."""
    (folder / "pip_audit.py").write_text(f"print({said!r})")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, AUDIT, "x.lock.txt"], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("packages", "code"),
    [([SOUND], 0), ([SOUND, WEAK], 1), ([WEAK, UNKNOWN], 1), ([SOUND, UNKNOWN], 3), ([UNKNOWN], 3), ([], 3)],
)
def test_end_codes_tell_weaknesses_and_no_data_apart(tmp_path: Path, packages: list[dict[str, Any]], code: int):
    done = audited(tmp_path, json.dumps({"dependencies": packages}))
    assert done.returncode == code, done.stderr
    assert ("weak 1: X-1, mended in 2" in done.stdout) == (WEAK in packages)
    assert ("no data of unknown" in done.stderr) == (UNKNOWN in packages)


def test_an_audit_that_fails_is_no_data(tmp_path: Path):
    done = audited(tmp_path, "cannot connect")
    assert done.returncode == 3 and "no data of all of x.lock.txt" in done.stderr


def test_the_tools_of_a_release_slow_no_process_that_imports_ray():
    """jsonschema, which Ray imports, reads a grammar for two seconds where rfc3987-syntax is installed."""
    locked = (AUDIT.parents[1] / "requirements.lock.txt").read_text()
    assert "\njsonschema==" in locked and "\nrfc3987-syntax==" not in locked
