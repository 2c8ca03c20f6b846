"""Which format a label file or folder has, and which one a name asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posebed.formats import (
    coco,
    cvat,
    deeplabcut,
    label_studio,
    lightning_pose,
    sleap,
    sleap_writer,
    table_projects,
    yolo,
)
from posebed.formats.labels import Labels

Writer = Callable[[Labels, Path], list[str]]
"""Writes labels into an empty folder or file, and says in sentences what is lost."""


@dataclass(frozen=True)
class Format:
    """A format that is read, and perhaps written."""

    name: str
    looked_for: str
    """What a path must be or hold."""
    recognises: Callable[[Path], bool]
    read: Callable[..., Labels]
    write: Writer | None = None


FORMATS: Mapping[str, Format] = {
    key: Format(module.NAME, module.LOOKED_FOR, module.recognises, module.read, write)
    for key, module, write in (
        ("sleap", sleap, sleap_writer.write),
        ("deeplabcut", deeplabcut, table_projects.write_deeplabcut),
        ("lightning_pose", lightning_pose, table_projects.write_lightning_pose),
        ("yolo", yolo, yolo.write),
        ("cvat", cvat, None),
        ("label_studio", label_studio, None),
        ("coco", coco, coco.write),
    )
}
"""In the order in which they are tried: the last ones are content with any JSON file."""


def format_of(path: Path, stated: str | None = None) -> str:
    """The key of the format of a path.

    Args:
        stated: the key, where the path is not to be asked.

    Raises:
        LookupError: there is no such format.
        ValueError: nothing that is known lies there.
    """
    if stated is not None:
        if stated not in FORMATS:
            raise LookupError(f"a format must be one of {', '.join(FORMATS)}, but is {stated!r}")
        return stated
    found = next((key for key, one in FORMATS.items() if one.recognises(path)), None)
    if found is None:
        wanted = "; ".join(one.looked_for for one in FORMATS.values())
        state = "" if path.exists() else ", but is not there"
        raise ValueError(f"{path} must be or hold labels of a known format{state}; looked for {wanted}")
    return found


def read_labels(
    path: Path, stated: str | None = None, pictures: Path | None = None, half_pixel: bool = False
) -> Labels:
    """Read labels of any format.

    Args:
        stated: key of the format.
        pictures: a further folder to look for films and pictures in.
        half_pixel: subtract 0.5 from coordinates, where the tool's whole numbers are corners of pixels.

    Raises:
        LookupError: there is no such format.
        ValueError: the labels cannot be used, or the format does not take an option.
    """
    key = format_of(path, stated)
    known = inspect.signature(FORMATS[key].read).parameters
    options: dict[str, Any] = {"pictures": pictures, "half_pixel": half_pixel}
    given = {name: value for name, value in options.items() if value}
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"the option {unknown[0]} must be left out for {FORMATS[key].name}, which has no use for it")
    return FORMATS[key].read(path, **given)


def writer_for(out: Path, stated: str | None = None) -> tuple[str, Writer]:
    """The name of the format to write, and its writer.

    Args:
        stated: key of the format; by default a name that ends in ``.slp`` asks for SLEAP's, and others for COCO.

    Raises:
        LookupError: there is no such format.
        ValueError: it cannot be written, or not under that name.
    """
    is_slp = out.name.endswith(".slp")
    key = format_of(out, stated or ("sleap" if is_slp else "coco"))
    write = FORMATS[key].write
    if write is None:
        writable = ", ".join(name for name, one in FORMATS.items() if one.write)
        raise ValueError(f"{FORMATS[key].name} is read but not written; --to must be one of {writable}")
    if (key == "sleap") != is_slp:
        rule = "must end in .slp or .pkg.slp" if key == "sleap" else "must be a folder, which does not end in .slp"
        raise ValueError(f"the name of a file or folder in {FORMATS[key].name}'s format {rule}, but is {out}")
    return FORMATS[key].name, sleap_writer.write_package if out.name.endswith(".pkg.slp") else write
