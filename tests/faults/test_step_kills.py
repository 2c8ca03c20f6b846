"""Kills before file-system calls of every command that writes: nothing is lost, and nothing half is taken for whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from faults.artefact_project import build
from faults.step_kills import campaign

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow(minutes=5),
    pytest.mark.timeout(4 * 3600),  # hundreds of kills may be asked for; each command has a limit of its own
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]


def test_a_command_that_is_killed_leaves_the_former_or_the_whole(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "made").mkdir()
    build(tmp_path / "made")
    shutil.rmtree(tmp_path / "made/.posebed")  # checkpoints of trainings that are done
    kills, seed = (int(str(request.config.getoption(option))) for option in ("--step-kills", "--campaign-seed"))
    faults = list[str]()
    for row in campaign(tmp_path / "made", tmp_path, kills, seed):
        with capsys.disabled():
            print(f"{row.step}: {row.kind} {row.tried} times, {len(row.faults)} with faults", flush=True)
        faults += row.faults
    assert not faults, "\n".join(faults)
