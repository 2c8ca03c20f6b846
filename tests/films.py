"""Films that tests write, each frame of which shows its number."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

SIDE, BITS = 96, 12


def write_film(path: Path, frames: int, rate: float = 25.0) -> Path:
    """A film of grey frames with one column per bit of the frame's number, bright where it is set."""
    codec = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (SIDE, SIDE))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.repeat(picture_of(number)[..., None], 3, 2))
    writer.release()
    return path


def picture_of(number: int) -> np.ndarray:
    bits = np.array([(number >> bit) & 1 for bit in range(BITS)], np.uint8)
    return np.tile(np.repeat(bits * 200 + 20, SIDE // BITS), (SIDE, 1))


def number_in(picture: np.ndarray) -> int:
    """The number that a frame (H, W, 3) shows."""
    columns = picture[:, :, 0].reshape(SIDE, BITS, -1).mean((0, 2)) > 120
    return int((columns << np.arange(BITS)).sum())


def encode(source: Path | str, path: Path, *words: str, before: tuple[str, ...] = ()) -> Path:
    """The film as FFmpeg writes it anew, by its options of the output and, before the input, of the input."""
    program = pytest.importorskip("imageio_ffmpeg", reason="needs posebed[formats]").get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-y", *before, "-i", source, *words, path], check=True)
    return path
