"""SLEAP's label files, ``.slp`` and ``.pkg.slp``, through sleap-io.

Whole numbers are pixel centres; sleap-io subtracts the half pixel of files of format 1.0, whose whole numbers are
corners. Of a frame only what a person labelled or corrected is read: a prediction beside its correction is the same
animal.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from posebed.data.film import is_film
from posebed.data.hdf5 import hdf5_errors_told, one_line, open_hdf5
from posebed.foreign_files import must_be_regular
from posebed.formats.labels import (
    Animal,
    Frame,
    Labels,
    as_given,
    below,
    category_of,
    found_in,
    guessed_pairs,
    longest_tail,
    number_of,
    points_of,
)
from posebed.listing import shortened
from posebed.records import Category

NAME = "SLEAP"
_TABLES = ("frames", "instances", "points", "pred_points", "tracks_json", "videos_json")
_METADATA = ("nodes", "skeletons")
"""Tables, and keys of its metadata, that every file has."""
LOOKED_FOR = "one FILE.slp or FILE.pkg.slp (SLEAP)"


def recognises(path: Path) -> bool:
    return bool(_files(path)) or path.name.endswith(".analysis.h5")


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.slp"))
    return [path] if path.suffix == ".slp" else []


def open_sleap_io() -> Any:  # it has no types
    try:
        import sleap_io  # an optional dependency
    except ImportError as error:
        raise ValueError("SLEAP's files need sleap-io, which is not installed: pip install posebed[formats]") from error
    return sleap_io


class _Pictures(NamedTuple):
    """Where the pictures of one video are."""

    film: str
    """Its name."""
    paths: Sequence[str] | str
    """Below the root: of each picture, or of the film or package that frames are looked up in."""

    def frame(self, number: int, animals: tuple[Animal, ...]) -> Frame:
        if isinstance(self.paths, str):
            return Frame(f"{self.paths}/{number}", animals, self.film, number)
        if number >= len(self.paths):
            raise ValueError(f"{self.film} must have a picture {number}, but lists {len(self.paths)}")
        stated = number_of(self.paths[number])
        return Frame(self.paths[number], animals, self.film, number if stated is None else stated)


def read(path: Path, pictures: Path | None = None) -> Labels:
    """Read a label file, or a folder that holds one.

    Args:
        pictures: a further folder to look for films and pictures in.

    Raises:
        ValueError: sleap-io is not installed, the file cannot be used, or it holds predictions alone.
    """
    file = _one_file(path)
    content = _loaded(file)
    folders = [file.parent, file.parent / "videos", *([pictures] if pictures else [])]
    root = as_given(_common_folder(file.parent, pictures), file) if pictures else file.parent
    missing: dict[str, str] = {}
    videos = {id(video): _pictures(video, file, folders, root, missing) for video in content.videos}
    _must_differ(file, [*videos.values()])
    categories = _categories(content.skeletons, file)
    of_skeleton = {id(skeleton): key.key for skeleton, key in zip(content.skeletons, categories, strict=True)}
    frames = [
        frame
        for labelled in content.labeled_frames
        if (frame := _frame(labelled, videos[id(labelled.video)], of_skeleton, file))
    ]
    if not frames:
        predicted = sum(len(labelled.predicted_instances) for labelled in content.labeled_frames)
        what = f"only predictions: {predicted}" if predicted else "none"
        raise ValueError(f"{file} must hold labels of people, but holds {what}; correct some in SLEAP first")
    absent = {name: where for name, where in missing.items() if any(frame.film == name for frame in frames)}
    return Labels(root, categories, tuple(frames), (*_guesses(content, categories), *_notes(content)), absent)


def _common_folder(one: Path, other: Path) -> Path:
    return Path(os.path.commonpath([one.absolute(), other.absolute()]))


def _must_differ(file: Path, videos: Sequence[_Pictures]) -> None:
    """Raise where the frames of two videos would be looked up in one film."""
    films = Counter(video.paths for video in videos if isinstance(video.paths, str))
    if twice := [film for film, times in films.items() if times > 1]:
        raise ValueError(
            f"{file} must have every film once, but {shortened(twice, 3)} stands for several of its videos; keep films "
            f"of one name in the folders that the file names"
        )


def _one_file(path: Path) -> Path:
    if path.name.endswith(".analysis.h5"):
        raise ValueError(f"{path} must hold labels, but is SLEAP's export of predictions; give the .slp file instead")
    files = _files(path) if path.is_dir() else [path]
    if len(files) != 1:
        raise ValueError(f"{path} must hold one .slp file, but holds {shortened(f.name for f in files)}; name the one")
    return files[0]


def _loaded(file: Path) -> Any:
    sleap_io = open_sleap_io()
    must_be_regular(file, "a SLEAP file")
    with open_hdf5(file) as content:  # it refuses damaged files
        _must_be_of_sleap(content, file)
    try:
        return sleap_io.load_slp(file, open_videos=False)
    except (OSError, ValueError) as error:  # such as of a newer format
        raise ValueError(f"{file} must be a SLEAP file, but cannot be read: {one_line(error)}") from error
    except (KeyError, TypeError, IndexError, AttributeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{file} must be a SLEAP file, but is not whole; save it in SLEAP again") from error


def _must_be_of_sleap(content: Any, file: Path) -> None:
    """Raise where a table or a key of the metadata is missing that every SLEAP file has."""
    missing = [name for name in (*_TABLES, "metadata") if name not in content]
    metadata = _metadata(content, file)
    missing += [
        f"{name} in its metadata" for name in _METADATA if not missing and not isinstance(metadata.get(name), list)
    ]
    if missing:
        raise ValueError(f"{file} must be a SLEAP file, but lacks {', '.join(missing)}; save it in SLEAP again")
    if not metadata["skeletons"]:
        raise ValueError(f"{file} must be a SLEAP file with a skeleton, but has none; make one in SLEAP")


def _metadata(content: Any, file: Path) -> dict[str, Any]:
    """What the file says of itself; nothing where it says nothing that can be read."""
    with hdf5_errors_told(file), suppress(KeyError, ValueError, RecursionError):
        found = json.loads(content["metadata"].attrs["json"])
        return found if isinstance(found, dict) else {}
    return {}


def _pictures(video: Any, file: Path, folders: Sequence[Path], root: Path, missing: dict[str, str]) -> _Pictures:
    """Where a video's pictures are. Paths of another machine count by their ends alone, and only below the folders."""
    about = video.backend_metadata
    if about.get("dataset") and (about.get("filename") == "." or Path(str(video.filename)).name == file.name):
        source = video.source_video
        name = _name(source) if source is not None else file.name.split(".")[0]
        group = str(about["dataset"]).removesuffix("/video")
        return _Pictures(name, f"{below(file, root)}/{group}")
    name = _name(video)
    if isinstance(video.filename, list):
        places = [found_in(folders, str(foreign)) for foreign in video.filename]
        if None in places:
            missing[name] = ", ".join(map(str, folders))
        stated = [longest_tail(str(foreign)) for foreign in video.filename]
        return _Pictures(name, [below(p, root) if p else s for p, s in zip(places, stated, strict=True)])
    place = found_in(folders, str(video.filename)) if is_film(name) else None
    if place is None:
        missing[name] = ", ".join(map(str, folders))
    return _Pictures(name, below(place, root) if place else name)


