"""Folders of one user alone, in places that others write to as well."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def private_folder(folder: Path, content: str, variable: str) -> None:
    """Make a folder that this user alone can enter, or take the one that is there.

    Args:
        content: what it is for, in the words of a message.
        variable: that names another folder.

    Raises:
        ValueError: it cannot be made, or belongs to somebody else, who could read and replace what lies in it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.lstat()
        if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid():
            folder.chmod(0o700)
            return
        found = f"it belongs to user {about.st_uid}" if stat.S_ISDIR(about.st_mode) else "it is a link"
    except OSError as error:
        found = error.strerror or str(error)
    raise ValueError(
        f"{folder} must be a folder of this user alone for {content}, but {found}; set {variable} to another folder"
    )


def have_home() -> None:
    """Give a home to a user who has none, as in containers that run under any number: several libraries end without.

    Raises:
        ValueError: no folder can be made for it.
    """
    try:
        Path.home()
    except RuntimeError:
        home = Path(tempfile.gettempdir()) / f"posebed-home-{os.getuid()}"
        private_folder(home, "the home of a user without one", "HOME")
        os.environ["HOME"] = str(home)
