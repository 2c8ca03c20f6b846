"""Files that users bring: only regular ones are opened, and none that is larger than its kind can be.

A pipe or a device would never end, so that it must be known before it is opened. Our own files are ``files``'.
"""

from __future__ import annotations

import stat
from pathlib import Path

from posebed.limits import MOST_TEXT_BYTES
from posebed.listing import amount


def is_regular(path: Path) -> bool:
    """Whether there is a regular file of that path, be it behind links; of any path, without an error."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file system takes, a folder that may not be entered
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that path; of any path, without an error."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_foreign(path: Path, form: str, most: int = MOST_TEXT_BYTES) -> bytes:
    """The content of a file that a user brings.

    Args:
        form: what it must be, such as ``a JSON file``.
        most: bytes.

    Raises:
        ValueError: there is no such file, it is no regular one, too large, or cannot be read.
    """
    must_be_regular(path, form, most)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} must be {form} that can be read, but: {error.strerror}") from error


def must_be_regular(path: Path, form: str, most: int | None = None) -> None:
    """Raise ValueError where there is no such file, it is no regular one, or has more than so many bytes."""
    if not is_regular(path):
        raise ValueError(f"{path} must be {form}, but there is {what_is_there(path)}")
    size = path.stat().st_size
    if most is not None and size > most:
        raise ValueError(f"{path} must be {form} of at most {amount(most)}, but has {amount(size)}")


def what_is_there(path: Path) -> str:
    """What lies in the place of a regular file, in words."""
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):
        return "none"
    return "a folder" if stat.S_ISDIR(kind) else "a pipe, a socket or a device, whose content belongs into a file"


def read_text(path: Path, form: str, most: int = MOST_TEXT_BYTES) -> str:
    """As ``read_foreign``, of a text in UTF-8 with or without a byte order mark."""
    data = read_foreign(path, form, most)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be {form} in UTF-8, but is not: {error}") from error


def head(path: Path, length: int) -> bytes:
    """The first bytes of a regular file; nothing where there is none that can be read."""
    if not is_regular(path):
        return b""
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError:
        return b""
