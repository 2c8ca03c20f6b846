"""Whatever comes through a door is answered in one sentence: several hundred malformed inputs, drawn by a seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from faults.artefact_project import build
from faults.judge import all_doors, drawn, judged, table

LONG = ("run",)
"""Kinds whose command starts a cluster."""


def test_doors_have_names_of_their_own():
    twice = [name for name, times in Counter((d.kind, d.name, d.command) for d in all_doors()).items() if times > 1]
    assert not twice


@pytest.mark.services
@pytest.mark.slow(minutes=5)
def test_malformed_inputs_are_answered_as_promised(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
):
    count, seed = (int(str(request.config.getoption(name))) for name in ("--malformed-inputs", "--campaign-seed"))
    (tmp_path / "project").mkdir()
    build(tmp_path / "project")
    doors = drawn([door for door in all_doors() if door.kind not in LONG], count, seed)
    answers = list(judged(doors, tmp_path / "project", tmp_path))
    with capsys.disabled():
        print(f"\n{table(answers)}")
    wrong = [f"{door.kind}: {door.name}: {' '.join(door.command)}: {fault}" for door, fault in answers if fault]
    assert not wrong, "\n".join(wrong)
