"""Own data: folders with a COCO-keypoints annotation file and pictures beside it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from posebed.annotations.checks import id_text, is_id
from posebed.annotations.coco import find_pictures, read_coco
from posebed.annotations.coco_file import CocoFile
from posebed.annotations.own_parts import PART_NAMES, PartName, part_named, read_lists, with_parts
from posebed.annotations.skeleton import Json
from posebed.config import PictureOptions, Positive, Section
from posebed.contracts import DatasetSpec
from posebed.listing import shortened
from posebed.records import Dataset

_USUAL = ("annotations.json", "_annotations.coco.json")
"""Of posebed and of Roboflow."""
_PART = re.compile(rf"(?:^|[_.-])(({'|'.join(PART_NAMES)})\d*)$", re.IGNORECASE)
"""At the end of a file's name the folder's name, such as train2017, and in it that of the part."""


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
        captured = [id_text(value)] if is_id(value) else []
    else:
        match = re.search(options.group_pattern or "", str(image.get("file_name")))
        captured = [part or "" for part in match.groups()] if match else []
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
    sub-folder that has one. Those called train, val (valid, validation) and test are the parts of ``by: official``."""
    annotations: str | None = None
    """By default annotations.json, or _annotations.coco.json as Roboflow writes it. Without either, the files of
    ``path`` or of ``path/annotations`` whose names end in _train, _val or _test, such as instances_train.json, each
    with the pictures in the folder of that name, in that name's folder below ``images``, or in ``images``."""
    images: str | None = None
    """Folder of the pictures; where there is none, a zip file of that name and ``.zip``. By default ``images``, or,
    without either, the folder of the annotation file itself."""
    parts: dict[PartName, str] | str | None = None
    """The own division for ``by: official``: ``{train: train.txt, val: val.txt, test: test.txt}``, text files below the
    path with one picture a line, or one CSV file with the columns picture and part. A picture is named by its path
    below the path, or by as many last components as are unambiguous. Lists win over names of folders."""
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
        ValueError: the lists of parts do not fit the data, or several files claim to be one part.
    """
    files = _files(options, path)
    _must_be_known("groups", options.groups, [file.label for file in files])
    dataset = read_coco(path, files, options)
    if all(problem.record or problem.category for problem in dataset.problems):  # every file could be read
        _must_be_known("skeletons", options.skeletons, [c.name for c in dataset.categories])
    if not options.parts:
        return dataset
    return with_parts(dataset, read_lists(options.parts, path, options.linked))


def _files(options: Options, path: Path) -> list[CocoFile]:
    """The annotation files of the dataset; where there is none, one that is not there."""
    folders = _folders(options, path) if options.folders is None else options.folders
    if folders or options.folders is not None:
        return [_coco_file(options, path, folder) for folder in folders]
    return _files_of_parts(options, path) or [_coco_file(options, path, "")]


def _folders(options: Options, path: Path) -> tuple[str, ...]:
    """The path itself, as an empty name, or its sub-folders that have an annotation file."""
    if not path.is_dir() or _annotations_in(options, path):
        return ("",)
    return tuple(sorted(f.name for f in path.iterdir() if _annotations_in(options, f)))


def _annotations_in(options: Options, folder: Path) -> str:
    """The name of the annotation file that a folder holds; empty where it holds none."""
    names = _USUAL if options.annotations is None else (options.annotations,)
    return next((name for name in names if (folder / name).is_file()), "")


def _files_of_parts(options: Options, path: Path) -> list[CocoFile]:
    """Files whose names end in a part, beside folders of pictures."""
    if options.annotations is not None or not path.is_dir():
        return []
    matches = [(file.relative_to(path), match) for file in _json_files(path) if (match := _PART.search(file.stem))]
    names: dict[str, list[str]] = defaultdict(list)
    for file, match in matches:
        names[part_named(match[2])].append(file.as_posix())
    for part, of in names.items():
        if len(of) > 1:
            raise ValueError(f"{path} must hold one annotation file of {part}, but holds {shortened(of)}")
    files = [
        CocoFile(file.as_posix(), _pictures_of(options, path, match[1]), part_named(match[2]), part_named(match[2]))
        for file, match in matches
    ]
    return [_with_options(options, file) for file in files]


def _pictures_of(options: Options, path: Path, name: str) -> str:
    usual = options.images or "images"
    existing = (_folder_or_zip(path, place) for place in (f"{name}/{usual}", f"{usual}/{name}", name, usual))
    return next(filter(None, existing), name)


def _folder_or_zip(root: Path, place: str) -> str:
    """The folder or, where there is none, the zip file of that name; empty where there is neither."""
    if (root / place).is_dir():
        return place
    return f"{place}.zip" if (root / f"{place}.zip").is_file() else ""


def _json_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json")) or sorted(folder.glob("annotations/*.json"))


def _must_be_known(option: str, names: Iterable[str], known: Collection[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        choices = shortened(filter(None, known), none="nothing")
        raise LookupError(
            f"options.{option} must name what the data has, but has {shortened(unknown)}; there is {choices}"
        )


def _coco_file(options: Options, path: Path, folder: str) -> CocoFile:
    below = f"{folder}/" if folder else ""
    annotations = _annotations_in(options, path / folder) or options.annotations or _USUAL[0]
    usual = f"{below}{options.images or 'images'}"
    pictures = _folder_or_zip(path, usual) or (folder if options.images is None else usual)
    return _with_options(options, CocoFile(f"{below}{annotations}", pictures, folder, part_named(folder)))


def _with_options(options: Options, file: CocoFile) -> CocoFile:
    def category(entry: Json) -> Json:
        own = options.skeletons.get(str(entry.get("name")))
        return {**entry, **own.model_dump(exclude_none=True)} if own else entry

    return replace(
        file,
        group=options.groups.get(file.label, options).finder(),
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
    if path.is_dir() and not (path / _USUAL[0]).is_file() and _reads_by_itself(options, path):
        return read(options, path)
    file = path if path.is_file() else _annotation_file(path)
    root, pictures = find_pictures(file)
    return read_coco(root, [CocoFile(file.relative_to(root).as_posix(), pictures)])


def _reads_by_itself(options: Options, path: Path) -> bool:
    return bool(_folders(options, path)) or len(_files_of_parts(options, path)) > 1


def _annotation_file(folder: Path) -> Path:
    files = _json_files(folder)
    if (folder / _USUAL[0]).is_file():
        return folder / _USUAL[0]
    if len(files) == 1:
        return files[0]
    names = shortened((f.relative_to(folder).as_posix() for f in files), 3, "no JSON file")
    raise ValueError(
        f"{folder} must hold {_USUAL[0]} or one JSON file, but holds {len(files) or ''}{': ' if files else ''}{names}; "
        f"name the file itself, or convert files of single pictures to one COCO file"
    )


SPEC = DatasetSpec(
    title="COCO-keypoints folder",
    options=Options,
    read=read,
)
