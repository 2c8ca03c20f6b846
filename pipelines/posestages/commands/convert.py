"""Labels of one tool as labels of another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posebed.files import writing, writing_folder
from posebed.foreign_files import is_folder
from posebed.formats.labels import Labels
from posebed.formats.which import FORMATS, format_of, read_labels, writer_for
from posebed.limits import MOST_SIDE, SIDES_BEYOND
from posebed.listing import clipped, counted, shortened


def convert(
    path: Path,
    out: Path,
    to: str | None = None,
    source: str | None = None,
    pictures: Path | None = None,
    half_pixel: bool = False,
) -> list[str]:
    """Write the labels of ``path`` to ``out``. Returns what was done, derived, ignored and lost, a line each.

    Args:
        to: key of the format to write, and ``source`` of that to read; by default by name and content.
        pictures: a further folder to look for films and pictures in.
        half_pixel: subtract 0.5 from coordinates.

    Raises:
        LookupError: there is no such format.
        ValueError: the labels cannot be read, or not be written in that format, or ``out`` is there.
    """
    if out.exists():
        raise ValueError(f"{out} must be a new file or folder, but is there; remove it, or choose another name")
    if pictures is not None and not is_folder(pictures):
        raise ValueError(f"--pictures must be a folder with films and pictures, but {pictures} is none")
    name, write = writer_for(out, to)
    key = format_of(path, source)
    labels = read_labels(path, key, pictures, half_pixel)
    _must_be_near(labels, path)
    if out.name.endswith(".slp"):
        with writing(out) as unfinished:
            lost = write(labels, unfinished)
    else:
        with writing_folder(out) as unfinished:
            lost = write(labels, unfinished)
    return [f"{FORMATS[key].name} to {name}: {out}", _counts(labels), *labels.notes, *_missing(labels), *lost]


def _must_be_near(labels: Labels, path: Path) -> None:
    """Raise where a point or a box lies farther from its picture than animals do: no format checks what it is given."""
    for frame in labels.frames:
        size = np.array(frame.size or (MOST_SIDE, MOST_SIDE))
        for animal in frame.animals:
            x, y, width, height = animal.box or (0, 0, 0, 0)
            corners = np.array([[x, y], [x + width, y + height]])
            xy = np.concatenate([animal.points[animal.points[:, 2] > 0, :2], corners])
            if not ((xy >= -SIDES_BEYOND * size) & (xy <= (1 + SIDES_BEYOND) * size)).all():
                raise ValueError(
                    f"{path} must have every point and box within {SIDES_BEYOND} sides of its picture, but has some "
                    f"farther away in {clipped(animal.source or frame.picture)}; `posebed check` lists them"
                )


def _counts(labels: Labels) -> str:
    flags, animals = labels.flags(), list(labels.animals())
    predicted = sum(animal.predicted for animal in animals)
    of = f", of which {predicted} predicted" if predicted else ""
    blank = sum(not animal.points[:, 2].any() for animal in animals)
    of += f", {blank} without a labelled point" if blank else ""
    return (
        f"{counted(len(labels.frames), 'frame')}, {counted(len(animals), 'animal')}{of}; points: {flags[2]} visible, "
        f"{flags[1]} hidden, {flags[0]} unlabelled"
    )


def _missing(labels: Labels) -> list[str]:
    if not labels.missing:
        return []
    places = "; ".join(dict.fromkeys(labels.missing.values()))
    return [f"Films or folders of pictures that were not found: {shortened(labels.missing)}; looked for in {places}."]
