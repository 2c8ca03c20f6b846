"""Places in a project: the working folder must have a path in UTF-8 where libraries take it as text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posebed.places import must_be_in_text


def test_a_folder_that_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, sound in ((b"z", True), ("hund \u72ac".encode(), True), (b"z\xff", False)):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        monkeypatch.chdir(folder)
        if sound:
            must_be_in_text()
        else:
            with pytest.raises(ValueError, match=r"must have a path in UTF-8, but is .*; rename it"):
                must_be_in_text()
