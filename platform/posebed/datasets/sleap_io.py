"""Labels in the formats of other tools: SLEAP, DeepLabCut, Lightning Pose, Ultralytics, CVAT, Label Studio.

SLEAP's files are read through sleap-io, the others by readers of posebed's own.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from posebed.annotations.skeleton import Json
from posebed.config import PictureOptions, Positive
from posebed.contracts import DatasetSpec
from posebed.datasets import coco_folder
from posebed.datasets.coco_folder import SkeletonOptions
from posebed.formats.to_dataset import to_dataset
from posebed.formats.which import FORMATS, read_labels
from posebed.listing import shortened
from posebed.records import Dataset


class Options(PictureOptions):
    format: Literal["sleap", "deeplabcut", "lightning_pose", "yolo", "cvat", "label_studio", "coco"] | None = None
    """By default it is found out."""
    pictures: str | None = None
    """A further folder to look for films and pictures in, by name. By default they lie near the labels."""
    half_pixel: bool = False
    """Subtract 0.5 from coordinates of CVAT and Label Studio, whose whole numbers are corners of pixels."""
    group_run: Positive | None = None
    """This many consecutive frames of a film form a group, which a split keeps together; by default the whole film."""
    skeletons: dict[str, SkeletonOptions] = {}
    """By category name, what goes over its links, pairs, sigmas and upper body, by names of keypoints: pairs that were
    guessed may be wrong."""


def read(options: Options, path: Path) -> Dataset:
    """Read a label file, or the folder of a project.

    Raises:
        LookupError: ``skeletons`` names a category that the labels do not have.
        ValueError: there are no such labels, they cannot be used, or films are missing.
    """
    pictures = Path(options.pictures) if options.pictures else None
    labels = read_labels(path, options.format, pictures, options.half_pixel)
    names = [category.name for category in labels.categories]
    if unknown := [name for name in options.skeletons if name not in names]:
        raise LookupError(
            f"options.skeletons must name categories of the labels, but has {shortened(unknown)}; there is "
            f"{shortened(names)}"
        )
    return to_dataset(labels, path.name, options, options.group_run, partial(_corrected, options))


def _corrected(options: Options, entry: Json) -> Json:
    own = options.skeletons.get(str(entry.get("name")))
    return {**entry, **own.model_dump(exclude_none=True)} if own else entry


def check_path(path: Path) -> Dataset:
    """Read data as it lies there, in any format and without options. Writes nothing.

    Raises:
        ValueError: there are no labels, or several to choose from.
    """
    found = next((key for key, one in FORMATS.items() if key != "coco" and one.recognises(path)), None)
    if found:
        return read(Options(), path)
    try:
        return coco_folder.check_path(path)
    except ValueError as error:
        if FORMATS["coco"].recognises(path):
            raise
        wanted = "; ".join(one.looked_for for key, one in FORMATS.items() if key != "coco")
        raise ValueError(f"{error}. Of other formats, nothing was found either; looked for {wanted}") from error


SPEC = DatasetSpec(
    title="Labels of SLEAP, DeepLabCut, Lightning Pose, Ultralytics, CVAT and Label Studio",
    options=Options,
    read=read,
)
