"""What is not known of a commit never counts as clean."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from posebed.provenance import commit


def test_a_tree_whose_state_git_cannot_tell_is_not_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert commit() == ("none", True)
    who = ("-c", "user.name=n", "-c", "user.email=e@x")
    for words in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(["git", *words], check=True)
    assert not commit()[1]
    (tmp_path / ".git/index").write_bytes(b"damaged")
    head, dirty = commit()
    assert len(head) == 40 and dirty
