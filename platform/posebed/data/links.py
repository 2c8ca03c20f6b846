"""Where symbolic links below a dataset's folder may lead: to places that the user names, and into the DVC cache of the
project, where ``cache.type symlink`` keeps every output.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_DVC_OBJECT = re.compile(r"(?:files/md5/)?[0-9a-f]{2}/[0-9a-f]{30}")


def real_path(path: Path) -> Path:
    """The path without links.

    Raises:
        FileNotFoundError: links lead in a circle.
        OSError: the path cannot be looked up.
    """
    try:
        return path.resolve()
    except RuntimeError as error:  # links in a circle, before Python 3.13
        raise FileNotFoundError(errno.ELOOP, "links lead in a circle", str(path)) from error


class Links:
    """The places outside of one folder that links below it may lead to.

    The DVC repository is that of the working folder. One that lies below the dataset's folder does not count: it may
    have come with the data.
    """

    def __init__(self, root: Path, linked: Iterable[str]) -> None:
        self.root = real_path(root)
        self.places = [self.root, *(real_path(Path(place)) for place in linked)]

    def allow(self, target: Path) -> bool:
        """Whether a file, its path resolved, lies below the folder or where links may lead."""
        return any(target.is_relative_to(place) for place in self.places) or self._is_dvc_object(target)

    def _is_dvc_object(self, target: Path) -> bool:
        repository = _dvc_repository(Path.cwd())
        if repository is None or repository.is_relative_to(self.root):
            return False
        cache = _dvc_cache(repository)
        return target.is_relative_to(cache) and bool(_DVC_OBJECT.fullmatch(target.relative_to(cache).as_posix()))


def _dvc_repository(folder: Path) -> Path | None:
    """The real path of the nearest DVC repository at or above a folder."""
    real = folder.resolve()
    return next((place for place in (real, *real.parents) if (place / ".dvc").is_dir()), None)


@lru_cache
def _dvc_cache(repository: Path) -> Path:
    """The real path of the cache that the repository's configuration names."""
    from dvc.config import Config  # takes half a second, and few datasets have links

    stated = Config(str(repository / ".dvc"))["cache"].get("dir")
    return Path(stated or repository / ".dvc" / "cache").resolve()
