"""Labels of one tool as labels of another one."""

from __future__ import annotations

from pathlib import Path

from posebed.files import writing, writing_folder
from posebed.formats.labels import Labels
from posebed.formats.which import FORMATS, format_of, read_labels, writer_for
from posebed.listing import counted, shortened


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
    name, write = writer_for(out, to)
    key = format_of(path, source)
    labels = read_labels(path, key, pictures, half_pixel)
    if out.name.endswith(".slp"):
        with writing(out) as unfinished:
            lost = write(labels, unfinished)
    else:
        with writing_folder(out) as unfinished:
            lost = write(labels, unfinished)
    return [f"{FORMATS[key].name} to {name}: {out}", _counts(labels), *labels.notes, *_missing(labels), *lost]


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
