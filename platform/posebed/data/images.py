"""Pictures by their path below one root, in folders, zip files, films or SLEAP packages; the only place that decodes
them.

A path component that ends in ``.zip``, ``.slp`` or as a film does is a container unless it is a folder, and what
follows is the name of a member: ``tiger/images.zip/frame_1.jpg``, ``videos/dance.mp4/30``, ``flies.pkg.slp/video0/30``.
The root may itself be one.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from posebed.data.containers import Container, TooLarge, TooManyScans, is_container, open_container
from posebed.data.depth import FULL, may_be_deep, needed_bits, to_8_bits
from posebed.data.headers import HEIGHT, JPEG, PNG, TIFF, WIDTH, orientation_of, tiff_tag
from posebed.data.links import Links, real_path
from posebed.data.stderr import caught_stderr
from posebed.foreign_files import is_folder, is_regular
from posebed.limits import MOST_PICTURE_BYTES, MOST_PIXELS, MOST_SCANS
from posebed.listing import clipped
from posebed.own_json import read_json
from posebed.records import AS_STORED, PREPARED, Reading

_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_DEEP = cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
"""BGR, because OpenCV 4.14 returns wrong values for TIFF files of 16 bits with IMREAD_COLOR_RGB."""

_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
"""Without the fill bytes before it: a longer pattern would look at a run of them from each of its places."""
_AFTER_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""A marker that ends the coded values of a scan; those of restarts lie among them."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
"""Within the scans, but not in the segments before them, these bytes are nothing but the end."""


_LARGE = 2**24
"""Pixels above which pictures are decoded one at a time, whatever number of threads there is."""
_ONE_LARGE = threading.Lock()


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


@dataclass(frozen=True)
class PictureFacts:
    """Facts about a picture from decoding it once."""

    size: tuple[int, int]
    """Width and height as it is read."""
    orientation: int = 1
    """That a camera noted, 1 to 8, whether it is applied or not."""
    bits: int | None = None
    """Bits per channel that its values need; None where it has no more than 8."""
    sha256: str = ""
    """Of the file, in hexadecimal digits."""
    remark: str = ""
    """The decoder's warning, if any."""


class Images:
    """The pictures below ``root``, a folder or a container. Threads may share one; processes open their own.

    Symbolic links may lead to what is below the root, to the folders that ``reading`` names, and into the project's DVC
    cache.

    Args:
        reading: how they are decoded. Without its ``bits`` every deep picture is reduced to 8 bits by itself.
    """

    def __init__(self, root: Path, reading: Reading = AS_STORED) -> None:
        self.root = root
        self.reading = reading
        self._links = Links(root, reading.linked)
        self._containers: dict[Path, Container] = {}
        self._opening = threading.Lock()

    def __reduce__(self) -> tuple[type[Images], tuple[Path, Reading]]:
        return Images, (self.root, self.reading)

    def exists(self, path: str) -> bool:
        """Whether there is a file of that path.

        Raises:
            OutsideRoot: the path leaves the root, be it through a link.
        """
        file, member = self._locate(path)
        return is_regular(file) and (member is None or self._container(file).has(member))

    def read(self, path: str) -> bytes:
        """The bytes of the file.

        Raises:
            OutsideRoot: the path leaves the root.
            NoSuchFrame: a film ends before that frame.
            TooLarge: it has more bytes than a picture can have.
            ValueError: the container that holds it is damaged.
            FileNotFoundError: there is no such file.
        """
        if not self.exists(path):
            raise FileNotFoundError(f"{path} must be a file below {self.root}, but there is none")
        file, member = self._locate(path)
        if member is not None:
            return self._container(file).read(member)
        if file.stat().st_size > MOST_PICTURE_BYTES:
            raise TooLarge(f"{path} must be a picture of at most {MOST_PICTURE_BYTES} bytes, but is larger")
        return file.read_bytes()

    def decode(self, path: str) -> np.ndarray:
        """(H, W, 3) RGB, uint8, as ``reading`` says.

        Raises:
            TruncatedImage: the file ends early.
            TooLarge: it has too many pixels.
            ValueError: the file is no picture. Else as ``read``.
        """
        data, bits = self.read(path), self.reading.bits
        picture = _deep_pixels(data, path) if bits != FULL and may_be_deep(data) else _pixels(data, path)
        if picture.dtype != np.uint8:
            bits = bits or needed_bits(picture, data)
            picture = _pixels(data, path) if bits == FULL else to_8_bits(picture, bits)
        return displayed(picture, orientation_of(data)) if self._as_displayed else picture

    def facts(self, path: str) -> PictureFacts:
        """Decode the picture and look at it. Raises as ``decode``."""
        data = self.read(path)
        picture = _deep_pixels(data, path) if may_be_deep(data) else _pixels(data, path)
        orientation = orientation_of(data)
        height, width = picture.shape[:2]
        return PictureFacts(
            size=(height, width) if self._as_displayed and orientation >= 5 else (width, height),
            orientation=orientation,
            bits=needed_bits(picture, data) if picture.dtype != np.uint8 else None,
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def size(self, path: str) -> tuple[int, int]:
        """Width and height, from the header where the format is JPEG or PNG. Raises as ``decode``."""
        data = self.read(path)
        stated = _stated_size(data, path)
        if stated is None:
            return self.facts(path).size
        return (stated[1], stated[0]) if self._as_displayed and orientation_of(data) >= 5 else stated

    @property
    def _as_displayed(self) -> bool:
        return self.reading.orientation == "displayed"

    def _locate(self, path: str) -> tuple[Path, str | None]:
        """The file that holds the picture and, where it is a container, the name of the member."""
        below = PurePosixPath(path)
        if not below.parts or below.is_absolute() or ".." in below.parts or "\0" in path:
            raise OutsideRoot(f"the path of an image must stay below {self.root}, but is {path!r}")
        parts = (self.root.name, *below.parts)
        depth = next((i for i, part in enumerate(parts) if is_container(part) and not self._is_folder(parts, i)), None)
        file = self.root.joinpath(*parts[1 : len(parts) if depth is None else depth + 1])
        try:
            target = real_path(file)
        except OSError as error:
            raise ForbiddenLink(path, self.root, "itself") from error
        if not self._links.allow(target):
            raise ForbiddenLink(path, self.root, str(target))
        return file, None if depth is None else "/".join(parts[depth + 1 :])

    def _is_folder(self, parts: tuple[str, ...], depth: int) -> bool:
        return is_folder(self.root.joinpath(*parts[1 : depth + 1]))

    def _container(self, file: Path) -> Container:
        with self._opening:
            if file not in self._containers:
                self._containers[file] = open_container(file)
            return self._containers[file]


def prepared_pictures(folder: Path) -> Images:
    """The pictures of a prepared folder, decoded as its dataset reads them."""
    about = read_json(folder / "about.json", PREPARED)
    return Images(Path(about["root"]), Reading(**about.get("reading", {})))


def decode_named(path: Path) -> np.ndarray:
    """A picture that the user names, as ``Images.decode`` gives it; it may be a link to anywhere. What decoders print
    of one that they read nevertheless is printed with its name."""
    file = real_path(path)
    with caught_stderr() as printed:
        picture = Images(file.parent).decode(file.name)
    if printed:
        print(f"{path}: {clipped(printed[0])}", file=sys.stderr)
    return picture


def displayed(picture: np.ndarray, orientation: int) -> np.ndarray:
    """The stored picture (H, W, ...) as viewers show it; height and width change places from orientation 5 on."""
    if orientation >= 5:
        picture = picture.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def _as_stored(picture: np.ndarray, orientation: int) -> np.ndarray:
    """The reverse of ``displayed``."""
    return displayed(picture, {6: 8, 8: 6}.get(orientation, orientation))


def _pixels(data: bytes, path: str) -> np.ndarray:
    """(H, W, 3) RGB as stored, uint8; of 16 bits the upper 8."""
    picture = _decoded(data, path, _FLAGS)
    if picture is None and may_be_deep(data):
        # Packed samples of 10, 12 or 14 bits are read at full depth alone.
        return to_8_bits(_deep_pixels(data, path), FULL)
    if picture is None:
        raise ValueError(f"{path} must be a picture, but cannot be decoded")
    return picture


def _deep_pixels(data: bytes, path: str) -> np.ndarray:
    """(H, W, 3) RGB as stored, uint16 where the file has more than 8 bits per channel, else uint8."""
    picture = _decoded(data, path, _DEEP)
    if picture is None:
        raise ValueError(f"{path} must be a picture, but cannot be decoded")
    if picture.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise ValueError(f"{path} must be a picture of 8 or 16 bits per channel, but holds {picture.dtype}")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=picture)  # in place: deep pictures are large


