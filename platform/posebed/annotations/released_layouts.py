"""Published datasets as users download them: the files that must be there, and what their annotations leave out.

A dataset module names the files; here they are looked for, read by ``coco`` and completed by the dataset's skeleton.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

from posebed.annotations.checks import is_names, shown
from posebed.annotations.coco import find_pictures, read_coco
from posebed.annotations.coco_file import CocoFile
from posebed.annotations.skeleton import Json
from posebed.config import PictureOptions
from posebed.contracts import DatasetSpec
from posebed.listing import shortened
from posebed.records import Category, Dataset, Problem, Reason


class Reported(PictureOptions):
    """For datasets that divide into train, val and test, whose papers report val."""

    report: Literal["val", "test"] = "val"
    """The file that becomes the part ``test``. The other one becomes ``val``, by which checkpoints are chosen: what is
    reported neither trains nor chooses a model."""

    def parts(self) -> dict[str, str]:
        """Part to the dataset's own name of its file."""
        return {"train": "train", "val": "test" if self.report == "val" else "val", "test": self.report}


def read_published(
    spec: DatasetSpec,
    options: PictureOptions,
    path: Path,
    files: Sequence[CocoFile],
    layout: str,
    folders: Sequence[str] = (),
) -> Dataset:
    """Read the annotation files of a dataset below ``path``, whose categories all have the skeleton of ``spec``.

    ``path`` may also be, or hold alone, a single annotation file of any name with its pictures near it; its records
    then belong to no part.

    Args:
        layout: where the files belong, in words.
        folders: further folders of pictures that must be there; a zip file may stand in for each.

    Raises:
        ValueError: files or folders are missing.
    """
    if single := _single_file(path, files):
        root, pictures = find_pictures(single, files[0])
        name = single.relative_to(root).as_posix()
        files = [replace(files[0], annotations=name, images=pictures, label="", part="")]
    else:
        root = path
        _must_be_there(
            spec, path, [f.annotations for f in files], [*folders, *(f.images for f in files if f.images)], layout
        )
        files = [replace(f, images=folder_or_zip(path, f.images), label=Path(f.annotations).stem) for f in files]
    assert spec.skeleton is not None
    dataset = read_coco(root, [_completed(file, spec.skeleton) for file in files], options)
    parts = "; ".join(f"{file.part or 'all'}: {file.annotations}" for file in files)
    return replace(
        dataset,
        problems=(*dataset.problems, *_other_skeletons(dataset, spec.skeleton, files)),
        notes=(
            f"Annotation files of the parts: {parts}.",
            f"Licence: {spec.licence}.",
            f"Source: {spec.source}.",
            *dataset.notes,
        ),
    )


def _single_file(path: Path, files: Sequence[CocoFile]) -> Path | None:
    if path.is_file():
        return path
    candidates = sorted(path.glob("*.json"))
    alone = len(candidates) == 1 and not any((path / file.annotations).exists() for file in files)
    return candidates[0] if alone else None


def _must_be_there(spec: DatasetSpec, path: Path, files: Sequence[str], folders: Sequence[str], layout: str) -> None:
    missing = [file for file in files if not (path / file).is_file()]
    missing += [f for f in dict.fromkeys(folders) if not (path / f).is_dir() and not (path / f"{f}.zip").is_file()]
    if missing:
        names = sorted(p.name for p in path.iterdir()) if path.is_dir() else []
        state = f"there are only {shortened(names)}" if names else "nothing is there"
        raise ValueError(
            f"{spec.title} must lie in {path} as {layout}, but without {shortened(missing)} it is incomplete: {state}; "
            f"get it from {spec.source}; licence: {spec.licence}"
        )


def folder_or_zip(root: Path, folder: str) -> str:
    """The folder or, where there is none, the zip file of that name, whose members may lie in a folder of that name."""
    file = root / f"{folder}.zip"
    if (root / folder).is_dir() or not file.is_file():
        return folder
    try:
        with ZipFile(file) as members:
            inside = any(name.startswith(f"{file.stem}/") for name in members.namelist())
    except BadZipFile as error:
        raise ValueError(f"{file} must be a zip file, but: {error}") from error
    return f"{folder}.zip/{file.stem}" if inside else f"{folder}.zip"


def _completed(file: CocoFile, skeleton: Category) -> CocoFile:
    """The file without its own word on origin, its categories with sigmas, pairs and upper body."""
    names = skeleton.keypoints
    missing = {
        "sigmas": list(skeleton.sigmas),
        "flip_pairs": [[names[a], names[b]] for a, b in skeleton.flip_pairs],
        "upper_body": [names[i] for i in skeleton.upper_body],
    }

    def content(given: Any) -> Any:
        converted = file.content(given)
        return {**converted, "info": None} if isinstance(converted, dict) else converted

    return replace(file, content=content, category=partial(_category, names, missing))


def _category(names: tuple[str, ...], missing: Json, entry: Json) -> Json:
    own = entry.get("keypoints")
    same = is_names(own) and tuple(name.strip() for name in own or ()) == names
    return {**entry, **missing} if same else entry


def _other_skeletons(dataset: Dataset, skeleton: Category, files: Sequence[CocoFile]) -> list[Problem]:
    return [
        Problem(
            files[0].annotations,
            "",
            category.key,
            "keypoints",
            Reason.BAD_SKELETON,
            shown(list(category.keypoints)),
            f"the dataset's own: {shortened(skeleton.keypoints, 40)}",
        )
        for category in dataset.categories
        if category.keypoints != skeleton.keypoints
    ]


def category_entry(skeleton: Category, identity: object, name: object, family: object) -> dict[str, Any]:
    """A category as a COCO file states it, for files that state none."""
    names = skeleton.keypoints
    links = [[names[a], names[b]] for a, b in skeleton.limbs]
    return {"id": identity, "name": name, "supercategory": family, "keypoints": list(names), "skeleton": links}


def visible(keypoints: object) -> Any:
    """A flat list x, y, flag, ... whose flag 1 means visible, with COCO's flag for it; anything else as it is."""
    if not isinstance(keypoints, list):
        return keypoints
    return [2 if i % 3 == 2 and flag == 1 else flag for i, flag in enumerate(keypoints)]
