"""Files that hold pictures: zip files, films, and SLEAP packages. Each gives a member as the bytes of a picture file.

A frame of a film is found by decoding from the start and counting, since seeking by time is off by some frames in many
films.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Mapping
from lzma import LZMAError
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZIP_BZIP2, BadZipFile, ZipFile

import cv2
import numpy as np

from posebed.data.film import goes_on, is_film, opened
from posebed.data.hdf5 import hdf5_errors_told, open_hdf5
from posebed.foreign_files import must_be_regular
from posebed.limits import MOST_PICTURE_BYTES
from posebed.listing import amount

PACKAGES = (".slp",)
_ZIP_ERRORS = (
    *(BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError),
    *(OSError, ValueError, OverflowError, struct.error),
)
"""What zipfile raises for damaged files and members, and for those of later versions."""
_MOST_DIGITS = 9
"""Of a frame's number."""
_MOST_DECODERS = 4
"""Of one film. Threads ask for frames a little out of order: a decoder that has gone past one of them cannot go back,
and another one that is behind goes on from where it is."""
_MOST_FILMS = 8
"""That have decoders at a time: a decoder takes tens of megabytes."""


class NoSuchFrame(ValueError):
    """A film or a package has no frame of that number."""

    def __init__(self, path: Path, frame: str, holds: str) -> None:
        super().__init__(f"{path.name} must have a frame {frame}, but {holds}")
        self.holds = holds


class TooLarge(ValueError):
    """A picture has more pixels than ``limits.MOST_PIXELS``, or its file more bytes than ``MOST_PICTURE_BYTES``."""


class TooManyScans(ValueError):
    """A JPEG has more scans than ``limits.MOST_SCANS``."""


class Container(Protocol):
    """An open file that holds pictures. Threads may share one."""

    def has(self, member: str) -> bool:
        """Whether the name is one of a member; of a film, whether it can be."""
        ...

    def read(self, member: str) -> bytes:
        """The bytes of a picture file.

        Raises:
            NoSuchFrame: there is no such frame.
            ValueError: the member is damaged.
        """
        ...


def is_container(name: str) -> bool:
    """Whether a file of that name holds pictures."""
    return is_film(name) or name.lower().endswith((".zip", *PACKAGES))


def open_container(path: Path) -> Container:
    """Open a file whose name ``is_container``.

    Raises:
        ValueError: it is damaged, or of another kind than its name says.
    """
    ending = path.suffix.lower()
    return Zip(path) if ending == ".zip" else Package(path) if ending in PACKAGES else FilmFrames(path)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


class Zip:
    """A zip file; its members are named by their paths."""

    def __init__(self, path: Path) -> None:
        must_be_regular(path, "a zip file")
        try:
            self._file = ZipFile(path)
        except _ZIP_ERRORS as error:
            raise ValueError(f"{path} must be a zip file, but: {error}") from error

    def has(self, member: str) -> bool:
        return member in self._file.NameToInfo

    def read(self, member: str) -> bytes:
        about, name = self._file.NameToInfo[member], f"{self._file.filename}/{member}"
        if about.file_size > MOST_PICTURE_BYTES:
            must = f"unpack to a picture of at most {amount(MOST_PICTURE_BYTES)}"
            raise TooLarge(f"{name} must {must}, but to {amount(about.file_size)}")
        if about.compress_type == ZIP_BZIP2:  # a few bytes may unpack to gigabytes at once, whatever the member states
            raise ValueError(f"{name} must be stored, deflated or packed by LZMA, but is packed by bzip2")
        try:
            return self._file.read(about)
        except _ZIP_ERRORS as error:
            raise ValueError(f"{name} must be a sound member of its zip file, but: {error}") from error


class _Decoder:
    """A film that is decoded forwards."""

    def __init__(self, path: Path) -> None:
        self._capture = opened(path)
        self.next = 0
        """Number of the frame that is decoded next."""

    def picture(self, number: int) -> np.ndarray | None:
        """(H, W, 3) BGR of a frame from the last one on; None where the film ends before it, or cannot be decoded on
        the way to it."""
        while self.next <= number:
            if not goes_on(self._capture):
                return None
            self.next += 1
        done, picture = self._capture.retrieve()
        return np.asarray(picture) if done else None

    def close(self) -> None:
        self._capture.release()