def _decoded(data: bytes, path: str, flags: int) -> np.ndarray | None:
    width, height = _stated_size(data, path) or (tiff_tag(data, WIDTH) or 0, tiff_tag(data, HEIGHT) or 0)
    if width * height > MOST_PIXELS:
        raise TooLarge(f"{path} must be a picture of at most {MOST_PIXELS} pixels, but states {width} x {height}")
    try:
        with _ONE_LARGE if width * height > _LARGE else nullcontext():
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in error.err:
            raise TooLarge(f"{path} must be a picture of at most {MOST_PIXELS} pixels, but states more") from error
        raise ValueError(f"{path} must be a picture, but the decoder says {error.err}") from error
    if picture is not None and data.startswith(TIFF):
        # The decoder turns TIFF files whatever the flags say.
        picture = _as_stored(picture, orientation_of(data))
    return picture


def _stated_size(data: bytes, path: str) -> tuple[int, int] | None:
    """Width and height as a JPEG or PNG states them, if its end marker is there; None for other formats.

    Decoders fill what is missing of a truncated JPEG with grey, so that the end marker must be checked.
    """
    if data.startswith(JPEG):
        return _jpeg_size(data, path)
    if data.startswith(PNG):
        return _png_size(data, path)
    return None


def _jpeg_size(data: bytes, path: str) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    at, end = 2, data.rfind(_JPEG_END)
    while match := _JPEG_MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker in _JPEG_FRAMES:
            size = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 3 : at + 5])
        elif marker == _JPEG_SCAN and size and end >= at:
            _must_have_few_scans(data, at, path)
            return size
        at += int.from_bytes(data[at : at + 2])
    raise TruncatedImage(f"{path} must hold a picture and its end, but stops after {len(data)} bytes")


def _must_have_few_scans(data: bytes, at: int, path: str) -> None:
    """Raise TooManyScans where more follow than a JPEG can have; the segment of the first one begins at ``at``."""
    scans = 1
    while scans <= MOST_SCANS:
        match = _AFTER_SCAN.search(data, at + int.from_bytes(data[at : at + 2]))
        if match is None or match[0] == _JPEG_END:
            return
        at = match.end()
        scans += match[1][0] == _JPEG_SCAN
    raise TooManyScans(f"{path} must be a picture of at most {MOST_SCANS} scans, but has more")


def _png_size(data: bytes, path: str) -> tuple[int, int]:
    at = len(PNG)
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
        at += 12 + int.from_bytes(data[at : at + 4])
    raise TruncatedImage(f"{path} must end in an IEND chunk, but stops after {len(data)} bytes")
