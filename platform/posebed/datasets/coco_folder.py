"""Own data: folders with a COCO-keypoints annotation file and pictures beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from posebed.config import PictureOptions, Positive, Section
from posebed.contracts import DatasetSpec
from posebed.data.checks import is_id
from posebed.data.coco import find_pictures, read_coco
from posebed.data.sheet import CocoFile
from posebed.data.skeleton import Json
from posebed.records import Dataset


def _with_captures(pattern: str) -> str:
    try:
        captures = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"must be a regular expression, but: {error}") from error
    if not captures:
        raise ValueError("must capture the group in parentheses")
    return pattern


class GroupOptions(Section):
    """What keeps together in a split: pictures of one clip, of one individual, neighbouring frames of one film."""

    group_field: str | None = None
    """Field of the annotation or of the image that names the group."""
    group_pattern: Annotated[str, AfterValidator(_with_captures)] | None = None
    """Regular expression that is searched in the file name; what it captures is the group."""
    group_run: Positive | None = None
    """The last thing captured, or the field, is a frame number, and this many consecutive numbers form a group."""

    @model_validator(mode="after")
    def _one_source(self) -> GroupOptions:
        if self.group_field and self.group_pattern:
            raise ValueError("group_field and group_pattern exclude each other")
        if self.group_run and not (self.group_field or self.group_pattern):
            raise ValueError("group_run needs group_field or group_pattern")
        return self

    def finder(self) -> Callable[[Json, Json], str] | None:
        return partial(_group, self) if self.group_field or self.group_pattern else None


def _group(options: GroupOptions, annotation: Json, image: Json) -> str:
    """The group, or an empty text where the field or the pattern finds none."""
    if options.group_field:
        value = annotation.get(options.group_field, image.get(options.group_field))
        captured = [str(value)] if is_id(value) else []
    else:
        found = re.search(options.group_pattern or "", str(image.get("file_name")))
        captured = [part or "" for part in found.groups()] if found else []
    if options.group_run and captured:
        if not captured[-1].isdecimal():
            return ""
        captured[-1] = str(int(captured[-1]) // options.group_run)
    return "/".join(captured)


class SkeletonOptions(Section):
    """What a category's entry lacks or has wrong. Keypoints by name or by index, counted as in the file."""

    skeleton: list[tuple[int | str, int | str]] | None = None
    flip_pairs: list[tuple[int | str, int | str]] | None = None
    sigmas: list[float] | None = None
    upper_body: list[int | str] | None = None


class Options(PictureOptions, GroupOptions):
    folders: tuple[str, ...] | None = None
    """Sub-folders that make up the dataset. By default the path itself or, where it has no annotation file, every
    sub-folder that has one."""
    annotations: str = "annotations.json"
    images: str = "images"
    """Folder of the pictures; where there is none, a zip file of that name and ``.zip``."""
    skeleton_base: Literal[0, 1] | None = None
    """What links count from, where the file does not prove it itself."""
    groups: dict[str, GroupOptions] = {}
    """Group options of single folders, instead of the dataset's own."""
    skeletons: dict[str, SkeletonOptions] = {}
    """By category name, what goes over the category's own entry."""


def read(options: Options, path: Path) -> Dataset:
    """Read the folders below a path as one dataset.

    Raises:
        LookupError: the options name a folder or a category that the data does not have.
    """
    folders = _folders(options, path)
    _must_be_known("groups", options.groups, folders)
    dataset = read_coco(path, [_coco_file(options, path, folder) for folder in folders], options.orientation)
    if all(problem.record or problem.category for problem in dataset.problems):  # every file could be read
        _must_be_known("skeletons", options.skeletons, [c.name for c in dataset.categories])
    return dataset


def _folders(options: Options, path: Path) -> tuple[str, ...]:
    if options.folders is not None:
        return options.folders
    if not path.is_dir() or (path / options.annotations).exists():
        return ("",)
    return tuple(sorted(f.name for f in path.iterdir() if (f / options.annotations).is_file())) or ("",)


def _must_be_known(option: str, names: Iterable[str], known: Collection[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        choices = ", ".join(filter(None, known)) or "nothing"
        raise LookupError(
            f"options.{option} must name what the data has, but has {', '.join(unknown)}; there is {choices}"
        )


def _coco_file(options: Options, path: Path, folder: str) -> CocoFile:
    below = f"{folder}/" if folder else ""
    zipped = f"{below}{options.images}.zip"
    as_zip = not (path / below / options.images).is_dir() and (path / zipped).is_file()

    def category(entry: Json) -> Json:
        own = options.skeletons.get(str(entry.get("name")))
        return {**entry, **own.model_dump(exclude_none=True)} if own else entry

    return CocoFile(
        annotations=f"{below}{options.annotations}",
        images=zipped if as_zip else f"{below}{options.images}",
        label=folder,
        group=options.groups.get(folder, options).finder(),
        category=category,
        skeleton_base=options.skeleton_base,
    )


def check_path(path: Path) -> Dataset:
    """Read data as it lies there, finding annotations and pictures without options. Writes nothing.

    ``path`` is a folder that ``read`` takes, a folder with one annotation file of any name, or that file itself.

    Raises:
        ValueError: there is no annotation file, or several to choose from.
    """
    options = Options()
    if path.is_dir() and not (path / options.annotations).is_file() and _folders(options, path) != ("",):
        return read(options, path)
    file = path if path.is_file() else _annotation_file(path, options.annotations)
    root, pictures = find_pictures(file)
    return read_coco(root, [CocoFile(file.relative_to(root).as_posix(), pictures)])


def _annotation_file(folder: Path, usual: str) -> Path:
    files = sorted(folder.glob("*.json")) or sorted(folder.glob("annotations/*.json"))
    if (folder / usual).is_file():
        return folder / usual
    if len(files) == 1:
        return files[0]
    names = ", ".join(f.relative_to(folder).as_posix() for f in files) or "no JSON file"
    raise ValueError(f"{folder} must hold {usual} or one JSON file, but holds {names}; name the file itself")


SPEC = DatasetSpec(
    title="COCO-keypoints folder",
    options=Options,
    read=read,
)