class FilmFrames:
    """A film; its members are frame numbers from 0. Frames are given as BMP, which loses nothing and takes no time."""

    _with_decoders: list[FilmFrames] = []
    """Those of the process, the least recently used first."""
    _counting = threading.Lock()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._decoders: list[_Decoder] = []
        self._frames: int | None = None
        self._lock = threading.Lock()
        _Decoder(path).close()  # an error is wanted now

    def has(self, member: str) -> bool:
        return _is_number(member)

    def read(self, member: str) -> bytes:
        self._make_room()
        with self._lock:
            picture = self._picture(int(member))
        if picture is None:
            raise NoSuchFrame(self.path, member, f"the film ends after {self._frames} frames")
        return _as_bmp(picture)

    def _picture(self, number: int) -> np.ndarray | None:
        if self._frames is not None and number >= self._frames:
            return None
        behind = [decoder for decoder in self._decoders if decoder.next <= number + 1]
        decoder = max(behind, key=lambda one: one.next) if behind else self._another()
        picture = decoder.picture(number)
        if picture is None:
            self._frames = decoder.next
            self._decoders.remove(decoder)
            decoder.close()
        return picture

    def _another(self) -> _Decoder:
        """A decoder at the start, in place of the one that is farthest ahead where there are too many."""
        if len(self._decoders) == _MOST_DECODERS:
            farthest = max(self._decoders, key=lambda one: one.next)
            self._decoders.remove(farthest)
            farthest.close()
        self._decoders.append(_Decoder(self.path))
        return self._decoders[-1]

    def _make_room(self) -> None:
        """Close the decoders of the film that was not used for longest, where there are too many."""
        with FilmFrames._counting:
            if self in FilmFrames._with_decoders:
                FilmFrames._with_decoders.remove(self)
            FilmFrames._with_decoders.append(self)
            idle = FilmFrames._with_decoders.pop(0) if len(FilmFrames._with_decoders) > _MOST_FILMS else None
        if idle:
            with idle._lock:
                for decoder in idle._decoders:
                    decoder.close()
                idle._decoders.clear()


class Package:
    """A SLEAP file with pictures in it; a member is ``VIDEO/NUMBER``, such as ``video0/30``, and the number that of the
    frame in the film that it was taken from."""

    def __init__(self, path: Path) -> None:
        self._file = open_hdf5(path)
        self.path = path
        self._rows: dict[str, Mapping[int, int]] = {}
        self._lock = threading.Lock()

    def has(self, member: str) -> bool:
        video, _, number = member.rpartition("/")
        with hdf5_errors_told(self.path):
            return _is_number(number) and f"{video}/video" in self._file

    def read(self, member: str) -> bytes:
        video, _, number = member.rpartition("/")
        with self._lock, hdf5_errors_told(self.path):
            row = self._rows_of(video).get(int(number))
            if row is None:
                holds = f"{video} holds {len(self._rows_of(video))} others"
                raise NoSuchFrame(self.path, number, holds)
            data: Any = self._file[f"{video}/video"]
            if Path(data.file.filename) != self.path or data.is_virtual or data.external:
                raise ValueError(f"{self.path} must hold its pictures itself, but {video} lies in another file")
            if data.ndim > 2:
                raise ValueError(f"{self.path} must hold encoded pictures, but {video} holds bare pixels")
            stored = np.asarray(data[row]).astype(np.int8).tobytes().rstrip(b"\0")  # rows of one length end in zeros
            return _with_channels_in_order(stored, member) if _is_swapped(data, self._format()) else stored

    def _rows_of(self, video: str) -> Mapping[int, int]:
        """Frame number to row."""
        if video not in self._rows:
            group: Any = self._file[video]
            numbers: Any = group["frame_numbers"][:] if "frame_numbers" in group else range(len(group["video"]))
            self._rows[video] = {int(number): row for row, number in enumerate(numbers)}
        return self._rows[video]

    def _format(self) -> float:
        about: Any = self._file.get("metadata")
        return float(about.attrs.get("format_id", 0)) if about is not None else 0.0


def _is_swapped(data: Any, version: float) -> bool:
    """Whether red and blue of the stored pictures have changed places. SLEAP hands RGB pictures to an encoder that
    takes BGR; since format 1.4 the file says whether, and before it was always so."""
    order = data.attrs.get("channel_order", "BGR" if version < 1.4 else "RGB")
    return str(order) == "BGR" and int(data.attrs.get("channels", 3)) == 3


def _with_channels_in_order(stored: bytes, name: str) -> bytes:
    try:
        picture = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f"{name} must be a picture, but the decoder says {error.err}") from error
    if picture is None:
        raise ValueError(f"{name} must be a picture, but cannot be decoded")
    return stored if picture.ndim == 2 else _as_bmp(np.ascontiguousarray(picture[..., 2::-1]))


def _as_bmp(picture: np.ndarray) -> bytes:
    """Pixels (H, W, 3) in BGR as a picture file."""
    return cv2.imencode(".bmp", picture)[1].tobytes()
