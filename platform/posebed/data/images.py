"""Pictures by their path below one root, in folders or in zip files; the only place that decodes them.

A path component that ends in ``.zip`` is a zip file, and what follows is the name of a member:
``tiger/images.zip/frame_1.jpg``. The root may itself be one.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np

from posebed.data.links import Links

_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
"""Annotations count in the pixels as stored, so that EXIF orientation is not applied."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
"""Within the scans, but not in the segments before them, these bytes are nothing but the end."""


class TruncatedImage(ValueError):
    """The file ends before the picture does."""


class OutsideRoot(ValueError):
    """The path leads out of the folder that it must stay in."""


class ForbiddenLink(OutsideRoot):
    """A symbolic link leads out of the folder, to ``target``, and nobody allowed that place."""

    def __init__(self, path: str, root: Path, target: str) -> None:
        super().__init__(
            f"the path of an image must stay below {root}, but {path!r} is a link to {target}; the option linked names "
            f"folders that links may lead to"
        )
        self.target = target


class Images:
    """The pictures below ``root``, a folder or a zip file. Threads may share one; processes open their own.

    Symbolic links may lead to what is below the root, to the folders ``linked``, and into the project's DVC cache.
    """

    def __init__(self, root: Path, linked: Iterable[str] = ()) -> None:
        self.root = root
        self._linked = tuple(linked)
        self._links = Links(root, self._linked)
        self._archives: dict[Path, ZipFile] = {}
        self._opening = threading.Lock()

    def __reduce__(self) -> tuple[type[Images], tuple[Path, tuple[str, ...]]]:
        return Images, (self.root, self._linked)

    def exists(self, path: str) -> bool:
        """Whether there is a file of that path.

        Raises:
            OutsideRoot: the path leaves the root, be it through a link.
        """
        file, member = self._locate(path)
        if member is None:
            return file.is_file()
        return file.is_file() and member in self._archive(file).NameToInfo

    def read(self, path: str) -> bytes:
        """The bytes of the file.

        Raises:
            OutsideRoot: the path leaves the root.
            ValueError: the zip file that holds it is damaged.
            FileNotFoundError: there is no such file.
        """
        if not self.exists(path):
            raise FileNotFoundError(f"{path} must be a file below {self.root}, but there is none")
        file, member = self._locate(path)
        if member is None:
            return file.read_bytes()
        try:
            return self._archive(file).read(member)
        except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"{path} must be a sound member of its zip file, but: {error}") from error

    def decode(self, path: str) -> np.ndarray:
        """(H, W, 3) RGB, uint8, as stored: without regard to EXIF orientation.

        Raises:
            TruncatedImage: the file ends early.
            ValueError: the file is no picture. Else as ``read``.
        """
        data = self.read(path)
        _stated_size(data, path)
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
        except cv2.error as error:
            raise ValueError(f"{path} must be a picture, but the decoder says {error.err}") from error
        if image is None:
            raise ValueError(f"{path} must be a picture, but cannot be decoded")
        return image

    def size(self, path: str) -> tuple[int, int]:
        """Width and height, from the header where the format is JPEG or PNG. Raises as ``decode``."""
        stated = _stated_size(self.read(path), path)
        if stated is not None:
            return stated
        height, width = self.decode(path).shape[:2]
        return width, height

    def _locate(self, path: str) -> tuple[Path, str | None]:
        """The file that holds the picture and, where it is a zip file, the name of the member."""
        below = PurePosixPath(path)
        if not below.parts or below.is_absolute() or ".." in below.parts or "\0" in path:
            raise OutsideRoot(f"the path of an image must stay below {self.root}, but is {path!r}")
        parts = (self.root.name, *below.parts)
        zips = [depth for depth, part in enumerate(parts) if part.lower().endswith(".zip")]
        depth = zips[0] if zips else len(parts)
        file = self.root.joinpath(*parts[1 : depth + 1])
        try:
            target = file.resolve()
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
            raise ForbiddenLink(path, self.root, "itself") from error
        if not self._links.allow(target):
            raise ForbiddenLink(path, self.root, str(target))
        return file, "/".join(parts[depth + 1 :]) if zips else None

    def _archive(self, file: Path) -> ZipFile:
        with self._opening:
            if file not in self._archives:
                try:
                    self._archives[file] = ZipFile(file)
                except BadZipFile as error:
                    raise ValueError(f"{file} must be a zip file, but: {error}") from error
            return self._archives[file]


def decode_named(path: Path) -> np.ndarray:
    """A picture that the user names, as ``Images.decode`` gives it; it may be a link to anywhere."""
    file = path.resolve()
    return Images(file.parent).decode(file.name)


def _stated_size(data: bytes, path: str) -> tuple[int, int] | None:
    """Width and height as a JPEG or PNG states them, once its end was found; None for other formats.

    Decoders fill what is missing of a truncated JPEG with grey, so that its end has to be looked for.
    """
    if data.startswith(_JPEG):
        return _jpeg_size(data, path)
    if data.startswith(_PNG):
        return _png_size(data, path)
    return None


def _jpeg_size(data: bytes, path: str) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker in _JPEG_FRAMES:
            size = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 3 : at + 5])
        elif marker == _JPEG_SCAN and size and data.rfind(_JPEG_END, at) > 0:
            return size
        at += int.from_bytes(data[at : at + 2])
    raise TruncatedImage(f"{path} must hold a picture and its end, but stops after {len(data)} bytes")


def _png_size(data: bytes, path: str) -> tuple[int, int]:
    at = len(_PNG)
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
        at += 12 + int.from_bytes(data[at : at + 4])
    raise TruncatedImage(f"{path} must end in an IEND chunk, but stops after {len(data)} bytes")
