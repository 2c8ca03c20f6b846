"""Folders in places that others write to as well are of one user alone."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from posebed.private import private_folder

NOBODY = 61234
"""A user whom no system knows."""
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""The interpreter may lie where this user alone may read."""


def test_a_folder_that_others_may_enter_becomes_private(tmp_path: Path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for name in ("open", "new/deeper"):
        private_folder(tmp_path / name, "files", "PLACE")
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name, words in (("link", "it is a link"), ("file", "File exists"), ("file/x", "Not a directory")):
        with pytest.raises(ValueError, match=f"for files, but {words}; set PLACE to"):
            private_folder(tmp_path / name, "files", "PLACE")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(ValueError, match="it belongs to user"):
        private_folder(tmp_path, "files", "PLACE")


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_a_user_whom_the_system_does_not_know_has_a_home_of_their_own(tmp_path: Path):
    code = "from posestages.ending import run; from pathlib import Path; run(lambda _: print(Path('~').expanduser()))"
    others = {name: value for name, value in os.environ.items() if name != "HOME"}
    with TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o777)
        made = Path(temporary) / f"posebed-home-{NOBODY}"
        for home, given in ((made, {"TMPDIR": temporary}), (tmp_path, {"HOME": str(tmp_path)})):
            words = [*AS_NOBODY, *READING, sys.executable, "-c", code]
            ran = subprocess.run(words, env=others | given, cwd="/", capture_output=True, text=True)
            assert (ran.returncode, ran.stdout) == (0, f"{home}\n"), ran.stderr
        assert (stat.S_IMODE(made.stat().st_mode), made.stat().st_uid) == (0o700, NOBODY)
