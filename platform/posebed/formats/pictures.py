"""Copies of labelled pictures for formats that keep them: frames of films and pictures in packages become files."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from posebed.data.containers import is_container
from posebed.data.film import is_film
from posebed.data.headers import PNG, orientation_of
from posebed.data.images import Images
from posebed.files import write_bytes
from posebed.formats.labels import Frame, Labels
from posebed.listing import shortened


def place_of(frame: Frame) -> str:
    """The path of a frame's picture as a file: as it is, or ``FILM/imgNUMBER.png`` for one in a film or package."""
    parts = PurePosixPath(frame.picture).parts
    inside = next((i for i, part in enumerate(parts) if is_container(part)), None)
    if inside is None:
        return frame.picture
    if parts[inside].lower().endswith(".zip"):
        return PurePosixPath(*parts[:inside], parts[inside][:-4], *parts[inside + 1 :]).as_posix()
    film = PurePosixPath(frame.film or parts[inside]).name.split(".")[0]
    return f"{film}/img{frame.number or 0:04d}.png"


def places(labels: Labels, place: Callable[[Frame], str] = place_of) -> list[str]:
    """The place of every frame's picture.

    Raises:
        ValueError: two pictures would have one place, or one leads out of the folder that is written.
    """
    outside = [
        f.picture for f in labels.frames if PurePosixPath(f.picture).is_absolute() or ".." in f.picture.split("/")
    ]
    if outside:
        raise ValueError(f"pictures must lie below {labels.root}, but their paths lead out: {shortened(outside, 3)}")
    found = [place(frame) for frame in labels.frames]
    if twice := [name for name, times in Counter(found).items() if times > 1]:
        raise ValueError(f"pictures must have names that differ, but several would be called {shortened(twice, 3)}")
    return found


def copy_pictures(labels: Labels, names: Sequence[str], folder: Path) -> list[str]:
    """Copy every picture to its name below a folder. Those that are not there are told in the sentence returned."""
    images, absent = Images(labels.root), list[str]()
    for frame, name in sorted(zip(labels.frames, names, strict=True), key=_order):
        picture = frame.picture
        try:
            data = images.read(picture)
        except (FileNotFoundError, ValueError):
            absent.append(picture)
        else:
            is_renamed = PurePosixPath(name).name != PurePosixPath(picture).name
            write_bytes(_as_png(data) if is_renamed else data, folder / name)
    return [f"Pictures that were not found and not copied: {len(absent)}: {shortened(absent, 3)}."] if absent else []


def _order(named: tuple[Frame, str]) -> tuple[str, int]:
    """Frames of a film one after the other, since it is decoded forwards."""
    frame = named[0]
    return str(PurePosixPath(frame.picture).parent), -1 if frame.number is None else frame.number


def _as_png(data: bytes) -> bytes:
    """The picture as PNG, which loses nothing; bytes that are no picture stay as they are."""
    try:
        picture = None if data.startswith(PNG) else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return data
    return data if picture is None else cv2.imencode(".png", picture)[1].tobytes()


def sizes(labels: Labels, displayed: bool = False) -> Mapping[str, tuple[int, int]]:
    """Width and height of every picture that states them or can be read, by path. Of a film one frame is decoded.

    Args:
        displayed: as viewers show them, where the labels do not say otherwise.
    """
    images, found, films = Images(labels.root), dict[str, tuple[int, int]](), dict[str, tuple[int, int] | None]()
    for frame in labels.frames:
        place, size = str(PurePosixPath(frame.picture).parent), frame.size
        if size is None and is_film(place):
            if place not in films:
                films[place] = picture_size(images, frame.picture)
            size = films[place]
        size = size or picture_size(images, frame.picture, displayed)
        if size:
            found[frame.picture] = size
    return found


def picture_size(images: Images, picture: str, displayed: bool = False) -> tuple[int, int] | None:
    """Width and height; None where the picture cannot be read. A file that ends early has a size.

    Args:
        displayed: as viewers show it, which turn it by its orientation tag.
    """
    try:
        data = images.read(picture)
        with Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    return (height, width) if displayed and orientation_of(data) >= 5 else (width, height)
