"""Films: their frames one after the other, by exact number.

A frame's number is the count of frames that are decoded before it, never a time that is turned into one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from posebed.foreign_files import must_be_regular
from posebed.limits import MOST_PIXELS

# What FFmpeg prints of damaged frames names no file; that frames are missing is told by whoever counts them.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv")
"""Of files that are taken for films."""

DAMAGED_PACKETS = 256
"""In a row, after which a film is taken to be at its end."""

T = TypeVar("T")


@dataclass(frozen=True)
class Frame:
    number: int
    """From 0."""
    seconds: float
    """When it is shown, by the film's own clock: the rate may vary."""
    picture: np.ndarray
    """(H, W, 3) RGB, turned as players turn it."""


@dataclass(frozen=True)
class Film:
    """What a film's header says."""

    path: Path
    size: tuple[int, int]
    """Width and height of its frames as players show them."""
    rate: float
    """Frames per second, on average; 0 where it is not known."""
    stated: int
    """Number of frames; 0 where it is not known, as of a film that is still being written."""

    @classmethod
    def open(cls, path: Path) -> Film:
        """Raises:
        ValueError: there is no such file, or it is no film that can be decoded.
        """
        capture = opened(path)
        try:
            width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
            rate, stated = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        finally:
            capture.release()
        return cls(path, (width, height), rate if 0 < rate < 1e5 else 0.0, max(0, stated))

    def frames(self, every: int = 1, first: int = 0) -> Iterator[Frame]:
        """Every so many frames, from the first one on whose number is a multiple; all before it are decoded as well.

        Raises:
            ValueError: the file cannot be opened any more.
        """
        capture, number = opened(self.path), 0
        try:
            while goes_on(capture):
                if number >= first and number % every == 0:
                    seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    whole, picture = capture.retrieve()
                    if whole:
                        yield Frame(number, seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                number += 1
        finally:
            capture.release()


def is_film(name: str) -> bool:
    """Whether a file of that name is taken for a film."""
    return name.lower().endswith(ENDINGS)


def opened(path: Path) -> cv2.VideoCapture:
    """The film, before its first frame.

    Raises:
        ValueError: there is no such file, or it is no film that can be decoded.
    """
    must_be_regular(path, "a film")
    former = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # else OpenCV warns of what is told below
    # One thread: the other processors are the model's.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    cv2.utils.logging.setLogLevel(former)
    if not capture.isOpened():
        raise ValueError(f"{path} must be a film that can be decoded, but is none that FFmpeg knows")
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if width * height > MOST_PIXELS:
        capture.release()
        raise ValueError(
            f"{path} must be a film of at most {MOST_PIXELS} pixels a frame, but states {width:.0f} x {height:.0f}"
        )
    return capture


def goes_on(capture: cv2.VideoCapture) -> bool:
    """Whether there is a further frame, which ``retrieve`` gives then. OpenCV gives up at a damaged packet, and goes on
    behind it when asked again."""
    return any(capture.grab() for _ in range(DAMAGED_PACKETS))


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made by a thread of its own while the one before is worked on."""
    end = object()
    with ThreadPoolExecutor(1) as background:
        coming = background.submit(next, items, end)
        try:
            while (item := coming.result()) is not end:
                coming = background.submit(next, items, end)
                yield item  # pyright: ignore[reportReturnType]  # not the end
        finally:
            coming.cancel()
