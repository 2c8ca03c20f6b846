"""What a command finds around it: sizes of terminals, and its working folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posestages.surroundings import WIDEST, have_sound_terminal

NAMES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(NAMES), st.one_of(st.integers().map(str), st.text("0123456789٣ -+.e", max_size=9)))
def test_sizes_that_no_terminal_has_are_dropped(monkeypatch: pytest.MonkeyPatch, name: str, written: str):
    monkeypatch.setenv(name, written)
    have_sound_terminal()
    sound = written.isascii() and written.isdigit() and len(written) < 5 and 1 <= int(written) <= WIDEST
    assert os.environ.get(name) == (written if sound else None)


def test_a_command_in_a_folder_that_was_removed_says_so(tmp_path: Path):
    code = f"import os; os.chdir({str(tmp_path / 'gone')!r}); os.rmdir({str(tmp_path / 'gone')!r})\n"
    code += "from posestages.cli import main; main()"
    (tmp_path / "gone").mkdir()
    for words in (["models"], ["status"], ["gc", "--dry-run"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "9" * 5000, "TERMINAL_WIDTH": "wide"},
        )
        assert (done.returncode, done.stdout) == (2, ""), done
        assert done.stderr.startswith("the working folder must be there") and done.stderr.count("\n") == 1
        (tmp_path / "gone").mkdir()