def _name(video: Any) -> str:
    """The film's name, or that of the folder of a list of pictures."""
    if isinstance(video.filename, list):
        return PureWindowsPath(str(video.filename[0])).parent.name or "pictures"
    return PureWindowsPath(str(video.filename)).name


def _categories(skeletons: Sequence[Any], file: Path) -> tuple[Category, ...]:
    names = Counter(skeleton.name for skeleton in skeletons)
    return tuple(
        category_of(
            str(s.name or "animal") if names[s.name] == 1 else f"{s.name or 'animal'}-{position}",
            [str(name) for name in s.node_names],
            [(int(a), int(b)) for a, b in s.edge_inds],
            [(min(pair), max(pair)) for pair in _symmetric(s)] or None,
            where=str(file),
        )
        for position, s in enumerate(skeletons, 1)
    )


def _symmetric(skeleton: Any) -> list[tuple[int, int]]:
    return sorted({(min(a, b), max(a, b)) for a, b in ((int(a), int(b)) for a, b in skeleton.symmetry_inds)})


def _guesses(content: Any, categories: Sequence[Category]) -> list[str]:
    bare = [c for c, skeleton in zip(categories, content.skeletons, strict=True) if not skeleton.symmetry_inds]
    return [sentence for category in bare if (sentence := guessed_pairs(category))]


def _frame(labelled: Any, pictures: _Pictures, of_skeleton: dict[int, str], file: Path) -> Frame | None:
    """The frame, if a person labelled an animal there or left it empty; None where there are predictions alone."""
    people = [instance for instance in labelled.user_instances if not _is_empty(instance)]
    if not people and len(labelled.instances):
        return None
    number = int(labelled.frame_idx)
    animals = tuple(
        Animal(
            of_skeleton[id(instance.skeleton)],
            points_of(instance.points["xy"], np.where(instance.points["visible"], 2, 1)),
            instance.track.name if instance.track is not None else "",
            source=f"{file.name}: {pictures.film} frame {number}",
        )
        for instance in people
    )
    return pictures.frame(number, animals)


def _is_empty(instance: Any) -> bool:
    return bool(np.isnan(instance.points["xy"]).all())


def _notes(content: Any) -> list[str]:
    frames = content.labeled_frames
    predicted = sum(len(frame.predicted_instances) for frame in frames)
    empty = sum(_is_empty(instance) for frame in frames for instance in frame.user_instances)
    blank = sum(not len(frame.instances) for frame in frames)
    suggested = len(content.suggestions)
    return [
        sentence
        for count, sentence in (
            (predicted, f"Predictions, left out: {predicted}."),
            (empty, f"Instances without a point, left out: {empty}."),
            (blank, f"Frames without an instance: {blank}; SLEAP does not always say whether they hold an animal."),
            (suggested, f"Suggestions of frames to label, left out: {suggested}."),
        )
        if count
    ]
